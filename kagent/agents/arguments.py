"""Arguments of presets as attributes."""

from __future__ import annotations

from typing import Any

import keras

from kagent import optimizers, schedules
from kagent.config.part_arguments import PartArgument
from kagent.config.registry import plain

_MISSING = object()
_OPTIMIZERS = {"optimizer": "policy", "critic_optimizer": "critic", "temperature_optimizer": "temperature"}


class FromPart(PartArgument):
    """An argument of a preset as an attribute, read from the part that the argument goes into.

    A loaded agent has its parts and not the arguments, and a part may be given in the place of arguments: the attribute
    is the part's value in both cases. Schedules are objects. A part with weights is shown as its configuration, because
    Keras would write an attribute with weights a second time.

    Who gives the argument and its part gets a ValueError that names both. A preset derived from another that has a part of
    its own refuses by the same rule the arguments that go into this part. To take one of them, name it in the constructor,
    and make the part of it.

    Args:
        path: The part, an argument of `Agent`, and the part's own argument: `"objective.clip_range"`.
        default: The value where the part was given none. Without it that is an AttributeError.
        argument: Name of the constructor's argument; None: that of the attribute.
        otherwise: A second path, whose value is shown where that of the first is None.

    Example:

    >>> class Careful(kagent.DQN):
    ...     margin = kagent.agents.FromPart("objective.margin")
    """

    def __init__(
        self, path: str, default: Any = _MISSING, *, argument: str | None = None, otherwise: str | None = None
    ):
        super().__init__(path, argument)
        self.default, self._otherwise = default, otherwise

    def __get__(self, agent: Any, owner: type | None = None) -> Any:
        if agent is None:
            return self
        value = self._read(agent, self.path)
        if value is None and self._otherwise is not None:
            value = self._read(agent, self._otherwise)
        return plain(value) if isinstance(value, keras.layers.Layer) else value

    def _read(self, agent: Any, path: str) -> Any:
        part, _, field = path.partition(".")
        if part in _OPTIMIZERS:
            value = _of_optimizer(agent.parts.optimizers[_OPTIMIZERS[part]], field, self.default)
        else:
            value = getattr(agent, "update_rule" if part == "update" else part)
            value = getattr(value, field, self.default) if field else value
        if value is _MISSING:
            raise AttributeError(f"{type(agent).__name__} has no {self.name!r}: its `{part}` has no {field!r}")
        return value

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
