"""The options of `kagent train`, in groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kagent.cli import environment, recorded, workers
from kagent.cli.options import add_import, count, number, seconds

STEPS = 100_000
CHECKPOINTS = 600  # seconds
EVALUATED = 20  # episodes


def add(parser: Any) -> None:
    """Adds all of them to the parser of the command."""
    parser.add_argument("algorithm", metavar="ALGO", nargs="?", help="an algorithm of those above")
    parser.add_argument("environment", metavar="ENV", nargs="?", help="gymnasium id, such as CartPole-v1")
    how_long = parser.add_argument_group("how long, and how often")
    how_long.add_argument("--steps", type=count, metavar="N", help=f"environment steps (default: tuned, or {STEPS})")
    how_long.add_argument(
        "--seed", type=int, metavar="S", help="one number for all randomness (default: drawn, recorded)"
    )
    how_long.add_argument(
        "--seeds", type=count, metavar="N", help="so many runs, with seeds from --seed on, in one folder, and a table"
    )
    how_long.add_argument("--jobs", type=count, metavar="N", help="runs of --seeds side by side (default: 1)")
    settings_of = parser.add_argument_group("settings")
    settings_of.add_argument("--config", type=Path, metavar="FILE", help="settings from a .yaml or .json file")
    settings_of.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting; may be repeated"
    )
    settings_of.add_argument(
        "--normalize",
        nargs="?",
        const=True,
        choices=("observation", "reward"),
        help="standardize observations and rewards, or one of them; the same as --set normalize=...",
    )
    settings_of.add_argument(
        "--device", metavar="NAME", help="where it learns, such as CPU:0; the same as --set device=..."
    )
    environments = parser.add_argument_group("environments")
    environments.add_argument("--n-envs", type=count, metavar="N", help="environments stepped side by side")
    environment.add_options(environments)
    environments.add_argument(
        "--step-timeout", type=seconds, metavar="S", help="seconds a step of an environment may take (default: any)"
    )
    add_import(environments)
    workers.add_options(parser.add_argument_group("workers"))
    recorded.add_options(parser.add_argument_group("recorded episodes"))
    files = parser.add_argument_group("files")
    files.add_argument("--out", type=Path, metavar="DIR", help="new or empty folder (default: runs/ALGO-ENV-SEED-TIME)")
    files.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on with the run in this folder, in place of ALGO and ENV"
    )
    files.add_argument(
        "--checkpoint-every",
        type=seconds,
        metavar="S",
        help=f"seconds between checkpoints, from which --resume goes on (default: {CHECKPOINTS})",
    )
    files.add_argument(
        "--save-best", action="store_true", help="keep the agent with the best validation (of 5 episodes by default)"
    )
    files.add_argument(
        "--servable", action="store_true", help="train nothing that could not be served by NumPy alone (kagent.acting)"
    )
    judged = parser.add_argument_group("what is seen of it")
    judged.add_argument(
        "--validation", type=count, metavar="N", help="greedy episodes after every epoch, logged as val_*"
    )
    judged.add_argument(
        "--eval-episodes",
        type=number,
        metavar="N",
        help=f"episodes of the final evaluation (default: {EVALUATED})",
    )
    judged.add_argument(
        "--doctor", action="store_true", help="say what goes wrong, and leave doctor.json for kagent doctor RUN"
    )
    judged.add_argument("--quiet", action="store_true", help="no progress, only the result; the same as --verbose 0")
    judged.add_argument(
        "--verbose",
        type=int,
        choices=(0, 1, 2),
        help="0: no progress; 1: a bar; 2: a line per epoch (default: 1 in a terminal, else 2)",
    )
