"""Which variables of an agent may move: Keras's `trainable`, at any time."""

from __future__ import annotations

import warnings
from typing import Any

import keras


class Trainability:
    """Notes which variables may move when the agent is compiled, and sees whether that has changed.

    Args:
        agent: Whose variables. They are all there by now.
    """

    def __init__(self, agent: Any):
        self._agent, self._variables = agent, list(agent.variables)
        self._optimized = {id(variable) for variable in agent.trainable_variables}
        self._traced: bytes | None = None

    def has_changed(self) -> bool:
        """Whether other variables may move than at the last call.

        Raises:
            ValueError: One of them is new to the optimizer, which was made when the agent was compiled.
        """
        flags = bytes([self._agent.trainable, *(variable.trainable for variable in self._variables)])
        if flags == self._traced:
            return False
        moving = [variable for variable, flag in zip(self._variables, flags[1:]) if flag]
        new = [variable.path for variable in moving if id(variable) not in self._optimized]
        if new:
            raise ValueError(
                "`trainable` was set to True after the agent was compiled, and its optimizer has no state for what may "
                f"move now: call `agent.compile()` before it learns. Received: {new}"
            )
        if not moving and self._agent.objective.learns:
            warnings.warn(
                "Nothing in this agent is `trainable`: its updates are counted and logged, and no weight moves. Set "
                "`agent.trainable = True` and call `agent.compile()` for it to learn.",
                stacklevel=2,
            )
        self._traced = flags
        return True


def _get(agent: Any) -> bool:
    """Whether the agent may learn, as of `keras.Model`. If not, nothing in it moves; target networks never learn, and follow
    only an agent that does."""
    return bool(keras.Model.trainable.fget(agent))


def _set(agent: Any, value: bool) -> None:
    keras.Model.trainable.fset(agent, value)
    for role in agent.objective.targets:
        getattr(agent, f"target_{role}").trainable = False


trainable = property(_get, _set)
