"""The twin-delayed deterministic policy gradient near recorded actions."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent import ops
from kagent.objectives.objective import OBJECTIVES, Found, LearningContext, Term, positive
from kagent.objectives.twin_delayed import TwinDelayedObjective


@OBJECTIVES.register("regularized_policy", "td3bc")
@dataclasses.dataclass(frozen=True)
class RegularizedPolicyObjective(TwinDelayedObjective):
    """`TwinDelayedObjective` whose policy stays near the actions of the batch (Fujimoto & Gu 2021, arXiv:2106.06860, eq. 5).

        critics: as of `TwinDelayedObjective`
        policy, every `policy_delay` gradient steps:
            mean of (mu(s) - a)^2 - alpha / mean(|Q(s, mu(s))|) * mean of Q(s, mu(s)), Q of the first critic

    Args:
        huber, use_targets, critic_weight, stochastic_critics: As of `DeterministicPolicyGradientObjective`.
        policy_delay, target_noise, target_noise_clip: As of `TwinDelayedObjective`.
        alpha: Weight of the values, > 0; more trusts the critic more. May be a schedule. Distances are in half ranges of actions.
    """

    alpha: Any = 2.5

    takes_temperature = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "alpha", positive(self.alpha, "objective.alpha"))

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        policy, critic = context.policy, context.critic
        alpha = context.now(self.alpha)

        def policy_loss(batch: dict[str, Any]) -> Found:
            action, weight = policy.actions(batch["observation"], training=True), batch.get("weight")
            value = critic.values(batch["observation"], action, self.stochastic_critics)[0]
            pairs = zip(policy.action.flatten(action), policy.action.flatten(batch["action"]))
            squares = [tf.reshape(tf.square(own - taken), (tf.shape(value)[0], -1)) for own, taken in pairs]
            distance = tf.reduce_mean(tf.concat(squares, axis=-1), axis=-1)
            found = {"distance": ops.weighted_mean(distance, weight)}
            return ops.regularized_policy_loss(value, distance, alpha, weight), found

        first, second = super().terms(context, batch)
        return [first, dataclasses.replace(second, loss=policy_loss)]
