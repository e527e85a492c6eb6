"""A schedule within an interval of time."""

from __future__ import annotations

import dataclasses
from typing import Any

from kagent.schedules.get import get
from kagent.schedules.schedule import SCHEDULES, Schedule, check_number

_DECAYS = ("exponential", "inverse_time", "natural_exp", "polynomial")


@SCHEDULES.register()
@dataclasses.dataclass(frozen=True)
class Interval(Schedule):
    """Another schedule that begins later, ends earlier, or goes no lower than a minimum.

    Up to and including `start` it is what the other one is at time 0; from there on what that is at
    `min(time, stop) - start`; and nowhere less than `minimum`.

    Args:
        schedule: The other one, a `Schedule` or a dict of it; its `unit` is that of this one. None of Keras's.
        start: Time in that unit at which it begins, >= 0.
        stop: Time at which it stays where it is, > `start`. None: never.
        minimum: Least value. None: what the schedule has.

    Raises:
        TypeError, ValueError: Another `schedule`, or times or a minimum that are no such numbers.

    Example:

    >>> late = Interval(Linear(1.0, 0.0, steps=100, unit="timesteps"), start=50, stop=130, minimum=0.3)
    >>> [late(Clock(timesteps=timesteps)) for timesteps in (0, 50, 75, 110, 1000)]
    [1.0, 1.0, 0.75, 0.4, 0.3]
    """

    schedule: Any
    start: float = 0
    stop: float | None = None
    minimum: float | None = None
    unit: str = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        schedule = get(self.schedule)
        if not isinstance(schedule, Schedule) or type(schedule).at is Schedule.at:
            raise TypeError(f"`schedule` must be one of kagent.schedules. Received: {self.schedule!r}")
        object.__setattr__(self, "schedule", schedule)
        object.__setattr__(self, "unit", schedule.unit)
        object.__setattr__(self, "start", check_number(self.start, "start"))
        if self.start < 0:
            raise ValueError(f"`start` must be >= 0. Received: {self.start!r}")
        if self.stop is not None:
            object.__setattr__(self, "stop", check_number(self.stop, "stop", above=self.start))
        if self.minimum is not None:
            object.__setattr__(self, "minimum", check_number(self.minimum, "minimum"))

    @property
    def bounds(self) -> tuple[float, float]:
        """Those of the other schedule, raised to the minimum; with a `stop` they may not be reached."""
        low, high = self.schedule.bounds
        return (low, high) if self.minimum is None else (max(low, self.minimum), max(high, self.minimum))

    def seeded(self, seed: int) -> Schedule:
        inner = self.schedule.seeded(seed)
        return self if inner is self.schedule else dataclasses.replace(self, schedule=inner)

    def at(self, time: Any, numerics: Any) -> Any:
        held = time if self.stop is None else numerics.minimum(time, float(self.stop))
        value = self.schedule.at(numerics.maximum(held - self.start, 0.0), numerics)
        return value if self.minimum is None else numerics.maximum(value, float(self.minimum))


def decay(
    decay_type: str,
    initial: float,
    *,
    steps: float,
    decay_rate: float = 0.0,
    staircase: bool = False,
    final: float = 0.0,
    start: float = 0,
    stop: float | None = None,
    minimum: float | None = None,
    argument: str = "schedule",
) -> Interval:
    """A decay of timesteps by its name, within an interval.

    Args:
        decay_type: "exponential", "natural_exp", "inverse_time": by `decay_rate`; or "polynomial": in a straight line to
            `final`. With or without "_decay" behind it.
        initial: Value at the start.
        steps: Of the whole polynomial decay, or of one `decay_rate`, > 0.
        decay_rate: How fast, > 0; see `Exponential`, `NaturalExponential`, `InverseTime`.
        staircase: Change at whole multiples of `steps` only; not in the polynomial decay.
        final: Where the polynomial decay ends.
        start, stop, minimum: As for `Interval`.
        argument: What errors call it.

    Raises:
        TypeError, ValueError: An argument outside its range, or one that the decay does not have.

    Example:

    >>> decay("polynomial", 1.0, steps=100, start=50)(Clock(timesteps=75))
    0.75
    """
    name = decay_type.removesuffix("_decay") if isinstance(decay_type, str) else decay_type
    if name not in _DECAYS:
        raise ValueError(f"`{argument}.decay_type` must be one of {_DECAYS}. Received: {decay_type!r}")
    made: dict[str, Any] = {"type": f"{name}_decay", "initial": initial, "steps": steps, "unit": "timesteps"}
    if name == "polynomial":
        if decay_rate or staircase:
            raise ValueError(
                f"`{argument}.decay_rate` and `{argument}.staircase` do not belong to a polynomial_decay. "
                f"Received: {decay_rate!r}, {staircase!r}"
            )
        made |= {"final": final, "power": 1.0}
    elif initial:
        made |= {"decay_rate": decay_rate, "staircase": staircase}
    else:  # a decay of nothing
        made = {"type": "Constant", "value": initial}
    result: Interval = get(
        {"type": "Interval", "schedule": made, "start": start, "stop": stop, "minimum": minimum}, argument
    )
    return result
