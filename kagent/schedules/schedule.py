"""What every schedule is, and how its arguments are checked."""

from __future__ import annotations

import math
import numbers
from typing import Any

from kagent.config.registry import Part, Registry
from kagent.schedules import numpy_math
from kagent.schedules.clock import UNITS, Clock

SCHEDULES = Registry(
    "schedule",
    arguments={"num_steps": "steps", "decay_steps": "steps", "initial_value": "initial", "final_value": "final"},
)


class Schedule(Part):
    """Base of the schedules. One of your own is a frozen dataclass with a `unit`, decorated
    `@keras.saving.register_keras_serializable()` where files are to name it.

    Attributes:
        unit: Which time of the `Clock` it reads.

    Example:

    >>> @dataclasses.dataclass(frozen=True)
    ... class SquareRoot(Schedule):
    ...     unit: str = "episodes"
    ...     bounds = (0.0, math.inf)
    ...
    ...     def at(self, time, numerics):
    ...         return numerics.sqrt(time)
    >>> SquareRoot()(Clock(episodes=16))
    4.0
    """

    unit: str

    def __call__(self, clock: Clock) -> Any:
        """The value at `clock`: a float where the clock holds numbers, a float32 tensor where it holds tensors."""
        time = getattr(clock, self.unit)
        if isinstance(time, numbers.Real):
            return float(self.seeded(clock.seed).at(float(time), numpy_math))
        from kagent.schedules import tensor_math  # the host needs no TensorFlow

        return tensor_math.single(self.seeded(clock.seed).at(tensor_math.double(time), tensor_math))

    def seeded(self, seed: int) -> Schedule:
        """The schedule that gives the values: this one, or one with `seed` where random numbers have no seed of their own."""
        return self

    def at(self, time: Any, numerics: Any) -> Any:
        """The formula.

        Args:
            time: Time in `unit`, a float or a float64 tensor. The learner computes in float64 too: float32 runs out
                of integers at 2**24, and only so does it agree with the host to the last bit of float32.
            numerics: The functions to write it with: `kagent.schedules.numpy_math` or `kagent.schedules.tensor_math`.
        """
        raise NotImplementedError

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which values it stays, ends included; infinite where nothing holds it."""
        raise NotImplementedError


def check_number(value: Any, name: str, above: float | None = None) -> float:
    """An argument of a schedule as the Python number it must be.

    Args:
        value: What was received. NumPy's numbers become Python's, so that configurations are JSON.
        name: The argument's.
        above: It must be larger than this.

    Raises:
        TypeError: No number. bool is none.
        ValueError: Not finite, or not above.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"`{name}` of a schedule must be a number. Received: {value!r}")
    try:
        size = float(value)
    except OverflowError:  # an integer beyond all floats
        size = math.inf
    if above is not None and not size > above:
        raise ValueError(f"`{name}` must be > {above}. Received: {value!r}")
    if not abs(size) < math.inf:
        raise ValueError(f"`{name}` must be finite. Received: {value!r}")
    return int(value) if isinstance(value, numbers.Integral) else size


def check_unit(unit: Any, allowed: tuple[str, ...] = UNITS) -> None:
    """Raises ValueError where a unit is none of the allowed."""
    if unit not in allowed:
        raise ValueError(f"`unit` must be one of {allowed}. Received: {unit!r}")


def check_steps(steps: Any, unit: Any) -> float | None:
    """`steps`, checked together with `unit`.

    Raises:
        TypeError, ValueError: No number > 0, or missing with a unit that has no end.
    """
    check_unit(unit)
    if steps is None:
        if unit != "progress":
            raise ValueError(f"`steps` is required with unit={unit!r}: how many {unit} the change takes")
        return None
    return check_number(steps, "steps", above=0)
