"""Proximal policy optimization."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent import ops, schedules
from kagent.objectives.objective import OBJECTIVES, Objective, check_flag


@OBJECTIVES.register("clipped_policy", "ppo")
@dataclasses.dataclass(frozen=True)
class ClippedPolicyObjective(Objective):
    """The clipped surrogate of Schulman et al. 2017 (arXiv:1707.06347), eq. 7 and 9.

    Args:
        clip_range: How far the probability ratio of an action may move from 1 before its gradient stops. May be a
            schedule. Larger learns faster and breaks more easily.
        value_coefficient: Weight of the critic's squared error beside the policy's loss.
        entropy_coefficient: Weight of the policy's entropy: larger keeps it exploring. May be a schedule.
        normalize_advantage: Whether advantages are standardized within each minibatch.
    """

    clip_range: Any = 0.2
    value_coefficient: float = 0.5
    entropy_coefficient: Any = 0.0
    normalize_advantage: bool = True

    policies = ("StochasticPolicy",)
    critic = "StateValue"
    memory = "Rollout"

    def __post_init__(self):
        for name in ("clip_range", "entropy_coefficient", "value_coefficient"):
            object.__setattr__(self, name, schedules.get(getattr(self, name), f"objective.{name}", 0.0))
        if not isinstance(self.value_coefficient, float):
            raise TypeError(f"`objective.value_coefficient` must be a number. Received: {self.value_coefficient!r}")
        check_flag(self.normalize_advantage, "objective.normalize_advantage")

    def check(self, agent: Any) -> None:
        if agent.reward_estimation.gae_lambda is None:
            raise ValueError("`objective` ClippedPolicyObjective needs reward_estimation.gae_lambda. Received: None")
        if agent.policy.distribution != "auto":
            raise ValueError(f"PPO needs policy.distribution='auto'. Received: {agent.policy.distribution!r}")

    def prepare(self, agent: Any, experience: dict[str, Any]) -> dict[str, Any]:
        estimation = agent.reward_estimation
        steps, envs = experience["reward"].shape
        flat = lambda x: tf.reshape(x, (steps * envs, *x.shape[2:]))  # noqa: E731
        observation = tf.nest.map_structure(flat, experience["observation"])
        successor = tf.nest.map_structure(flat, experience["next_observation"])
        action = tf.nest.map_structure(flat, experience["action"])
        mask = [m if m is None else flat(m) for m in experience["action_mask"]] if "action_mask" in experience else None
        value = agent.critic.values(observation)
        next_value = tf.reshape(agent.critic.values(successor), (steps, envs))
        log_prob = agent.policy.log_prob(agent.policy.parameters_of(observation, mask), action)
        discount = ops.discount_factor(estimation.discount, experience["terminated"])
        ended = tf.logical_or(experience["terminated"], experience["truncated"])
        values = tf.reshape(value, (steps, envs))
        advantage = ops.gae(experience["reward"], discount, values, next_value, ended, estimation.gae_lambda)
        prepared = {
            "observation": observation,
            "action": action,
            "old_log_prob": tf.stop_gradient(log_prob),
            "advantage": tf.stop_gradient(flat(advantage)),
            "return": tf.stop_gradient(flat(advantage) + value),
            "weight": flat(tf.cast(experience["valid"], tf.float32)),
        }
        return prepared if mask is None else {**prepared, "action_mask": mask}

    def update(self, agent: Any, batch: dict[str, Any]) -> dict[str, tf.Tensor]:
        clock, weight = agent.clock, batch.get("weight")
        clip_range = schedules.evaluate(self.clip_range, clock)
        entropy_coefficient = schedules.evaluate(self.entropy_coefficient, clock)
        advantage = batch["advantage"]
        if self.normalize_advantage:
            advantage = ops.normalize_advantage(advantage, weight)

        def loss():
            parameters = agent.policy.parameters_of(batch["observation"], batch.get("action_mask"))
            log_prob = agent.policy.log_prob(parameters, batch["action"])
            surrogate = ops.clipped_surrogate(log_prob, batch["old_log_prob"], advantage, clip_range)
            policy_loss = ops.weighted_mean(surrogate, weight)
            error = tf.square(batch["return"] - agent.critic.values(batch["observation"]))
            critic_loss = ops.weighted_mean(error, weight)
            entropy = ops.weighted_mean(agent.policy.joint.entropy(parameters), weight)
            total = policy_loss + self.value_coefficient * critic_loss - entropy_coefficient * entropy
            old = batch["old_log_prob"]
            return total, {
                "policy_loss": policy_loss,
                "critic_loss": critic_loss,
                "entropy": entropy,
                "approx_kl": ops.approx_kl(log_prob, old, weight),
                "clip_fraction": ops.clip_fraction(log_prob, old, clip_range, weight),
            }

        value, logs = agent.minimize(("policy", "critic"), loss)
        return {"loss": value, **logs}
