"""`kagent list`: the algorithms, and for which environments settings are shipped."""

from __future__ import annotations

import argparse
import json
from typing import Any

from kagent import tuned
from kagent.cli import algorithms

DESCRIPTION = """\
List the algorithms that `kagent train` takes, with the environments that tuned
settings are shipped for; of one algorithm, the settings themselves.
"""


def add_parser(commands: Any) -> None:
    """Adds the command and its arguments."""
    parser = commands.add_parser("list", help="list algorithms and tuned settings", description=DESCRIPTION)
    parser.add_argument("algorithm", metavar="ALGO", nargs="?", help="one of them, to see its tuned settings")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace, argv: list[str]) -> int:
    """Runs the command; the exit status."""
    if arguments.algorithm is None:
        if arguments.json:
            print(json.dumps([_entry(one) for one in algorithms.ALGORITHMS], indent=2))
        else:
            print(algorithms.describe())
        return 0
    algorithm = algorithms.find(arguments.algorithm)
    found = {name: tuned.load(algorithm.name, name) for name in tuned.environments(algorithm.name)}
    if arguments.json:
        print(json.dumps({**_entry(algorithm), "tuned": found}, indent=2))
        return 0
    print(f"{algorithm.name}: kagent.{algorithm.preset}, {algorithm.summary}")
    for name, settings in found.items():
        print(f"\n{name}")
        for key, value in (settings or {}).items():
            print(f"  {key}: {json.dumps(value)}")
    if not found:
        print("No tuned settings are shipped: it trains with its defaults.")
    return 0


def _entry(algorithm: algorithms.Algorithm) -> dict[str, Any]:
    return {
        "name": algorithm.name,
        "other_names": list(algorithm.others),
        "preset": f"kagent.{algorithm.preset}",
        "summary": algorithm.summary,
        "tuned": list(tuned.environments(algorithm.name)),
    }
