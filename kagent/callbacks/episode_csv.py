"""A table of episodes in a CSV file."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import time
import warnings
from pathlib import Path
from typing import Any

from kagent.callbacks.callback import Callback
from kagent.files.atomic_files import local_path, lock, naming_the_disk

COLUMNS = ("timesteps", "episode", "env", "episode_return", "episode_length", "seconds")


class EpisodeCSV(Callback):
    """One row for each finished episode, in a CSV file.

    The columns are `timesteps` (`agent.timesteps` at the episode's end), `episode` (its number, from 0 over the agent's life),
    `env` (the environment's index), `episode_return` (undiscounted, as in the logs of `fit`), `episode_length` (timesteps) and
    `seconds` (of training, to the episode's end; a run that goes on counts on). `keras.callbacks.CSVLogger` has one row for
    each epoch, with means.

    A row is in the file as soon as its episode ends: a process that is killed loses none. Give this callback before a
    `Checkpoint`, so that a row is written before the agent is saved that has its episode behind it. A run that goes on from a
    checkpoint plays the episodes after it again: their rows, and a row that was cut in half, are removed first. A new agent
    begins a new file; one that is there is kept beside it, as `episodes-before-1.csv`, with a warning. A file that is removed
    while it is written begins anew, with a warning.

    Args:
        path: The file, on this machine; made with its folder if need be.

    Raises:
        TypeError, ValueError: `path` is none of this machine, or a folder.
        ValueError: When training begins: the file is no table of `EpisodeCSV`, or of another run than the agent's, or another
            `EpisodeCSV` writes it now, in this process or another one.
        OSError: The disk cannot take a row. The error names the file and the bytes that are free, and the file ends with the
            row before.

    Example:

    >>> history = agent.fit("CartPole-v1", steps=2_000, callbacks=[EpisodeCSV("episodes.csv")], verbose=0)
    >>> import csv
    >>> with open("episodes.csv", newline="") as file:
    ...     rows = list(csv.DictReader(file))
    >>> len(rows) == agent.episodes
    True
    """

    needs_episodes = True

    def __init__(self, path: str | os.PathLike[str]):
        super().__init__()
        self.path = local_path(path, "path")
        if self.path.is_dir():
            raise ValueError(f"`path` must be a file, not a folder. Received: {str(self.path)!r}")
        self._file: io.FileIO | None = None
        self._end = 0  # of the last whole row, in bytes
        self._begin = 0.0  # when training began, less the seconds of the rows before
        self._placed = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._close()
        self._open()
        self._placed = False
        self._begin = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._placed:  # now every callback has loaded what it loads
            self._placed = True
            self._go_on()

    def on_episode_end(self, episode: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        seconds = round(time.perf_counter() - self._begin, 3)
        outcome = logs["env"], logs["episode_return"], logs["episode_length"]
        self._write((self.model.timesteps, episode, *outcome, seconds))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._close()

    def on_train_abort(self) -> None:
        self._close()

    def _open(self) -> None:
        with naming_the_disk(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "ab", buffering=0)
        if not lock(self._file.fileno()):
            self._close()
            raise ValueError(f"Another EpisodeCSV writes {str(self.path)!r} now. Give each run a file of its own")

    def _go_on(self) -> None:
        """Takes away the rows that are to come again, and sets a file of another agent aside."""
        size, seconds = _kept(self.path, self.model.episodes, self.model.timesteps)
        if self.model.timesteps == 0 and size and _rows(self.path):
            self._set_aside()
            size = 0
        assert self._file is not None
        if self.path.is_file():  # no device
            self._file.truncate(size)
        self._end = size
        self._begin = time.perf_counter() - seconds
        if not size:
            self._write(COLUMNS)

    def _set_aside(self) -> None:
        number = 1
        while (former := self.path.with_name(f"{self.path.stem}-before-{number}{self.path.suffix}")).exists():
            number += 1
        self._close()
        os.rename(self.path, former)
        self._open()
        warnings.warn(
            f"{str(self.path)!r} held the episodes of another run. They are in {former.name!r} now, and this run begins a new file",
            stacklevel=2,
        )

    def _begin_anew(self) -> None:
        self._close()
        self._open()
        self._end = 0
        self._write(COLUMNS)
        warnings.warn(
            f"{str(self.path)!r} was removed while it was written: the rows up to now are lost. Later ones go to a new file there",
            stacklevel=2,
        )

    def _write(self, row: Any) -> None:
        assert self._file is not None
        if os.fstat(self._file.fileno()).st_nlink == 0:
            self._begin_anew()
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(row)
        line = text.getvalue().encode()
        try:
            with naming_the_disk(self.path):
                written = 0
                while written < len(line):
                    written += self._file.write(line[written:])
        except OSError:
            with contextlib.suppress(OSError):  # half a row is none
                self._file.truncate(self._end)
            raise
        self._end += len(line)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _rows(path: Path) -> int:
    with open(path, "rb") as file:
        return max(sum(1 for line in file) - 1, 0)


def _kept(path: Path, episodes: int, timesteps: int) -> tuple[int, float]:
    """How much of a file is of episodes before number `episodes`.

    Returns:
        Bytes, up to the end of the last of these rows, and the seconds in it; 0 where there is no row.

    Raises:
        ValueError: It is another table, or of another run.
    """
    if not path.is_file():
        return 0, 0.0
    with open(path, "rb") as file:
        head = file.readline()
        if not head.endswith(b"\n"):
            if head and not _header().startswith(head):
                raise ValueError(_other(path, head))
            return 0, 0.0  # cut before the header was whole
        if head.replace(b"\r\n", b"\n") != _header():
            raise ValueError(_other(path, head))
        size, seconds = len(head), 0.0
        for number, line in enumerate(file, 2):
            if not line.endswith(b"\n"):
                break  # cut in half
            try:
                row = dict(zip(COLUMNS, line.decode().strip().split(","), strict=True))
                at, episode, passed = int(row["timesteps"]), int(row["episode"]), float(row["seconds"])
            except ValueError as error:
                raise ValueError(
                    f"Line {number} of {str(path)!r} is no row of an EpisodeCSV. Received: {line!r}"
                ) from error
            if episode >= episodes:
                break
            if at > timesteps:
                raise ValueError(
                    f"{str(path)!r} is of another run: its episode {episode} ended at timestep {at}, where the agent has "
                    f"{episodes} episodes and {timesteps} timesteps. Give each run a file of its own"
                )
            size, seconds = size + len(line), passed
    return size, seconds


def _header() -> bytes:
    return (",".join(COLUMNS) + "\n").encode()


def _other(path: Path, head: bytes) -> str:
    return f"{str(path)!r} is no table of an EpisodeCSV: its first line must be {_header().decode().strip()!r}. Received: {head[:200]!r}"
