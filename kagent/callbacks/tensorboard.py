"""Keras's TensorBoard callback over an agent's own time."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from kagent.files.atomic_files import errors_of_tensorflow, naming_the_disk

UNITS = ("timesteps", "episodes", "updates")


class TensorBoard(keras.callbacks.TensorBoard):
    """Keras's TensorBoard callback whose curves of epochs, weights and validations are over timesteps.

    Keras's own x axis counts epochs, which are longer in a longer run: runs with other bounds cannot be compared by it. A
    metric that has no value yet, because no episode has ended and no update was made, has no point. What `update_freq`
    writes of batches stays over batches. A warning is given where the event files are removed during training: what Keras
    writes from then on is lost. Where they can no longer be written, as on a full disk, a warning says so once, and training
    goes on.

    Args:
        log_dir: Where event files go.
        unit: Of the x axis: "timesteps", "episodes" or "updates" (gradient steps), as the agent counts them.
        **arguments: As `keras.callbacks.TensorBoard` takes them.

    Raises:
        ValueError: Another unit.
        OSError: Event files cannot be written when training begins. The error names the directory and the bytes that are free.

    Example:

    >>> history = agent.fit("CartPole-v1", steps=1_000, callbacks=[TensorBoard("logs", unit="timesteps")])
    """

    histogram_freq: Any
    embeddings_freq: Any

    def __init__(self, log_dir: Any = "logs", unit: str = "timesteps", **arguments: Any):
        if unit not in UNITS:
            raise ValueError(f"`unit` must be one of {UNITS}. Received: {unit!r}")
        super().__init__(log_dir, **arguments)
        self.unit = unit
        self._there = False  # whether event files were there at the end of the last epoch
        self._failed = False  # whether they could not be written

    def set_model(self, model: Any) -> None:
        with naming_the_disk(Path(self.log_dir)), errors_of_tensorflow():
            super().set_model(model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        with naming_the_disk(Path(self.log_dir)), errors_of_tensorflow():
            super().on_train_begin(logs)
        self._there = self._failed = False

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        with self._surviving_a_full_disk():
            super().on_train_end(logs)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        with naming_the_disk(Path(self.log_dir)), errors_of_tensorflow():
            super().on_test_begin(logs)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        with self._surviving_a_full_disk():
            super().on_test_end(logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        with self._surviving_a_full_disk():
            super().on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        known = {name: value for name, value in (logs or {}).items() if not _is_nan(value)}
        every = self.histogram_freq, self.embeddings_freq
        # They are frequencies of epochs, which is not the number handed on.
        self.histogram_freq, self.embeddings_freq = (int(bool(n) and epoch % n == 0) for n in every)
        try:
            with self._surviving_a_full_disk():
                super().on_epoch_end(getattr(self.model, self.unit), known)
        finally:
            self.histogram_freq, self.embeddings_freq = every
        self._check_files()

    @contextlib.contextmanager
    def _surviving_a_full_disk(self) -> Iterator[None]:
        try:
            with naming_the_disk(Path(self.log_dir)), errors_of_tensorflow():
                yield
        except OSError as error:
            if not self._failed:
                self._failed = True
                warnings.warn(f"Curves cannot be written, and training goes on without them. {error}", stacklevel=3)

    def _check_files(self) -> None:
        there = any(Path(self.log_dir).joinpath("train").glob("events.out.tfevents.*"))
        if self._there and not there:
            warnings.warn(
                f"The event files in {str(self.log_dir)!r} were removed during training: these curves are lost, and further "
                "points are too. The next `fit` begins new files.",
                stacklevel=2,
            )
        self._there = there


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
