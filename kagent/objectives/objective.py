"""What an objective is."""

from __future__ import annotations

import math
import numbers
from typing import Any

import tensorflow as tf

from kagent.registry import Registry

OBJECTIVES = Registry("objective")


class Objective:
    """Turns a minibatch into losses and has the agent minimize them, role by role.

    Attributes:
        policies: Names of the policy classes it works with.
        critic: Name of the critic class it needs, or None.
        critic_optional: Whether it does without one, too.
        targets: Roles that need a target copy.
        memory: Name of the memory class it reads.
    """

    policies: tuple[str, ...] = ()
    critic: str | None = None
    critic_optional: bool = False
    targets: tuple[str, ...] = ()
    memory: str = "Replay"

    def check(self, agent: Any) -> None:
        """Raises:
        ValueError: The agent's spaces or parts do not suit the objective.
        """

    def next_values(self, agent: Any, batch: dict[str, Any], seed: Any = None) -> tf.Tensor:
        """Estimates of what follows the transitions of a minibatch, `(B,)`, of objectives that learn from such."""
        raise NotImplementedError

    def prepare(self, agent: Any, experience: dict[str, Any]) -> dict[str, Any]:
        """Runs once per update, on all of its experience; what it returns is cut into minibatches."""
        return experience

    def update(self, agent: Any, batch: dict[str, Any]) -> dict[str, tf.Tensor]:
        """One gradient step of every role on one minibatch `(B, ...)`. Returns scalars to log, `loss` among them;
        and where `agent.memory.prioritized`, the absolute `td_error` of every sample, `(B,)`."""
        raise NotImplementedError


def estimated_next_values(objective: Any, agent: Any, batch: dict[str, Any]) -> tf.Tensor:
    """Estimates of what follows the transitions of a minibatch, `(B,)`, of the time that `estimate_horizon` says.

    They are those stored with the transitions, the objective's own now, or 0 where they are not asked for.
    """
    when = agent.reward_estimation.estimate_horizon
    if when is False:
        return tf.zeros_like(batch["reward"])
    return batch["next_value"] if when == "early" else objective.next_values(agent, batch)


def check_positive(value: Any, argument: str) -> None:
    """Raises:
    ValueError: Neither None nor a finite number > 0.
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if value is not None and not (number and 0 < value < math.inf):
        raise ValueError(f"`{argument}` must be a number > 0 or None. Received: {value!r}")


def check_flag(value: Any, argument: str) -> None:
    """Raises:
    TypeError: Neither True nor False.
    """
    if not isinstance(value, bool):
        raise TypeError(f"`{argument}` must be True or False. Received: {value!r}")


def get(identifier: Any) -> Objective:
    """An objective from a name, a dict or an object."""
    return OBJECTIVES.get(identifier, "objective")
