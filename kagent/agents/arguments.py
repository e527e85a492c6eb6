"""Arguments of presets as attributes."""

from __future__ import annotations

from typing import Any

import keras

from kagent import optimizers, schedules
from kagent.config.registry import plain

_MISSING = object()
_OPTIMIZERS = {"optimizer": "policy", "critic_optimizer": "critic"}


class FromPart:
    """An argument of a preset as an attribute, read from the part that the argument went into.

    A loaded agent has its parts and not the arguments, and a part may be given in the place of arguments: the attribute
    is the part's value in both cases. Schedules are objects. What has weights is shown as its configuration, because
    Keras would write an attribute with weights a second time.

    Args:
        path: The part, an argument of `Agent`, and the part's own argument: `"objective.clip_range"`.
        default: The value where the part was given none. Without it that is an AttributeError.

    Example:

    >>> class Careful(kagent.DQN):
    ...     margin = kagent.agents.FromPart("objective.margin")
    """

    def __init__(self, path: str, default: Any = _MISSING):
        self.path, self.default = path, default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, agent: Any, owner: type | None = None) -> Any:
        if agent is None:
            return self
        part, _, name = self.path.partition(".")
        if part in _OPTIMIZERS:
            value = _of_optimizer(agent.parts.optimizers[_OPTIMIZERS[part]], name, self.default)
        else:
            value = getattr(agent, "update_rule" if part == "update" else part)
            value = getattr(value, name, self.default) if name else value
        if value is _MISSING:
            raise AttributeError(f"{type(agent).__name__} has no {self.name!r}: its `{part}` has no {name!r}")
        return plain(value) if isinstance(value, keras.layers.Layer) else value

    def __set__(self, agent: Any, value: Any) -> None:
        hint = " Write agent.optimizer.learning_rate, or give a schedule." if self.name == "learning_rate" else ""
        raise AttributeError(
            f"{type(agent).__name__}.{self.name} is what the agent was made with, and is not to be set.{hint} "
            f"Received: {value!r}"
        )


def _of_optimizer(given: Any, name: str, default: Any) -> Any:
    if not name:
        return optimizers.serialize(given)
    value = optimizers.argument_of(given, name, default)
    return schedules.get(value, name) if schedules.is_schedule(value) else value
