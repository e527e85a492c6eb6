"""Proximal policy optimization."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent import ops, schedules
from kagent.objectives.objective import OBJECTIVES
from kagent.objectives.rollouts import RolloutObjective


@OBJECTIVES.register("clipped_policy", "ppo")
@dataclasses.dataclass(frozen=True)
class ClippedPolicyObjective(RolloutObjective):
    """The clipped surrogate of Schulman et al. 2017 (arXiv:1707.06347), eq. 7 and 9.

    In the first gradient step on a rollout the ratio of probabilities is 1, and `clip_fraction` and `approx_kl` are 0. Where
    the policy's network has layers that are others in training, such as dropout, they are not: the old probabilities are
    those of the policy that acted, without dropout, and the new ones those of the policy that learns, with it.

    Args:
        clip_range: How far the probability ratio of an action may move from 1 before its gradient stops. May be a
            schedule. Larger learns faster and breaks more easily.
        value_coefficient: Weight of the critic's squared error beside the policy's loss. May be a schedule.
        entropy_coefficient: Weight of the policy's entropy: larger keeps it exploring. May be a schedule.
        normalize_advantage: Whether advantages are standardized within each minibatch.
    """

    clip_range: Any = 0.2
    value_coefficient: Any = 0.5
    entropy_coefficient: Any = 0.0
    normalize_advantage: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "clip_range", schedules.get(self.clip_range, "objective.clip_range", 0.0))

    def check(self, agent: Any) -> None:
        super().check(agent)
        estimation = agent.reward_estimation
        if estimation.gae_lambda is None and not estimation.estimate_advantage:
            raise ValueError(
                "`objective` ClippedPolicyObjective needs reward_estimation.gae_lambda or estimate_advantage=True. "
                f"Received: {estimation}"
            )

    def surrogate(self, log_prob: tf.Tensor, old_log_prob: tf.Tensor, advantage: tf.Tensor, clock: Any) -> tf.Tensor:
        clip_range = schedules.evaluate(self.clip_range, clock)
        return ops.clipped_surrogate(log_prob, old_log_prob, advantage, clip_range)

    def watch(self, log_prob: tf.Tensor, old_log_prob: tf.Tensor, weight: Any, clock: Any) -> dict[str, tf.Tensor]:
        clip_range = schedules.evaluate(self.clip_range, clock)
        fraction = ops.clip_fraction(log_prob, old_log_prob, clip_range, weight)
        return {**super().watch(log_prob, old_log_prob, weight, clock), "clip_fraction": fraction}
