"""The directories of runs: `summary-20260102-030405`, named by the second in which they begin."""

from __future__ import annotations

import datetime
import re
import shutil
from pathlib import Path

_NAME = re.compile(r"summary-\d{8}-\d{6}")
_SECOND = datetime.timedelta(seconds=1)
_FORMAT = "summary-%Y%m%d-%H%M%S"


def open_run(directory: Path, keep: int) -> Path:
    """Makes a run's directory, and deletes the oldest ones so that so many are left, the new one included.

    Names are in the order in which runs begin: of several in one second, the later ones are dated ahead. What has
    another name is left alone, links too.
    """
    directory.mkdir(parents=True, exist_ok=True)
    begin = datetime.datetime.now().replace(microsecond=0)
    others = {p: found for p in sorted(directory.iterdir()) if (found := _begin_of(p.name)) is not None}
    # Farther ahead is another clock's.
    ahead = [found for found in others.values() if begin <= found < begin + datetime.timedelta(hours=1)]
    begin = max([begin, *(found + _SECOND for found in ahead)])
    while True:
        path = directory / begin.strftime(_FORMAT)
        try:
            path.mkdir()
            break
        except FileExistsError:  # another process was faster
            begin += _SECOND
    runs = [p for p in others if p.is_dir() and not p.is_symlink()]
    for other in runs[: max(0, len(runs) + 1 - keep)]:
        shutil.rmtree(other)
    return path


def _begin_of(name: str) -> datetime.datetime | None:
    if not _NAME.fullmatch(name):
        return None
    try:
        return datetime.datetime.strptime(name, _FORMAT)
    except ValueError:  # no such day
        return None
