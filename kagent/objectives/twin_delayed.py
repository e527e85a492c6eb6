"""The deterministic policy gradient with smoothed targets and a delayed policy."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent import ops, schedules
from kagent.config.checks import check_count
from kagent.distributions.distribution import normal
from kagent.objectives.deterministic_policy_gradient import DeterministicPolicyGradientObjective
from kagent.objectives.objective import OBJECTIVES, LearningContext, Term
from kagent.objectives.transitions import lowest


@OBJECTIVES.register("twin_delayed", "td3")
@dataclasses.dataclass(frozen=True)
class TwinDelayedObjective(DeterministicPolicyGradientObjective):
    """The deterministic policy gradient whose targets are read at smoothed actions and whose policy steps less often
    (Fujimoto et al. 2018, arXiv:1802.09477, algorithm 1).

        critics: loss of Q(s, a) against reward + discount * min over critics of Q'(s', clip(mu'(s') + noise, -1, 1))
        policy, every `policy_delay` gradient steps: mean of -Q(s, mu(s)), Q of the first critic

    In the paper the targets move with the policy: give the agent `Target(tau, period=policy_delay)`. Two critics are
    `critic={"type": "ActionValue", "members": 2}`.

    Args:
        huber, use_targets, critic_weight, stochastic_critics: As of `DeterministicPolicyGradientObjective`.
        policy_delay: Gradient steps from one step of the policy to the next, an integer >= 1.
        target_noise: Standard deviation of the noise on the target's actions, >= 0. The unit is half of the distance
            between the bounds of each component of an action, so that its range is [-1, 1]. May be a schedule.
        target_noise_clip: The most that this noise moves a component, >= 0, in the same unit. May be a schedule.
    """

    policy_delay: int = 2
    target_noise: Any = 0.2
    target_noise_clip: Any = 0.5

    takes_temperature = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.policy_delay, "objective.policy_delay")
        for name in ("target_noise", "target_noise_clip"):
            object.__setattr__(self, name, schedules.get(getattr(self, name), f"objective.{name}", 0.0))

    def next_values(self, context: LearningContext, batch: dict[str, Any], seed: Any = None) -> tf.Tensor:
        """What the targets say that the next observations are worth, at smoothed actions, `(B,)`."""
        leader, judge = (
            (context.target_policy, context.target_critic) if self.use_targets else (context.policy, context.critic)
        )
        action = self._smoothed(context, leader, leader.actions(batch["next_observation"]), seed)
        return lowest(judge.values(batch["next_observation"], action, self.stochastic_critics))

    def _smoothed(self, context: LearningContext, policy: Any, action: Any, seed: Any) -> Any:
        deviation, limit = context.now(self.target_noise), context.now(self.target_noise_clip)
        leaves = policy.action.flatten(action)
        seeds = tf.random.split(context.step_seed() if seed is None else seed, len(leaves), alg="philox")
        smoothed = []
        for i, (leaf, found) in enumerate(zip(policy.action.leaves, leaves)):
            free = tf.constant(leaf.low < leaf.high, tf.float32)  # a component that its bounds fix has one value
            draw = free * normal(tf.shape(found), seeds[i])  # the same numbers under XLA
            smoothed.append(ops.smoothed_action(found, draw, deviation, limit))
        return policy.action.unflatten(smoothed)

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        critic, policy = super().terms(context, batch)
        return [critic, dataclasses.replace(policy, every=self.policy_delay)]
