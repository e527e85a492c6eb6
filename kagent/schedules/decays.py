"""Towards a limit by a rate."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from kagent.config.checks import check_flag
from kagent.schedules import numpy_math
from kagent.schedules.schedule import SCHEDULES, Schedule, check_number, check_steps


class _Decay(Schedule):
    # Shared by the schedules that change in one direction for as long as the time goes on.
    steps: float | None
    staircase: bool

    @property
    def bounds(self) -> tuple[float, float]:
        ends = [float(self.at(time, numpy_math)) for time in (0.0, 1.0 if self.unit == "progress" else math.inf)]
        return min(ends), max(ends)

    def _passed(self, time: Any, numerics: Any) -> Any:
        passed = time if self.steps is None else time / self.steps
        return numerics.floor(passed) if self.staircase else passed


@SCHEDULES.register("exponential_decay")
@dataclasses.dataclass(frozen=True)
class Exponential(_Decay):
    """By a constant factor per unit of time: to `final` and then constant, or by `decay_rate` without end.

    With `final`: `initial**(1 - t) * final**t`, t from 0 to 1 over `steps`. With `decay_rate`:
    `initial * decay_rate**(time / steps)`, as `keras.optimizers.schedules.ExponentialDecay`.

    Args:
        initial: Value at the start, > 0.
        final: Value from the end of the change on, > 0.
        steps: Length of the change, or of one `decay_rate`, in `unit`; with unit "progress" a part of the run, 0 to 1
            (None: all of it).
        unit: As for `Linear`.
        decay_rate: In place of `final`: factor per `steps`, > 0. Below 1 the value falls, above 1 it grows.
        staircase: With `decay_rate`: change at whole multiples of `steps` only.

    Raises:
        TypeError, ValueError: An argument is no finite number > 0, both or none of `final` and `decay_rate`, or
            `staircase` with `final`.

    Example:

    >>> Exponential(1.0, 0.01, steps=100, unit="timesteps")(Clock(timesteps=50))
    0.1
    >>> Exponential(1.0, decay_rate=0.5, steps=100, unit="timesteps")(Clock(timesteps=300))
    0.125
    """

    initial: float
    final: float | None = None
    steps: float | None = None
    unit: str = "progress"
    decay_rate: float | None = None
    staircase: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", check_steps(self.steps, self.unit))
        check_flag(self.staircase, "staircase")
        if (self.final is None) == (self.decay_rate is None):
            raise ValueError(
                f"`final` or `decay_rate` is required, not both. Received: {self.final!r}, {self.decay_rate!r}"
            )
        if self.staircase and self.final is not None:
            raise ValueError(f"`staircase` goes with `decay_rate`, not with `final`. Received: final={self.final!r}")
        for name in ("initial", "decay_rate" if self.final is None else "final"):
            object.__setattr__(self, name, check_number(getattr(self, name), name, above=0))

    @property
    def bounds(self) -> tuple[float, float]:
        if self.final is None:
            return super().bounds
        return min(self.initial, self.final), max(self.initial, self.final)

    def at(self, time: Any, numerics: Any) -> Any:
        passed = self._passed(time, numerics)
        if self.final is None:
            return self.initial * numerics.power(self.decay_rate, passed)
        done = numerics.minimum(passed, 1.0)
        return self.initial ** (1.0 - done) * self.final**done  # exact at both ends


@SCHEDULES.register("inverse_time_decay")
@dataclasses.dataclass(frozen=True)
class InverseTime(_Decay):
    """By the inverse of time: `initial / (1 + decay_rate * time / steps)`.

    As `keras.optimizers.schedules.InverseTimeDecay`. It meets the conditions of Robbins and Monro 1951, "A stochastic
    approximation method": the sum of all its values is infinite, that of their squares is not.

    Args:
        initial: Value at the start.
        decay_rate: How much is added to the divisor per `steps`, > 0.
        steps: In `unit`; with unit "progress" a part of the run, 0 to 1 (None: all of it).
        unit: As for `Linear`.
        staircase: Change at whole multiples of `steps` only.

    Raises:
        TypeError, ValueError: An argument is no finite number, or `decay_rate` or `steps` is not > 0.

    Example:

    >>> InverseTime(1.0, decay_rate=0.5, steps=100, unit="timesteps")(Clock(timesteps=200))
    0.5
    """

    initial: float
    decay_rate: float
    steps: float | None = None
    unit: str = "progress"
    staircase: bool = False

    def __post_init__(self) -> None:
        _check_rate(self)

    def at(self, time: Any, numerics: Any) -> Any:
        return self.initial / (1.0 + self.decay_rate * self._passed(time, numerics))


@SCHEDULES.register("natural_exp", "natural_exp_decay")
@dataclasses.dataclass(frozen=True)
class NaturalExponential(_Decay):
    """By a rate of the natural exponential: `initial * exp(-decay_rate * time / steps)`.

    The same as `Exponential` with the factor `exp(-decay_rate)`, in the words of those who think in rates.

    Args:
        initial: Value at the start.
        decay_rate: Rate per `steps`, > 0.
        steps: In `unit`; with unit "progress" a part of the run, 0 to 1 (None: all of it).
        unit: As for `Linear`.
        staircase: Change at whole multiples of `steps` only.

    Raises:
        TypeError, ValueError: An argument is no finite number, or `decay_rate` or `steps` is not > 0.

    Example:

    >>> round(NaturalExponential(0.1, decay_rate=0.5, steps=100, unit="timesteps")(Clock(timesteps=150)), 7)
    0.0472367
    """

    initial: float
    decay_rate: float
    steps: float | None = None
    unit: str = "progress"
    staircase: bool = False

    def __post_init__(self) -> None:
        _check_rate(self)

    def at(self, time: Any, numerics: Any) -> Any:
        return self.initial * numerics.power(math.exp(-self.decay_rate), self._passed(time, numerics))


def _check_rate(schedule: Any) -> None:
    object.__setattr__(schedule, "initial", check_number(schedule.initial, "initial"))
    object.__setattr__(schedule, "decay_rate", check_number(schedule.decay_rate, "decay_rate", above=0))
    object.__setattr__(schedule, "steps", check_steps(schedule.steps, schedule.unit))
    check_flag(schedule.staircase, "staircase")
