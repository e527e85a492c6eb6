"""The columns of CSV logs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras

from kagent.files.atomic_files import naming_the_disk


class _NamedFile:
    """A file whose errors of a disk that is full say which file it is, and what is free: Python's say neither."""

    def __init__(self, file: Any, path: Path):
        self._file, self._path = file, path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        with naming_the_disk(self._path):
            return int(self._file.write(text))

    def flush(self) -> None:
        with naming_the_disk(self._path):
            self._file.flush()

    def close(self) -> None:
        with naming_the_disk(self._path):
            self._file.close()


class Columns(keras.callbacks.Callback):
    """Chooses the columns of the `CSVLogger` behind it, which has only the first epoch to go by: without it, each has a second
    one for validation, whether that is made or not, and what only validation logs has none. A disk that is full is an error with
    the log's path.

    Args:
        logger: A `keras.callbacks.CSVLogger`.
        validation: Names of what validation logs, in whatever epoch.
    """

    def __init__(self, logger: Any, validation: Iterable[str] = ()):
        super().__init__()
        self.logger, self.validation = logger, list(validation)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.logger.keys is None and logs:
            self.logger.keys = sorted({*logs, *self.validation})
        if not isinstance(self.logger.csv_file, _NamedFile):
            self.logger.csv_file = _NamedFile(self.logger.csv_file, Path(self.logger.filename))


def with_columns(callbacks: list[Any], validation: Iterable[str]) -> list[Any]:
    """Callbacks with a `Columns` before each `CSVLogger`.

    Args:
        callbacks: Those of a `fit`.
        validation: As of `Columns`.
    """
    found: list[Any] = []
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.CSVLogger):
            found.append(Columns(callback, validation))
        found.append(callback)
    return found
