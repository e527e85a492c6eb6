"""Numbers that change over a run: Tensorforce's parameters as schedules."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import keras

from kagent import schedules
from kagent.compat.tensorforce.translation.context import check_taken
from kagent.schedules import Schedule
from kagent.schedules.schedule import SCHEDULES

_TIME = {"unit": "unit", "num_steps": "steps", "decay_steps": "steps", "initial_value": "initial"}
# Tensorforce's types: the schedule, and its arguments by theirs.
PARAMETERS: dict[str, tuple[str, dict[str, str]]] = {
    "constant": ("Constant", {"value": "value"}),
    "linear": ("Linear", {**_TIME, "final_value": "final"}),
    "polynomial": ("Polynomial", {**_TIME, "final_value": "final", "power": "power", "cycle": "cycle"}),
    "exponential": ("Exponential", {**_TIME, "decay_rate": "decay_rate", "staircase": "staircase"}),
    "inverse_time": ("InverseTime", {**_TIME, "decay_rate": "decay_rate", "staircase": "staircase"}),
    "natural_exp": ("NaturalExponential", {**_TIME, "decay_rate": "decay_rate", "staircase": "staircase"}),
    "cosine": ("Cosine", {**_TIME, "alpha": "final"}),
    "piecewise_constant": ("Piecewise", {"unit": "unit", "boundaries": "boundaries", "values": "values"}),
    "ornstein_uhlenbeck": (
        "OrnsteinUhlenbeck", {name: name for name in ("theta", "sigma", "mu", "absolute", "unit")},
    ),
    "random": (
        "Random", {name: name for name in ("distribution", "mean", "stddev", "minval", "maxval", "unit")},
    ),
}  # fmt: skip
_MODIFIERS = ("increasing", "inverse", "scale")
_REFUSED = ("cosine_restarts", "linear_cosine", "linear_cosine_noisy")


@keras.saving.register_keras_serializable("kagent")
@dataclasses.dataclass(frozen=True)
class Changed(Schedule):
    """Another schedule's value x as Tensorforce's decays change it: `1 - x`, then `1 / x`, then `scale * x`, then plus `shift`.

    Args:
        schedule: The other schedule.
        increasing: Whether 1 - x takes the place of x.
        inverse: Whether 1 / x does.
        scale: Factor.
        shift: Is added.

    Example:

    >>> rising = Changed({"type": "Linear", "initial": 1.0, "final": 0.0, "steps": 10, "unit": "updates"}, increasing=True)
    >>> rising(kagent.schedules.Clock(updates=4))
    0.4
    """

    schedule: Any
    increasing: bool = False
    inverse: bool = False
    scale: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedule", SCHEDULES.get(self.schedule, "schedule"))

    @property
    def unit(self) -> str:  # type: ignore[override]
        """Which time it reads."""
        unit: str = self.schedule.unit
        return unit

    def seeded(self, seed: int) -> Schedule:
        return dataclasses.replace(self, schedule=self.schedule.seeded(seed))

    def at(self, time: Any, numerics: Any) -> Any:
        return self._of(self.schedule.at(time, numerics))

    @property
    def bounds(self) -> tuple[float, float]:
        low, high = self.schedule.bounds
        if self.inverse and (1.0 - high <= 0.0 <= 1.0 - low if self.increasing else low <= 0.0 <= high):
            return -math.inf, math.inf
        ends = [self._of(end) for end in (low, high)]
        return min(ends), max(ends)

    def _of(self, value: Any) -> Any:
        value = 1.0 - value if self.increasing else value
        value = 1.0 / value if self.inverse else value
        return self.scale * value + self.shift


def parameter(value: Any, argument: str) -> Any:
    """A number as it is, and a specification as a schedule.

    Args:
        value: A number, None, a schedule of kagent's or Keras's, or a dict `{"type": name, **arguments}`.
        argument: Its name, for errors.

    Raises:
        ValueError: An unknown type or argument.
    """
    if not isinstance(value, Mapping) or "class_name" in value:
        return value
    given = {name: one for name, one in value.items() if name != "dtype"}  # numbers have the dtype that they need
    kind = given.pop("type", "constant")
    if kind == "decaying":
        kind = given.pop("decay", None)
    if kind in _REFUSED:
        raise ValueError(
            f"`{argument}` {kind!r} is gone. Received: {value}. Allowed: {', '.join(PARAMETERS)}, or the schedule in "
            "keras.optimizers.schedules"
        )
    if kind not in PARAMETERS:
        raise ValueError(f"`{argument}` has no type {kind!r}. Received: {value}. Allowed: {', '.join(PARAMETERS)}")
    name, known = PARAMETERS[kind]
    check_taken(given, [*known, *_MODIFIERS], argument)
    changes = {key: given.pop(key) for key in _MODIFIERS if key in given}
    made = {known[key]: one for key, one in given.items()}
    if kind == "cosine":
        made["final"] = made.get("final", 0.0) * made.get("initial", 1.0)
    if kind == "piecewise_constant" and made.get("boundaries") and made["boundaries"][0] == 0:
        # A value holds up to and including its boundary: the first one at time 0 alone.
        made["boundaries"], made["values"] = list(made["boundaries"])[1:], list(made["values"])[1:]
    if kind == "constant" and not changes:
        return made["value"]
    schedule = schedules.get({"type": name, **made}, argument)
    return Changed(schedule, **changes) if changes else schedule


def shifted(value: Any, shift: int) -> Any:
    """A whole number or a schedule of such, with `shift` added."""
    return value + shift if isinstance(value, int) else Changed(value, shift=float(shift))
