"""When the agent learns, and from how much."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

from kagent.registry import Registry

UPDATES = Registry("update")


@UPDATES.register()
@dataclasses.dataclass(frozen=True)
class Update:
    """The update rule.

    Args:
        unit: What `frequency` and `start` count: `"timesteps"` (environment steps, over all environments).
        batch_size: Transitions in one minibatch.
        frequency: An update is due every so many units. None: whenever the memory is full (a rollout).
        start: No update before so many units; until then the agent only collects.
        steps: Gradient steps per update, each on its own minibatch (replay memories).
        epochs: Passes over the whole memory per update (rollouts); excludes `steps`.

    Raises:
        ValueError: A value outside its range, or both of `steps` and `epochs`.

    Example:

    >>> Update(batch_size=32, frequency=4, start=100)
    Update(unit='timesteps', batch_size=32, frequency=4, start=100, steps=1, epochs=None)
    """

    unit: str = "timesteps"
    batch_size: int = 32
    frequency: int | None = None
    start: int = 0
    steps: int | None = None
    epochs: int | None = None

    def __post_init__(self):
        if self.unit != "timesteps":
            raise ValueError(f"`update.unit` must be 'timesteps'. Received: {self.unit!r}")
        if self.steps is not None and self.epochs is not None:
            raise ValueError(f"`update` takes steps or epochs, not both. Received: {self.steps}, {self.epochs}")
        if self.steps is None and self.epochs is None:
            object.__setattr__(self, "steps", 1)
        for name, least in (("batch_size", 1), ("frequency", 1), ("start", 0), ("steps", 1), ("epochs", 1)):
            value = getattr(self, name)
            if value is None and name in ("frequency", "steps", "epochs"):
                continue
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
                raise ValueError(f"`update.{name}` must be an integer >= {least}. Received: {value!r}")
            object.__setattr__(self, name, int(value))


def get(identifier: Any) -> Update:
    """An `Update` from an object, a dict of its arguments, or an int: the batch size."""
    if isinstance(identifier, numbers.Integral) and not isinstance(identifier, bool):
        return Update(batch_size=int(identifier))
    if isinstance(identifier, dict):
        identifier = {"type": "Update", **identifier}
    return UPDATES.get(identifier, "update")
