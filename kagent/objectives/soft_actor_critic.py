"""Soft actor-critic."""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any

import tensorflow as tf

from kagent import ops, schedules
from kagent.config.checks import check_flag
from kagent.objectives.context import LearningContext
from kagent.objectives.objective import OBJECTIVES, estimated_next_values
from kagent.objectives.term import Term
from kagent.objectives.transitions import TransitionObjective, critic_errors, lowest
from kagent.spaces import Structure


@OBJECTIVES.register("soft_actor_critic", "sac")
@dataclasses.dataclass(frozen=True)
class SoftActorCriticObjective(TransitionObjective):
    """Reward plus entropy (Haarnoja et al. 2018b, arXiv:1812.05905, eq. 5-7 and 17-18).

    The critics learn first, then the policy on the new critics, then the temperature.

    Args:
        target_entropy: Entropy the temperature holds the policy at, in nats; "auto": minus the number of action
            components.
        learn_temperature: False keeps the temperature as it was given.
        stochastic_critics: Whether the critics' dropout also draws where they are read: in the targets, and in the policy's
            loss, as in DroQ (Hiraoka et al. 2022, arXiv:2110.02034, algorithm 2).

    Modes of layers: policy and critics are in training mode in the loss of their own on the observations that were acted
    in, and there alone. The policy at the next observations, the target critics, and the critics that the policy climbs are
    not: batch normalization takes its moving statistics there, as CrossQ has it (Bhatt et al. 2024, arXiv:1902.05605) in
    the policy's loss.
    """

    target_entropy: float | str = "auto"
    learn_temperature: bool = True
    stochastic_critics: bool = False

    policies = ("StochasticPolicy",)
    critic = "ActionValue"
    targets = ("critic",)
    in_turn = True

    def __post_init__(self):
        entropy = self.target_entropy
        number = isinstance(entropy, numbers.Real) and not isinstance(entropy, bool) and math.isfinite(entropy)
        if entropy != "auto" and not number:
            raise ValueError(f"`objective.target_entropy` must be 'auto' or a number. Received: {entropy!r}")
        check_flag(self.learn_temperature, "objective.learn_temperature")
        check_flag(self.stochastic_critics, "objective.stochastic_critics")

    def check(self, agent: Any) -> None:
        agent.reward_estimation.check_transitions(type(self).__name__, agent.memory)
        refused = [leaf for leaf in Structure(agent.action_space).leaves if leaf.is_discrete or not leaf.is_bounded]
        if refused:
            raise ValueError(
                "Soft actor-critic (SAC) needs an action space of Box with finite bounds (or a nesting of these). "
                f"Received: {agent.action_space}"
            )
        if agent.policy.distribution != "squashed_gaussian":
            raise ValueError(
                f"SAC needs policy.distribution='squashed_gaussian'. Received: {agent.policy.distribution!r}"
            )
        if agent.temperature is None:
            raise ValueError("SAC needs a temperature. Received: None")

    def next_values(self, context: LearningContext, batch: dict[str, Any], seed: Any = None) -> tf.Tensor:
        """What the target critics say that the next observations are worth, entropy included, `(B,)`."""
        zeros, ones = tf.zeros_like(batch["reward"]), tf.ones_like(batch["reward"])
        return self._target(context, batch, zeros, ones, seed)

    def _target(
        self, context: LearningContext, batch: dict[str, Any], reward: Any, discount: Any, seed: Any
    ) -> tf.Tensor:
        temperature = tf.stop_gradient(context.temperature(None))
        next_parameters = context.policy.parameters_of(batch["next_observation"])
        next_action, next_log_prob = context.policy.sample_with_log_prob(next_parameters, seed)
        following = context.target_critic.values(batch["next_observation"], next_action, self.stochastic_critics)
        lowest_next = lowest(following)
        return ops.soft_target(reward, discount, lowest_next, lowest_next, next_log_prob, temperature)

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        policy, critic = context.policy, context.critic
        seeds = tf.random.split(context.step_seed(), 2)
        temperature = tf.stop_gradient(context.temperature(None))
        if context.reward_estimation.estimate_horizon in (None, "late"):
            target = self._target(context, batch, batch["reward"], batch["discount"], seeds[0])
        else:
            target = batch["reward"] + batch["discount"] * estimated_next_values(self, context, batch)

        weight_of_entropy = temperature + schedules.evaluate(context.entropy_regularization, context.clock)

        def critic_loss(batch):
            weight = batch.get("weight")
            values = critic.values(batch["observation"], batch["action"], training=True)
            losses = [ops.weighted_mean(0.5 * tf.square(batch["target"] - value), weight) for value in values]
            return tf.add_n(losses), {"q_mean": ops.weighted_mean(values[0], weight)}

        def policy_loss(batch):
            weight = batch.get("weight")
            parameters = policy.parameters_of(batch["observation"], training=True)
            action, log_prob = policy.sample_with_log_prob(parameters, seeds[1])
            values = critic.values(batch["observation"], action, self.stochastic_critics)
            loss = ops.weighted_mean(ops.soft_policy_loss(log_prob, lowest(values), weight_of_entropy), weight)
            entropy = -ops.weighted_mean(log_prob, weight)
            return loss, {"entropy": entropy, "temperature": temperature, "_log_prob": log_prob}

        def temperature_loss(_, found):
            log_prob = tf.stop_gradient(found["policy"]["_log_prob"])
            per_sample = ops.temperature_loss(context.temperature.logarithm.value, log_prob, goal)
            return ops.weighted_mean(per_sample, batch.get("weight")), {}

        def errors(batch):
            return critic_errors(critic, batch)

        goal = -float(context.num_action_components) if self.target_entropy == "auto" else self.target_entropy
        terms = [
            Term("critic", critic_loss, {**batch, "target": target}, errors=errors),
            Term("policy", policy_loss, batch),
        ]
        return [*terms, Term("temperature", temperature_loss)] if self.learn_temperature else terms
