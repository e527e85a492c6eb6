"""Numbers that change over a run: any number marked "may be a schedule" takes one of these, or a dict of it.

A schedule is a pure function of the agent's `Clock`, on the host with Python numbers (exploration) and inside the
compiled learner with tensors (learning rates, clip ranges). It holds no state, so it needs no saving.
"""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any, NamedTuple

from kagent.registry import Registry

UNITS = ("progress", "timesteps", "episodes", "updates")
SCHEDULES = Registry("schedule")


class Clock(NamedTuple):
    """What time it is, in every unit.

    Attributes:
        timesteps: Environment steps so far.
        episodes: Finished episodes so far.
        updates: Gradient steps so far.
        progress: Part of the run's bound already used, 0 to 1 (`fit(steps=...)` or `fit(max_steps=...)`).
    """

    timesteps: Any = 0
    episodes: Any = 0
    updates: Any = 0
    progress: Any = 0.0


def _check(initial: float, final: float, unit: str, steps: float | None) -> None:
    for name, value in (("initial", initial), ("final", final), ("steps", 1 if steps is None else steps)):
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"`{name}` of a schedule must be a number. Received: {value!r}")
    if unit not in UNITS:
        raise ValueError(f"`unit` must be one of {UNITS}. Received: {unit!r}")
    if steps is None and unit != "progress":
        raise ValueError(f"`steps` is required with unit={unit!r}: how many {unit} the change takes")
    if steps is not None and not steps > 0:
        raise ValueError(f"`steps` must be > 0. Received: {steps}")


def _fraction(schedule: Any, clock: Clock) -> Any:
    done = getattr(clock, schedule.unit) / (1.0 if schedule.steps is None else schedule.steps)
    if isinstance(done, numbers.Number):
        return min(float(done), 1.0)  # type: ignore[arg-type]
    import tensorflow as tf

    return tf.minimum(tf.cast(done, tf.float32), 1.0)


@SCHEDULES.register()
@dataclasses.dataclass(frozen=True)
class Linear:
    """From `initial` to `final` in a straight line, then constant.

    Args:
        initial: Value at the start.
        final: Value from the end of the change on.
        steps: Length of the change in `unit`; with unit "progress" a part of the run, 0 to 1 (None: all of it).
        unit: `"progress"` (part of the run's bound), `"timesteps"`, `"episodes"` or `"updates"` (gradient steps).

    Example:

    >>> Linear(1.0, 0.0, steps=100, unit="timesteps")(Clock(timesteps=25))
    0.75
    """

    initial: float
    final: float
    steps: float | None = None
    unit: str = "progress"

    def __post_init__(self):
        _check(self.initial, self.final, self.unit, self.steps)

    def __call__(self, clock: Clock) -> Any:
        done = _fraction(self, clock)
        return (1 - done) * self.initial + done * self.final  # exact at both ends


@SCHEDULES.register()
@dataclasses.dataclass(frozen=True)
class Exponential:
    """From `initial` to `final` by a constant factor per unit of time, then constant. Both must be > 0.

    Args: as for `Linear`.

    Example:

    >>> Exponential(1.0, 0.01, steps=100, unit="timesteps")(Clock(timesteps=50))
    0.1
    """

    initial: float
    final: float
    steps: float | None = None
    unit: str = "progress"

    def __post_init__(self):
        _check(self.initial, self.final, self.unit, self.steps)
        if not (self.initial > 0 and self.final > 0):
            raise ValueError(f"`initial` and `final` must be > 0. Received: {self.initial}, {self.final}")

    def __call__(self, clock: Clock) -> Any:
        return self.initial * (self.final / self.initial) ** _fraction(self, clock)


def get(value: Any, argument: str = "schedule", minimum: float | None = None, maximum: float | None = None) -> Any:
    """A number as it is, a dict as the schedule it describes, a schedule as it is.

    Raises:
        TypeError: Neither number nor schedule.
        ValueError: Outside [minimum, maximum] (both ends of a schedule are checked).
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real | dict | Linear | Exponential):
        names = ", ".join(SCHEDULES.names)
        raise TypeError(f"`{argument}` must be a number or a schedule ({names}). Received: {value!r}")
    if not isinstance(value, numbers.Real):
        value = SCHEDULES.get(value, argument)
    ends = (value,) if isinstance(value, numbers.Real) else (value.initial, value.final)
    for end in map(float, ends):
        if (minimum is not None and not end >= minimum) or (maximum is not None and not end <= maximum):
            raise ValueError(f"`{argument}` must be in [{minimum}, {maximum}]. Received: {value}")
    return float(value) if isinstance(value, numbers.Real) else value


def evaluate(value: Any, clock: Clock) -> Any:
    """The number itself, or the schedule's value at `clock`."""
    return value(clock) if callable(value) else value


def start_of(value: Any) -> float:
    """The value before the first step."""
    return value if isinstance(value, float | int) else value.initial
