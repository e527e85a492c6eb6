"""The policy gradient, plain, against another policy, and clipped."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent import ops, schedules
from kagent.config.checks import check_flag
from kagent.objectives.objective import OBJECTIVES
from kagent.objectives.rollouts import RolloutObjective


@OBJECTIVES.register("policy_gradient", "reinforce")
@dataclasses.dataclass(frozen=True)
class PolicyGradientObjective(RolloutObjective):
    """`ops.policy_gradient`: more probability for actions in proportion to their advantage, or return (Williams 1992;
    Sutton and Barto 2018, section 13.5).

    Args:
        importance_sampling: Whether probabilities relative to those before the update (of a rollout: at the time of
            acting) take the place of log-probabilities; the gradient is the same in an update's first step.
        clipping_value: How far the ratio (or the logarithm) may move, within `[1 / (1 + c), 1 + c]`, before its
            gradient stops; 0 or None: any distance. May be a schedule (of values > 0).
        value_coefficient: Weight of the critic's squared error beside the policy's loss, where there is a critic. May be a
            schedule.
        entropy_coefficient: Weight of the policy's entropy: larger keeps it exploring. May be a schedule.
        normalize_advantage: Whether advantages are standardized within each minibatch.
    """

    importance_sampling: bool = False
    clipping_value: Any = None
    value_coefficient: Any = 0.5
    entropy_coefficient: Any = 0.0
    normalize_advantage: bool = False

    critic_optional = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self.importance_sampling, "objective.importance_sampling")
        if self.clipping_value is not None:
            value = schedules.get(self.clipping_value, "objective.clipping_value", 0.0)
            object.__setattr__(self, "clipping_value", None if value == 0.0 else value)

    def surrogate(self, log_prob: tf.Tensor, old_log_prob: tf.Tensor, advantage: tf.Tensor, clock: Any) -> tf.Tensor:
        clipping = None if self.clipping_value is None else schedules.evaluate(self.clipping_value, clock)
        return ops.policy_gradient(log_prob, old_log_prob, advantage, self.importance_sampling, clipping)
