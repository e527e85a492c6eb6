"""Modules of the user's that the command line names. No file names one."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Collection
from types import ModuleType

from kagent.cli.errors import CommandError


def load(name: str) -> ModuleType:
    """Imports the module `name`, also from the folder where the command runs.

    Raises:
        CommandError: There is no such module. What goes wrong inside it goes on as it is.
    """
    _search_here()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # it is there, and imports one that is not
        raise CommandError(f"no module named {error.name!r}. Received: {name!r}") from error


def check_named(name: str, imported: Collection[str]) -> None:
    """Refuses a name of a file, `module:object`, whose module the command line does not name.

    Raises:
        CommandError: It is such a name.
    """
    module, colon, _ = name.rpartition(":")
    if colon and module not in imported:
        raise CommandError(
            f"the run names {name!r}, and nothing is imported because a file names it: give --import {module}"
        )


def load_named(arguments: argparse.Namespace) -> None:
    """Imports what `--import` names, and lets gymnasium find the module of an environment given as `module:id`."""
    for name in arguments.modules:
        load(name)
    if ":" in arguments.environment:
        _search_here()


def _search_here() -> None:
    # As `python -m` does: modules are found in the folder where the command runs.
    try:
        here = os.getcwd()
    except FileNotFoundError as error:
        raise CommandError("the folder where the command runs does not exist any more") from error
    if not sys.flags.safe_path and not {"", here} & set(sys.path):
        sys.path.insert(0, here)
