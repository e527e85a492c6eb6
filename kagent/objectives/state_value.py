"""The value of states, of the policy as it is."""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any

import tensorflow as tf

from kagent import ops
from kagent.objectives.objective import OBJECTIVES, Term, check_positive
from kagent.objectives.rollouts import RolloutObjective


@OBJECTIVES.register("state_value", "value")
@dataclasses.dataclass(frozen=True)
class StateValueObjective(RolloutObjective):
    """Half the squared error, or Huber's, of a critic's values against returns (Sutton and Barto 2018, section 9.3).

    As an agent's `critic_objective` it is what its critic learns, beside the policy. As its `objective` the critic alone
    learns, and the policy stays as it is: policy evaluation.

    Args:
        huber: Where the loss turns from quadratic to linear in the error; None: quadratic everywhere.
        weight: Weight of the loss beside the policy's, > 0.

    Raises:
        ValueError: A value that is not > 0.
    """

    huber: float | None = None
    weight: float = 1.0

    value_coefficient = 1.0
    entropy_coefficient = 0.0
    normalize_advantage = False

    def __post_init__(self):
        check_positive(self.huber, "objective.huber")
        number = isinstance(self.weight, numbers.Real) and not isinstance(self.weight, bool)
        if not number or not 0 < self.weight < math.inf:
            raise ValueError(f"`objective.weight` must be a number > 0. Received: {self.weight!r}")

    def loss_of(self, agent: Any) -> Any:
        """The critic's loss, from a batch with `observation`, `return` and perhaps `weight`, `(B, ...)`."""

        def loss(batch: dict[str, Any]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
            error = batch["return"] - agent.critic.values(batch["observation"])
            per_sample = 0.5 * tf.square(error) if self.huber is None else ops.huber(error, self.huber)
            value = ops.weighted_mean(per_sample, batch.get("weight"))
            return self.weight * value, {"critic_loss": value}

        return loss

    def terms(self, agent: Any, batch: dict[str, Any]) -> list[Term]:
        return [Term("critic", self.loss_of(agent), batch)]
