"""`kagent report`: runs as one page to look at, to keep and to send."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from kagent.cli.errors import CommandError
from kagent.cli.options import number
from kagent.cli.plot import add_runs

DESCRIPTION = """\
Write one HTML page about runs: learning curves, a table over seeds with the
interquartile mean and its 95 % bootstrap interval, settings, versions, and the
commands that repeat the runs. Films in the folders of the runs (.gif, .mp4) are
part of the page where they are small, and linked where they are large.

The page needs no network and no script, and is light or dark as the reader's
system is. Folders that are no runs are left out, with a line that says so.
"""


def add_parser(commands: Any) -> None:
    """Adds the command and its arguments."""
    parser = commands.add_parser("report", help="write an HTML page about runs", description=DESCRIPTION)
    add_runs(parser)
    parser.add_argument(
        "--out", metavar="PATH", type=Path, default=Path("report.html"), help="page to write (default: report.html)"
    )
    parser.add_argument("--title", metavar="TEXT", help="of the page (default: algorithms and environments)")
    parser.add_argument(
        "--embed",
        type=number,
        default=5_000_000,
        metavar="BYTES",
        help="films up to this size are part of the page (default: 5000000)",
    )
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace, argv: list[str]) -> int:
    """Runs the command; the exit status."""
    from kagent.cli import curves, report_page
    from kagent.files.atomic_files import replacing

    if arguments.out.suffix.lower() not in (".html", ".htm"):
        raise CommandError(f"--out must end in .html or .htm. Received: {arguments.out}")
    runs, reasons = curves.read_all(arguments.runs)
    page = report_page.page(
        runs,
        beside=arguments.out.parent,
        title=arguments.title,
        smooth=arguments.smooth,
        spread=arguments.spread,
        group=arguments.by,
        embed=arguments.embed,
    )
    with replacing(arguments.out) as beside:
        beside.write_text(page, encoding="utf-8")
    for reason in reasons:
        print(f"kagent: Left out: {reason}", file=sys.stderr)
    print(f"Wrote {arguments.out}: {len(runs)} run(s), {len(page.encode()) / 1024:,.0f} KiB")
    return 0
