"""How targets follow."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

import tensorflow as tf

from kagent import schedules
from kagent.config.registry import Part, Registry
from kagent.schedules import Clock

TARGETS = Registry("target", arguments={"update_weight": "tau", "sync_frequency": "period"})


@TARGETS.register("synchronization")
@dataclasses.dataclass(frozen=True)
class Target(Part):
    """How target networks follow their online networks: `target += tau * (online - target)`.

    In dicts it is also called `"synchronization"`, with `update_weight` for `tau` and `sync_frequency` for `period`.

    Args:
        tau: How far a target moves each time, 0 to 1. 1 copies; 0.005 trails by about 200 moves. Larger learns faster
            and wobbles more. May be a schedule.
        period: A move every so many `unit`s, an integer >= 1. May be a schedule, whose values are rounded.
        unit: `"timesteps"` (checked before each update) or `"updates"` (gradient steps).
    """

    tau: Any = 1.0
    period: Any = 1
    unit: str = "updates"

    def __post_init__(self) -> None:
        if schedules.is_schedule(self.tau):
            object.__setattr__(self, "tau", schedules.get(self.tau, "target.tau", 0.0, 1.0))
        elif isinstance(self.tau, bool) or not isinstance(self.tau, numbers.Real) or not 0 < float(self.tau) <= 1:
            raise ValueError(f"`tau` must be in (0, 1], or a schedule. Received: {self.tau!r}")
        if schedules.is_schedule(self.period):
            object.__setattr__(self, "period", schedules.get(self.period, "target.period", 1.0))
        elif isinstance(self.period, bool) or not isinstance(self.period, numbers.Integral) or self.period < 1:
            raise ValueError(
                f"`target_update_period` must be an integer >= 1, or a schedule. Received: {self.period!r}"
            )
        if self.unit not in ("timesteps", "updates"):
            raise ValueError(f"`target.unit` must be 'timesteps' or 'updates'. Received: {self.unit!r}")

    def period_at(self, clock: Clock) -> Any:
        """The period at a time: an int, or where the clock holds tensors and it is a schedule, an int64 tensor."""
        found = schedules.evaluate(self.period, clock)
        if isinstance(found, numbers.Real):
            return round(found)
        return tf.cast(tf.round(found), tf.int64)


def synchronization(identifier: Any, argument: str = "baseline_optimizer") -> Target | None:
    """The target that an optimizer called "synchronization" stands for.

    Args:
        identifier: What an argument for an optimizer received.
        argument: Its name, for errors.

    Returns:
        Of `"synchronization"`, or a dict of this type with `update_weight` (1.0) and `sync_frequency` (1, in updates),
        the `Target`; of everything else None.

    Raises:
        ValueError: A dict of this type with arguments that it does not have, or outside their range.

    Example:

    >>> synchronization({"type": "synchronization", "update_weight": 0.01, "sync_frequency": 4})
    Target(tau=0.01, period=4, unit='updates')
    >>> synchronization("adam")
    """
    kind = identifier.get("type") if isinstance(identifier, dict) else identifier
    if not isinstance(kind, str) or kind.lower() != "synchronization":
        return None
    found: Target = TARGETS.get(identifier, argument)
    return found
