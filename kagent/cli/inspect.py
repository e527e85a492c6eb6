"""`kagent inspect`: what a file of an agent is, before anything of it is built."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Show what a file of an agent holds: algorithm, spaces, versions, sizes, how long
it was trained. Nothing of it is built or run: look at a file from elsewhere
before you load it.
"""


def add_parser(commands: Any) -> None:
    """Adds the command and its arguments."""
    parser = commands.add_parser("inspect", help="show what a saved agent is", description=DESCRIPTION)
    parser.add_argument(
        "file",
        metavar="FILE",
        type=Path,
        help="a .keras or .weights.h5 file, or the folder of a run or of a saved actor",
    )
    parser.add_argument("--json", action="store_true", help="as JSON, with the settings of the agent")
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace, argv: list[str]) -> int:
    """Runs the command; the exit status."""
    from kagent.inspection import inspect

    found = inspect(arguments.file)
    print(json.dumps({**found.summary(), "settings": found.settings}, indent=2) if arguments.json else found)
    return 0
