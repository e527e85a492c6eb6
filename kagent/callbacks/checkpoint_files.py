"""The files of a series of checkpoints: their names, and what there is of them."""

from __future__ import annotations

import math
import numbers
import re
from pathlib import Path
from typing import Any, NamedTuple

from kagent.config.checks import check_count

SUFFIX = ".weights.h5"


class File(NamedTuple):
    """One checkpoint of a series."""

    age: int  # in timesteps, or in episodes
    path: Path


def find(directory: Path, name: str) -> list[File]:
    """The files of the series `name` in a directory, the newest last; none where there is no directory."""
    pattern = re.compile(re.escape(name) + r"-(0|[1-9][0-9]*)" + re.escape(SUFFIX))
    found = []
    for path in directory.iterdir() if directory.is_dir() else ():
        match = pattern.fullmatch(path.name)
        if match and path.is_file() and not path.is_symlink():
            found.append(File(int(match[1]), path))
    return sorted(found)


def bare_name(name: Any, argument: str, others: str = "") -> str:
    """A name of something in the directory, and nowhere else."""
    allowed = f"{others}a file name without folders, not hidden"
    if not isinstance(name, str):
        raise TypeError(f"`{argument}` must be {allowed}. Received: {name!r} ({type(name).__name__})")
    if not name or name.startswith(".") or re.search(r"[/\\:\0]", name):
        raise ValueError(f"`{argument}` must be {allowed}. Received: {name!r}")
    return name


def seconds_between(frequency: Any) -> float | None:
    """`frequency` of a Checkpoint that counts seconds, checked."""
    if frequency is None:
        return None
    allowed = "a number of seconds > 0, or None: at the end of every epoch"
    if isinstance(frequency, bool) or not isinstance(frequency, numbers.Real):
        raise TypeError(f"`frequency` must be {allowed}. Received: {frequency!r} ({type(frequency).__name__})")
    if not 0 < float(frequency) < math.inf:
        raise ValueError(f"`frequency` must be {allowed}. Received: {frequency!r}")
    return float(frequency)


def count_between(frequency: Any) -> int | None:
    """`frequency` of a Checkpoint that counts something else than seconds, checked."""
    return None if frequency is None else check_count(frequency, "frequency")


def file_names(files: list[File]) -> str:
    """Names of files in a sentence: all, or the first and the last two."""
    names = [file.path.name for file in files]
    return ", ".join(names if len(names) < 6 else [*names[:2], "...", *names[-2:]])


def described(error: BaseException) -> str:
    """An error in one line of at most 400 characters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]
