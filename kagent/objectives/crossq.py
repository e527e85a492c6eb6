"""Soft actor-critic without target networks, by critics with batch normalization."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent import ops
from kagent.config.checks import check_count
from kagent.objectives.objective import OBJECTIVES, Found, LearningContext, Term
from kagent.objectives.soft_actor_critic import SoftActorCriticObjective


@OBJECTIVES.register("crossq")
@dataclasses.dataclass(frozen=True)
class CrossQObjective(SoftActorCriticObjective):
    """Soft actor-critic whose critics make their own targets (Bhatt et al. 2024, arXiv:1902.05605, section 4).

    Each critic reads observations and actions, and the next observations with actions drawn there, side by side in one batch
    `(2 B, ...)`, in training mode. So its batch normalization has the statistics of both together. The first half is learned;
    the second half, through which no gradient flows, makes the targets.

    Policy and temperature step once in `policy_delay` gradient steps. Modes of layers are otherwise those of
    `SoftActorCriticObjective`: the policy is in training mode in its own loss alone, the critics that it climbs are not.

    Args:
        target_entropy, learn_temperature, stochastic_critics, subset: As of `SoftActorCriticObjective`; `stochastic_critics` is
            of the policy's loss.
        policy_delay: Gradient steps from one step of policy and temperature to the next, an integer >= 1.

    Without batch normalization in the critics it is soft actor-critic without target networks, which tends to diverge.
    """

    policy_delay: int = 3

    targets = ()  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.policy_delay, "objective.policy_delay")

    def check(self, agent: Any) -> None:
        super().check(agent)
        when = agent.reward_estimation.estimate_horizon
        if when not in (None, "late"):
            raise ValueError(
                "CrossQ's targets are read in the pass in which the critics learn: `reward_estimation.estimate_horizon` must be "
                f"'late' or None. Received: {when!r}"
            )

    def critic_term(self, context: LearningContext, batch: dict[str, Any], seed: tf.Tensor) -> Term:
        critic, policy = context.critic, context.policy
        temperature = tf.stop_gradient(context.temperature(None))
        action, log_prob = policy.sample_with_log_prob(policy.parameters_of(batch["next_observation"]), seed)

        def read(batch: dict[str, Any], training: bool) -> tuple[list[tf.Tensor], tf.Tensor]:
            observation, action = (
                tf.nest.map_structure(_side_by_side, batch[name], batch[f"next_{name}"])
                for name in ("observation", "action")
            )
            halves = [tf.split(values, 2) for values in critic.values(observation, action, training)]
            value = self.cautious(context, [ahead for _, ahead in halves])
            target = ops.soft_target(
                batch["reward"], batch["discount"], value, value, batch["next_log_prob"], temperature
            )
            return [now for now, _ in halves], target

        def critic_loss(batch: dict[str, Any]) -> Found:
            weight = batch.get("weight")
            values, target = read(batch, True)
            losses = [ops.weighted_mean(0.5 * tf.square(target - value), weight) for value in values]
            return tf.add_n(losses), {"q_mean": ops.weighted_mean(values[0], weight)}

        def errors(batch: dict[str, Any]) -> tf.Tensor:
            values, target = read(batch, False)
            return tf.add_n([tf.abs(target - value) for value in values]) / len(values)

        return Term("critic", critic_loss, {**batch, "next_action": action, "next_log_prob": log_prob}, errors=errors)

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        critic, *others = super().terms(context, batch)
        return [critic, *(dataclasses.replace(term, every=self.policy_delay) for term in others)]


def _side_by_side(now: tf.Tensor, ahead: tf.Tensor) -> tf.Tensor:
    return tf.concat([now, ahead], axis=0)
