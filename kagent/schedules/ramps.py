"""From one value to another over a given time, then constant."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from kagent.config.checks import check_flag
from kagent.schedules.schedule import SCHEDULES, Schedule, check_number, check_steps


@dataclasses.dataclass(frozen=True)
class Ramp(Schedule):
    """Base of the schedules that go from `initial` to `final`: `initial * w + final * (1 - w)`, w from 1 to 0."""

    initial: float
    final: float
    steps: float | None = None
    unit: str = "progress"

    def __post_init__(self) -> None:
        for name in ("initial", "final"):
            object.__setattr__(self, name, check_number(getattr(self, name), name))
        object.__setattr__(self, "steps", check_steps(self.steps, self.unit))

    @property
    def bounds(self) -> tuple[float, float]:
        return min(self.initial, self.final), max(self.initial, self.final)

    def part(self, time: Any) -> Any:
        """Part of the change's length that has passed, beyond 1 after its end."""
        return time if self.steps is None else time / self.steps

    def at(self, time: Any, numerics: Any) -> Any:
        weight = self.weight(self.part(time), numerics)
        return weight * self.initial + (1.0 - weight) * self.final  # exact at both ends

    def weight(self, part: Any, numerics: Any) -> Any:
        """How much of `initial` is left."""
        raise NotImplementedError


@SCHEDULES.register()
@dataclasses.dataclass(frozen=True)
class Linear(Ramp):
    """From `initial` to `final` in a straight line, then constant.

    Args:
        initial: Value at the start.
        final: Value from the end of the change on.
        steps: Length of the change in `unit`; with unit "progress" a part of the run, 0 to 1 (None: all of it).
        unit: `"progress"` (part of the run's bound), `"timesteps"`, `"episodes"` or `"updates"` (gradient steps).

    Raises:
        TypeError, ValueError: An argument is no finite number, `steps` is not > 0 or missing where there is no end.

    Example:

    >>> Linear(1.0, 0.0, steps=100, unit="timesteps")(Clock(timesteps=25))
    0.75
    """

    def at(self, time: Any, numerics: Any) -> Any:
        done = numerics.minimum(self.part(time), 1.0)
        return (1.0 - done) * self.initial + done * self.final  # done itself has more digits than 1 - (1 - done)


@SCHEDULES.register("polynomial_decay")
@dataclasses.dataclass(frozen=True)
class Polynomial(Ramp):
    """From `initial` to `final` along a power of the time left, then constant: `final + (initial - final) * (1 - t)**p`.

    As `keras.optimizers.schedules.PolynomialDecay`.

    Args:
        initial, final, steps, unit: As for `Linear`.
        power: Exponent p > 0. 1 is a straight line, larger falls faster at first, smaller later.
        cycle: Start again at the end, somewhat lower: over twice `steps`, over three times `steps`, and so on. The
            start of cycle n is `final + (initial - final) * (1 / n)**p`.

    Raises:
        TypeError, ValueError: As for `Linear`, or `power` is not > 0.

    Example:

    >>> Polynomial(1.0, 0.0, steps=10, unit="updates", power=2)(Clock(updates=5))
    0.25
    """

    power: float = 1.0
    cycle: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "power", check_number(self.power, "power", above=0))
        check_flag(self.cycle, "cycle")

    def weight(self, part: Any, numerics: Any) -> Any:
        done = part / numerics.maximum(numerics.ceil(part), 1.0) if self.cycle else numerics.minimum(part, 1.0)
        return numerics.power(1.0 - done, self.power)


@SCHEDULES.register()
@dataclasses.dataclass(frozen=True)
class Cosine(Ramp):
    """From `initial` to `final` along half a cosine, then constant: slow at both ends.

    `final + (initial - final) * (1 + cos(pi * t)) / 2`, Loshchilov and Hutter 2017 (arXiv:1608.03983), eq. 5 without
    restarts. As `keras.optimizers.schedules.CosineDecay`, whose `alpha` is `final / initial`.

    Args:
        initial, final, steps, unit: As for `Linear`.

    Raises:
        TypeError, ValueError: As for `Linear`.

    Example:

    >>> schedule = Cosine(1.0, 0.0, steps=100, unit="timesteps")
    >>> [round(schedule(Clock(timesteps=timesteps)), 3) for timesteps in (0, 25, 50, 75, 100)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """

    def weight(self, part: Any, numerics: Any) -> Any:
        return 0.5 * (1.0 + numerics.cos(math.pi * numerics.minimum(part, 1.0)))
