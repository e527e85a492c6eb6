"""Values on the command line."""

from __future__ import annotations

import argparse
import math


def number(text: str) -> int:
    """A whole number from 0 on; `50000`, `50_000` and `5e4` are the same one."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (value >= 0 and value.is_integer()):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 on. Received: {text}")
    return int(value)


def count(text: str) -> int:
    """A whole number from 1 on."""
    if (value := number(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1. Received: {text}")
    return value


def seconds(text: str) -> float:
    """A finite number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0. Received: {text}")
    return value


def add_import(parser: argparse.ArgumentParser) -> None:
    """Adds `--import`, which fills `arguments.modules`."""
    parser.add_argument(
        "--import",
        dest="modules",
        action="append",
        default=[],
        metavar="MODULE",
        help="import a module that registers agents, parts or environments; may be repeated",
    )
