"""Proximal policy optimization."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent import ops, schedules
from kagent.config.checks import check_positive
from kagent.objectives import sequences
from kagent.objectives.baseline_values import explained, learned_values, state_values
from kagent.objectives.objective import OBJECTIVES, Found, LearningContext, positive
from kagent.objectives.rollouts import RolloutObjective

_TOLERANCE = 1.5  # of `target_kl`, as in Spinning Up and Stable-Baselines3: an estimate from a minibatch is noisy


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
        value_clip_range: How far a value may move from that of before the update until its squared error counts as if it had not
            moved further, where that is larger; see `kagent.ops.clipped_value_loss`. May be a schedule. None: values are free.
        target_kl: An update ends with the gradient step on whose minibatch `approx_kl`, before the step, is above 1.5 times this, in
            nats. None: all gradient steps are taken.

    Raises:
        ValueError: Values outside their range; at the agent's making, `value_clip_range` without a critic of state values that
            learns by this objective.
    """

    clip_range: Any = 0.2
    value_coefficient: Any = 0.5
    entropy_coefficient: Any = 0.0
    normalize_advantage: bool = True
    value_clip_range: Any = None
    target_kl: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(
            self, "value_clip_range", positive(self.value_clip_range, "objective.value_clip_range", optional=True)
        )
        check_positive(self.target_kl, "objective.target_kl")
        object.__setattr__(self, "clip_range", schedules.get(self.clip_range, "objective.clip_range", 0.0))

    def check(self, agent: Any) -> None:
        super().check(agent)
        estimation = agent.reward_estimation
        if estimation.gae_lambda is None and not estimation.estimate_advantage:
            raise ValueError(
                "`objective` ClippedPolicyObjective needs reward_estimation.gae_lambda or estimate_advantage=True. "
                f"Received: {estimation}"
            )
        if self.value_clip_range is None:
            return
        if self.critic_for(estimation) != "StateValue" or agent.critic is None or agent.critic_objective is not None:
            raise ValueError(
                "`objective.value_clip_range` needs a critic of state values that learns by the same objective. "
                f"Received: {agent.critic!r} with critic_objective={agent.critic_objective!r}. Allowed there: None"
            )

    def prepare(self, context: LearningContext, experience: dict[str, Any]) -> dict[str, Any]:
        prepared = super().prepare(context, experience)
        if self.value_clip_range is None:
            return prepared
        recurrent = sequences.is_recurrent(context)
        observation = sequences.of_experience(context, experience) if recurrent else prepared["observation"]
        values = state_values(context, observation, prepared.get("action_mask"))
        return {**prepared, "old_value": tf.stop_gradient(values)}

    def surrogate(self, log_prob: tf.Tensor, old_log_prob: tf.Tensor, advantage: tf.Tensor, clock: Any) -> tf.Tensor:
        clip_range = schedules.evaluate(self.clip_range, clock)
        return ops.clipped_surrogate(log_prob, old_log_prob, advantage, clip_range)

    def critic_loss(self, context: LearningContext) -> Any:
        if self.value_clip_range is None:
            return super().critic_loss(context)

        def loss(batch: dict[str, Any]) -> Found:
            (values,), clip_range = (
                learned_values(context, batch),
                context.now(self.value_clip_range),
            )
            losses = ops.clipped_value_loss(values, batch["old_value"], batch["return"], clip_range)
            value = ops.weighted_mean(losses, batch.get("weight"))
            return context.now(self.value_coefficient) * value, {"critic_loss": value, **explained([values], batch)}

        return loss

    @property
    def ends_updates(self) -> bool:
        return self.target_kl is not None

    def is_last(self, logs: dict[str, Any]) -> tf.Tensor:
        if "approx_kl" not in logs:
            raise ValueError(
                "`objective.target_kl` needs `approx_kl` among the logs of a gradient step. Received: "
                f"{', '.join(sorted(logs))}, of a `train_step` of your own. Allowed there: None"
            )
        return logs["approx_kl"] > _TOLERANCE * float(self.target_kl or 0.0)

    def watch(self, log_prob: tf.Tensor, old_log_prob: tf.Tensor, weight: Any, clock: Any) -> dict[str, tf.Tensor]:
        clip_range = schedules.evaluate(self.clip_range, clock)
        fraction = ops.clip_fraction(log_prob, old_log_prob, clip_range, weight)
        return {**super().watch(log_prob, old_log_prob, weight, clock), "clip_fraction": fraction}
