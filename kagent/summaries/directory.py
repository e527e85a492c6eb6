"""The directories of runs: `summary-20260102-030405`, named by the second in which they begin."""

from __future__ import annotations

import datetime
import re
import shutil
from pathlib import Path

_NAME = re.compile(r"summary-\d{8}-\d{6}")
_FORMAT = "summary-%Y%m%d-%H%M%S"


def open_run(directory: Path, keep: int) -> Path:
    """Makes a run's directory, and deletes the oldest ones so that so many are left, the new one included.

    Runs that begin in one second take the next free ones. What has another name is left alone, links too.
    """
    directory.mkdir(parents=True, exist_ok=True)
    begin = datetime.datetime.now().replace(microsecond=0)
    while True:
        path = directory / begin.strftime(_FORMAT)
        try:
            path.mkdir()
            break
        except FileExistsError:
            begin += datetime.timedelta(seconds=1)
    runs = [p for p in directory.iterdir() if _NAME.fullmatch(p.name) and p.is_dir() and not p.is_symlink()]
    older = sorted(p for p in runs if p != path)
    for other in older[: max(0, len(older) + 1 - keep)]:
        shutil.rmtree(other)
    return path
