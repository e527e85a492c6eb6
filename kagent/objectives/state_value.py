"""The value of states, of the policy as it is."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent import ops
from kagent.objectives.baseline_values import explained, learned_values
from kagent.objectives.objective import OBJECTIVES, LearningContext, Term, positive, squared_or_huber
from kagent.objectives.rollouts import RolloutObjective


@OBJECTIVES.register("state_value", "value")
@dataclasses.dataclass(frozen=True)
class StateValueObjective(RolloutObjective):
    """Half the squared error, or Huber's, of a critic's values against returns (Sutton and Barto 2018, section 9.3).

    As an agent's `critic_objective` it is what its critic learns, beside the policy. As its `objective` the critic alone
    learns, and the policy stays as it is: policy evaluation.

    Args:
        huber: Where the loss turns from quadratic to linear in the error; None: quadratic everywhere. May be a schedule.
        weight: Weight of the loss beside the policy's, > 0. May be a schedule.

    Raises:
        ValueError: A value that is not > 0.
    """

    huber: Any = None
    weight: Any = 1.0

    value_coefficient = 1.0
    entropy_coefficient = 0.0
    normalize_advantage = False
    gives_errors = False
    takes_temperature = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "huber", positive(self.huber, "objective.huber", optional=True))
        object.__setattr__(self, "weight", positive(self.weight, "objective.weight"))

    def loss_of(self, context: LearningContext) -> Any:
        """The critic's loss, from a batch with `observation`, `return` and perhaps `weight`, `(B, ...)`."""

        def loss(batch: dict[str, Any]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
            values = learned_values(context, batch)
            errors = [batch["return"] - each for each in values]
            per_sample = [squared_or_huber(error, context.now(self.huber)) for error in errors]
            value = ops.weighted_mean(tf.add_n(per_sample), batch.get("weight"))
            return context.now(self.weight) * value, {"critic_loss": value, **explained(values, batch)}

        return loss

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        return [Term("critic", self.loss_of(context), batch)]
