"""`kagent plot`: learning curves of runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from kagent.cli.options import count

DESCRIPTION = """\
Draw the return of finished training episodes.

Runs of the same algorithm, environment and settings that differ in their seeds
become one line with a band for the spread over seeds; runs with other settings
become lines of their own, labelled with what differs. Each environment has its
own panel. A folder of run folders stands for all of them. What is no run, or has
no finished episode, is left out, with a line that says so.

Needs: pip install 'kagent[plots]'
"""
# As in kagent.cli.bands and kagent.cli.curves, which need NumPy; a test compares them.
SPREADS, X, GROUPS = ("iqm", "mean", "range", "iqr"), ("timesteps", "time", "episodes"), ("settings", "algorithm")


def add_parser(commands: Any) -> None:
    """Adds the command and its arguments."""
    parser = commands.add_parser("plot", help="draw the learning curves of runs", description=DESCRIPTION)
    add_runs(parser)
    parser.add_argument("--out", metavar="PATH", type=Path, required=True, help="image to write: .png, .svg, .pdf")
    parser.add_argument("--x", choices=X, default="timesteps", help="what lies along the axis (default: timesteps)")
    parser.add_argument(
        "--labels", metavar="TEXT", nargs="+", help="a label for each curve, in the order of the legend"
    )
    parser.set_defaults(run=run, parser=parser)


def add_runs(parser: Any) -> None:
    """Adds the runs, and how they are joined."""
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="run folder, or a folder of them")
    parser.add_argument("--smooth", type=count, default=1, metavar="N", help="mean of the last N epochs (default: 1)")
    parser.add_argument(
        "--spread",
        choices=SPREADS,
        default="iqm",
        help="iqm: interquartile mean of the seeds and its 95%% bootstrap interval (default); mean: the same for the "
        "mean; range: mean, worst to best seed; iqr: median, middle half of the seeds",
    )
    parser.add_argument(
        "--by",
        choices=GROUPS,
        default="settings",
        help="settings: a curve for each algorithm and its settings (default); algorithm: one, whatever its settings",
    )


def run(arguments: argparse.Namespace, argv: list[str]) -> int:
    """Runs the command; the exit status."""
    from kagent.cli import plotting

    curves = plotting.plot(
        arguments.runs,
        arguments.out,
        smooth=arguments.smooth,
        spread=arguments.spread,
        x=arguments.x,
        group=arguments.by,
        labels=arguments.labels,
        left_out=lambda line: print(f"kagent: {line}", file=sys.stderr),
    )
    for curve in curves:
        if curve.cut is not None:
            unit = "seconds" if arguments.x == "time" else arguments.x
            print(
                f"kagent: {curve.label} on {curve.environment} is drawn up to {curve.x[-1]:,.0f} "
                f"{unit}, where its shortest run ends; the longest has {curve.cut:,.0f}",
                file=sys.stderr,
            )
    runs = sum(curve.seeds for curve in curves)
    print(f"Wrote {arguments.out}: {len(curves)} curve(s) from {runs} run(s)")
    return 0
