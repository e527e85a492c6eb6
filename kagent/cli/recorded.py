"""`kagent train --data`: recorded episodes in the place of the environment."""

from __future__ import annotations

import argparse
import os
from typing import Any

from kagent.cli.errors import CommandError
from kagent.cli.options import count
from kagent.cli.settings import Settings

_MINARI = "minari:"
_ONLINE = ("steps", "episodes", "n_envs")  # settings of `fit` in an environment


def add_options(parser: Any) -> None:
    """Adds `--data` and `--updates`."""
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help="learn from recorded episodes of ENV: a folder of traces, or minari:NAME; ENV is for evaluation then",
    )
    parser.add_argument(
        "--updates",
        type=count,
        metavar="N",
        help="gradient steps (with --data the default is one pass over the episodes)",
    )


def source_of(arguments: argparse.Namespace) -> str | None:
    """What the option `--data` names, a folder by its absolute path; None: there is none.

    Raises:
        CommandError: No such folder, or an option that is for training in an environment.
    """
    data: str | None = arguments.data
    if data is None:
        return None
    if data.startswith(_MINARI):
        return data
    if not os.path.isdir(data):
        raise CommandError(f"--data takes a folder of traces, or minari:NAME. Received: {data!r}, which is no folder")
    return os.path.abspath(data)


def without_online(tuned: Settings) -> Settings:
    """Tuned settings without their bounds, which are those of training in an environment."""
    return {name: value for name, value in tuned.items() if name != "fit"}


def check_bounds(chosen: Settings) -> None:
    """Looks at the bounds of a run with `--data`.

    Raises:
        CommandError: One is of training in an environment.
    """
    given = [f"fit.{name}" for name in _ONLINE if chosen["fit"].get(name) is not None]
    if given:
        raise CommandError(
            "recorded episodes are learned from for --updates N, or --set fit.epochs=N passes over them. Received: "
            f"{', '.join(given)}"
        )


def episodes_of(data: Any) -> Any:
    """The recorded episodes that `source_of` named.

    Raises:
        CommandError: There are none, or Minari is not installed.
    """
    from kagent import datasets

    try:
        return (
            datasets.from_minari(data.removeprefix(_MINARI)) if data.startswith(_MINARI) else datasets.from_traces(data)
        )
    except (ValueError, ImportError, OSError) as error:
        raise CommandError(f"--data: {error}") from error


def resumed(config: Settings, arguments: argparse.Namespace, chosen: Settings) -> Any:
    """The recorded episodes that a run goes on with; None: it is in an environment.

    Args:
        config: The record of the run.
        arguments: Of the command line; `data` is set.
        chosen: The run's settings.

    Raises:
        CommandError: The episodes are gone, or a bound is of training in an environment.
    """
    if config.get("data") is None:
        return None
    arguments.data = str(config["data"])
    check_bounds(chosen)
    return episodes_of(source_of(arguments))
