"""The columns of CSV logs."""

from __future__ import annotations

from typing import Any

import keras


class Columns(keras.callbacks.Callback):
    """Chooses the columns of the `CSVLogger` behind it: without it, each has a second one for a validation that is not made.

    Args:
        logger: A `keras.callbacks.CSVLogger`.
    """

    def __init__(self, logger: Any):
        super().__init__()
        self.logger = logger

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.logger.keys is None and logs:
            self.logger.keys = sorted(logs)


def with_columns(callbacks: list[Any], validated: bool) -> list[Any]:
    """Callbacks with a `Columns` before each `CSVLogger`.

    Args:
        callbacks: Those of a `fit`.
        validated: Whether it has a validation, whose columns then may come later than with the first epoch.
    """
    found: list[Any] = []
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.CSVLogger) and not validated:
            found.append(Columns(callback))
        found.append(callback)
    return found
