"""Constant, altogether or in pieces."""

from __future__ import annotations

import dataclasses
from typing import Any

from kagent.schedules.schedule import SCHEDULES, Schedule, check_number, check_unit


@SCHEDULES.register()
@dataclasses.dataclass(frozen=True)
class Constant(Schedule):
    """Always the same, as a bare number.

    Args:
        value: The number.

    Raises:
        TypeError, ValueError: No finite number.

    Example:

    >>> Constant(0.25)(Clock(timesteps=100))
    0.25
    """

    value: float

    unit = "timesteps"  # read, to no effect

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", check_number(self.value, "value"))

    @property
    def bounds(self) -> tuple[float, float]:
        return self.value, self.value

    def at(self, time: Any, numerics: Any) -> Any:
        return self.value


@SCHEDULES.register("piecewise_constant")
@dataclasses.dataclass(frozen=True)
class Piecewise(Schedule):
    """Constant between boundaries: `values[0]` up to and including `boundaries[0]`, then `values[1]`, and so on.

    As `keras.optimizers.schedules.PiecewiseConstantDecay`.

    Args:
        boundaries: Times in `unit` after which the next value holds, > 0 and rising; with unit "progress" parts of
            the run, below 1.
        values: The values, one more than boundaries.
        unit: As for `Linear`.

    Raises:
        TypeError, ValueError: No lists of finite numbers, boundaries that do not rise, or values of another number.

    Example:

    >>> schedule = Piecewise([100, 200], [1.0, 0.5, 0.1], unit="updates")
    >>> [schedule(Clock(updates=updates)) for updates in (0, 100, 101, 200, 201)]
    [1.0, 1.0, 0.5, 0.5, 0.1]
    """

    boundaries: tuple[float, ...]
    values: tuple[float, ...]
    unit: str = "progress"

    def __post_init__(self) -> None:
        check_unit(self.unit)
        for name in ("boundaries", "values"):
            given = getattr(self, name)
            if not isinstance(given, list | tuple):
                raise TypeError(f"`{name}` must be a list of numbers. Received: {given!r}")
            numbers = tuple(check_number(item, f"{name}[{i}]") for i, item in enumerate(given))
            object.__setattr__(self, name, numbers)
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                "`values` must be one more than `boundaries`. "
                f"Received: {len(self.values)} values, {len(self.boundaries)} boundaries"
            )
        if not all(a < b for a, b in zip((0, *self.boundaries), self.boundaries)):
            raise ValueError(f"`boundaries` must be > 0 and rising. Received: {list(self.boundaries)}")
        if self.unit == "progress" and self.boundaries and self.boundaries[-1] >= 1:
            raise ValueError(
                "`boundaries` with unit='progress' are parts of the run, below 1 (give another `unit`). "
                f"Received: {list(self.boundaries)}"
            )

    @property
    def bounds(self) -> tuple[float, float]:
        return min(self.values), max(self.values)

    def at(self, time: Any, numerics: Any) -> Any:
        value = self.values[0]
        for boundary, following in zip(self.boundaries, self.values[1:]):
            value = numerics.where(time > boundary, following, value)
        return value
