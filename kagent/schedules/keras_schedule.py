"""Keras's own schedules in the place of kagent's."""

from __future__ import annotations

import copy
import dataclasses
import math
import numbers
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from kagent.config import allowed
from kagent.config.registry import plain
from kagent.schedules.clock import Clock
from kagent.schedules.schedule import Schedule


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class KerasSchedule(Schedule):
    """A `keras.optimizers.schedules.LearningRateSchedule` as a schedule. It counts updates, as in an optimizer.

    In a configuration it is what it is in Keras: `{"class_name": ..., "config": ...}`. On the host too it computes
    with TensorFlow, so a reading there takes a fraction of a millisecond.

    Args:
        schedule: The Keras object.

    Example:

    >>> schedule = KerasSchedule(keras.optimizers.schedules.PiecewiseConstantDecay([100], [0.5, 0.25]))
    >>> schedule(Clock(updates=100)), schedule(Clock(updates=101))
    (0.5, 0.25)
    """

    schedule: Any

    unit = "updates"

    def __call__(self, clock: Clock) -> Any:
        on_host = isinstance(clock.updates, numbers.Real)
        step = tf.constant(int(clock.updates), tf.int64) if on_host else tf.cast(clock.updates, tf.int64)
        value = tf.cast(self.schedule(step), tf.float32)
        return float(value.numpy()) if on_host else value

    @property
    def bounds(self) -> tuple[float, float]:
        """Its least and greatest value at the updates where it may turn, and at many between.

        Keras's schedules do not say where they stay. They are read at the start, at powers of four up to 2**30, and at
        and just after every number of their configuration, such as the boundaries of pieces and the ends of a warm-up.

        Raises:
            ValueError: It cannot be read.
        """
        try:
            values = [self(Clock(updates=updates)) for updates in sorted(set(self._turns()))]
        except Exception as error:  # whatever a schedule of the user's own may raise
            raise ValueError(f"{self!r} cannot be evaluated: {error}") from error
        if any(math.isnan(value) for value in values):
            return math.nan, math.nan
        return min(values), max(values)

    def _turns(self) -> Iterator[int]:
        yield 0
        yield from (4**i for i in range(16))
        for number in _numbers(self._config()):
            if 1 <= number < 2**62:
                yield from (int(number), int(number) + 1)

    def get_part(self) -> dict[str, Any]:
        """Its Keras configuration."""
        result: dict[str, Any] = plain(self.schedule)
        return result

    def _config(self) -> Any:
        try:
            return plain(self.schedule.get_config())
        except NotImplementedError:  # a schedule without is used all the same, but not saved
            return None

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, KerasSchedule) or type(self.schedule) is not type(other.schedule):
            return NotImplemented
        config = self._config()
        return self.schedule is other.schedule or (config is not None and config == other._config())

    def __hash__(self) -> int:
        return hash(type(self.schedule))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in (self._config() or {}).items())
        return f"{type(self.schedule).__name__}({arguments})"


def from_config(config: dict[str, Any]) -> KerasSchedule:
    """The schedule of a Keras configuration `{"class_name": ..., "config": ...}`.

    Only classes of `keras.optimizers.schedules`, and those registered with
    `keras.saving.register_keras_serializable`, can be made: nothing is imported.

    Raises:
        ValueError: Another class, or arguments it refuses.
    """
    base = keras.optimizers.schedules.LearningRateSchedule
    own = {name: cls for name, cls in vars(keras.optimizers.schedules).items() if _is_subclass(cls, base)}
    name, registered = config["class_name"], config.get("registered_name")
    found: Any = None
    if registered is not None:
        found = keras.saving.get_registered_object(str(registered))
    elif isinstance(name, str):
        found = own.get(name) or keras.saving.get_registered_object(name)
    if not _is_subclass(found, base):
        raise ValueError(
            f"Unknown Keras schedule. Received: {registered or name!r}. Known: {', '.join(sorted(own))}, and classes "
            "registered with keras.saving.register_keras_serializable"
        )
    allowed.check(config, "learning_rate")
    arguments = config.get("config")
    if not isinstance(arguments, dict):
        raise ValueError(f"`config` of a Keras schedule must be a dict. Received: {arguments!r}")
    try:
        return KerasSchedule(found.from_config(copy.deepcopy(arguments)))  # Keras writes into such dicts
    except (TypeError, ValueError) as error:
        raise ValueError(f"{found.__name__} refuses its config: {error}") from error


def _is_subclass(cls: Any, base: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, base) and cls is not base


def _numbers(config: Any) -> Iterator[float]:
    if isinstance(config, dict):
        config = list(config.values())
    if isinstance(config, list):
        for item in config:
            yield from _numbers(item)
    elif isinstance(config, numbers.Real) and not isinstance(config, bool):
        yield float(config)
