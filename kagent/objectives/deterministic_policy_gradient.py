"""The deterministic policy gradient."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent import ops
from kagent.config.checks import check_flag
from kagent.objectives.objective import (
    OBJECTIVES,
    Found,
    LearningContext,
    Term,
    estimated_next_values,
    positive,
    squared_or_huber,
)
from kagent.objectives.transitions import TransitionObjective, critic_errors, lowest
from kagent.spaces import Structure


@OBJECTIVES.register("deterministic_policy_gradient", "det_policy_gradient", "dpg", "ddpg")
@dataclasses.dataclass(frozen=True)
class DeterministicPolicyGradientObjective(TransitionObjective):
    """The policy climbs its critic (Silver et al. 2014, eq. 9; with targets Lillicrap et al. 2016, arXiv:1509.02971,
    algorithm 1).

        critic: loss of Q(s, a) against reward + discount * Q'(s', mu'(s'))
        policy: mean of -Q(s, mu(s)), in which only the policy moves

    Q' and mu' are target networks that follow, or, without `use_targets`, the networks themselves. The critic learns
    first, then the policy on the new critic. Of an ensemble the critic's target is the smallest value, and the policy
    climbs the first member.

    Args:
        huber: Where the critic's loss turns from quadratic (half the square) to linear in the error; None: quadratic
            everywhere. May be a schedule.
        use_targets: Whether targets come from target networks.
        critic_weight: Weight of the critic's loss, > 0. May be a schedule.
        stochastic_critics: Whether the critics' dropout also draws where they are read, in the targets and in the policy's
            loss. Else policy and critics are in training mode in the loss of their own alone, at the observations that were
            acted in.
    """

    huber: Any = None
    use_targets: bool = True
    critic_weight: Any = 1.0
    stochastic_critics: bool = False

    policies = ("DeterministicPolicy",)
    critic = "ActionValue"
    takes_temperature = False
    in_turn = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "huber", positive(self.huber, "objective.huber", optional=True))
        check_flag(self.use_targets, "objective.use_targets")
        check_flag(self.stochastic_critics, "objective.stochastic_critics")
        object.__setattr__(self, "critic_weight", positive(self.critic_weight, "objective.critic_weight"))

    @property
    def targets(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("policy", "critic") if self.use_targets else ()

    def check(self, agent: Any) -> None:
        refused = [leaf for leaf in Structure(agent.action_space).leaves if leaf.is_discrete or not leaf.is_bounded]
        if refused:
            raise ValueError(
                "The deterministic policy gradient needs an action space of Box with finite bounds (or a nesting of "
                f"these). Received: {agent.action_space}"
            )
        agent.reward_estimation.check_transitions(type(self).__name__, agent.memory)

    def next_values(self, context: LearningContext, batch: dict[str, Any], seed: Any = None) -> tf.Tensor:
        """What the targets say that the next observations are worth, `(B,)`."""
        leader, judge = (
            (context.target_policy, context.target_critic) if self.use_targets else (context.policy, context.critic)
        )
        action = leader.actions(batch["next_observation"])
        return lowest(judge.values(batch["next_observation"], action, self.stochastic_critics))

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        policy, critic = context.policy, context.critic
        target = tf.stop_gradient(batch["reward"] + batch["discount"] * estimated_next_values(self, context, batch))

        critic_weight = context.now(self.critic_weight)

        def loss(error: tf.Tensor) -> tf.Tensor:
            return squared_or_huber(error, context.now(self.huber))

        def critic_loss(batch: dict[str, Any]) -> Found:
            values = critic.values(batch["observation"], batch["action"], training=True)
            weight = batch.get("weight")
            losses = [ops.weighted_mean(loss(batch["target"] - value), weight) for value in values]
            return critic_weight * tf.add_n(losses), {"q_mean": ops.weighted_mean(values[0], weight)}

        def policy_loss(batch: dict[str, Any]) -> Found:
            action = policy.actions(batch["observation"], training=True)
            value = critic.values(batch["observation"], action, self.stochastic_critics)[0]
            return -ops.weighted_mean(value, batch.get("weight")), {}

        def errors(batch: dict[str, Any]) -> tf.Tensor:
            return critic_errors(critic, batch)

        return [
            Term("critic", critic_loss, {**batch, "target": target}, errors=errors),
            Term("policy", policy_loss, batch),
        ]
