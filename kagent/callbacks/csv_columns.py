"""The columns of CSV logs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras


class Columns(keras.callbacks.Callback):
    """Chooses the columns of the `CSVLogger` behind it, which has only the first epoch to go by: without it, each has a second
    one for validation, whether that is made or not, and what only validation logs has none.

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
