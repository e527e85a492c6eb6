"""Soft actor-critic."""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any

import tensorflow as tf

from kagent import ops
from kagent.config.checks import check_count, check_flag
from kagent.distributions.distribution import uniform
from kagent.objectives.objective import OBJECTIVES, Found, LearningContext, Term, estimated_next_values
from kagent.objectives.transitions import TransitionObjective, critic_errors, lowest
from kagent.spaces import Structure

_SUBSET = 0x5EB5E7  # folded into a step's seed, so that the drawn critics are independent of what else the step draws


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
        subset: How many of the target critics have a say in a target: at each gradient step so many are drawn anew, and their
            smallest value counts. The policy then climbs the mean of all critics. As in REDQ (Chen et al. 2021,
            arXiv:2101.05982, algorithm 1). None: the smallest value of all critics, in targets and for the policy.

    Modes of layers: policy and critics are in training mode in the loss of their own on the observations that were acted
    in, and there alone. The policy at the next observations, the target critics, and the critics that the policy climbs are
    not: batch normalization takes its moving statistics there, as CrossQ has it (Bhatt et al. 2024, arXiv:1902.05605) in
    the policy's loss.
    """

    target_entropy: float | str = "auto"
    learn_temperature: bool = True
    stochastic_critics: bool = False
    subset: int | None = None

    policies = ("StochasticPolicy",)
    critic = "ActionValue"
    targets = ("critic",)
    in_turn = True

    def __post_init__(self) -> None:
        entropy = self.target_entropy
        number = isinstance(entropy, numbers.Real) and not isinstance(entropy, bool) and math.isfinite(entropy)
        if entropy != "auto" and not number:
            raise ValueError(f"`objective.target_entropy` must be 'auto' or a number. Received: {entropy!r}")
        check_flag(self.learn_temperature, "objective.learn_temperature")
        check_flag(self.stochastic_critics, "objective.stochastic_critics")
        if self.subset is not None:
            check_count(self.subset, "objective.subset")

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
        if self.subset is not None and self.subset > agent.critic.members:
            raise ValueError(
                f"`objective.subset` must be at most critic.members={agent.critic.members}, of which it is drawn. "
                f"Received: {self.subset}"
            )

    def next_values(self, context: LearningContext, batch: dict[str, Any], seed: Any = None) -> tf.Tensor:
        """What the target critics say that the next observations are worth, entropy included, `(B,)`."""
        zeros, ones = tf.zeros_like(batch["reward"]), tf.ones_like(batch["reward"])
        return self._target(context, batch, zeros, ones, seed)

    def _target(
        self, context: LearningContext, batch: dict[str, Any], reward: Any, discount: Any, seed: Any
    ) -> tf.Tensor:
        next_parameters = context.policy.parameters_of(batch["next_observation"])
        action, log_prob = context.policy.sample_with_log_prob(next_parameters, seed)
        return self.soft_targets(context, batch, action, log_prob, reward, discount)

    def soft_targets(
        self,
        context: LearningContext,
        batch: dict[str, Any],
        action: Any,
        log_prob: tf.Tensor,
        reward: Any,
        discount: Any,
    ) -> tf.Tensor:
        """The critics' targets, `(B,)`, or `(B, n)` where they are distributions.

        Args:
            context, batch: As of `terms`.
            action, log_prob: Drawn at the next observations.
            reward, discount: float32 `(B,)`.
        """
        temperature = self.target_temperature(context)
        judge = context.target_critic if self.targets else context.critic
        value = self.cautious(context, judge.values(batch["next_observation"], action, self.stochastic_critics))
        return ops.soft_target(reward, discount, value, value, log_prob, temperature)

    def target_temperature(self, context: LearningContext) -> tf.Tensor:
        """Weight of the entropy in targets, a scalar."""
        return tf.stop_gradient(context.temperature(None))

    def cautious(self, context: LearningContext, values: list[tf.Tensor]) -> tf.Tensor:
        """What targets take of the values of all critics, `(B,)` each: the smallest, of all or of the drawn `subset`."""
        if self.subset is None:
            return lowest(values)
        seed = tf.random.fold_in(context.step_seed(), _SUBSET, alg="philox")
        draws = uniform((len(values),), seed, axis=None)  # the same ones under XLA
        return ops.subset_minimum(tf.stack(values), draws, self.subset)

    def climbed(self, critic: Any, observation: Any, action: Any) -> tf.Tensor:
        """The values that the policy climbs, `(B,)`."""
        values = critic.values(observation, action, self.stochastic_critics)
        return lowest(values) if self.subset is None else tf.add_n(values) / len(values)

    def policy_values(self, context: LearningContext, batch: dict[str, Any], parameters: Any, action: Any) -> tf.Tensor:
        """What the policy makes larger, beside its entropy, `(B,)`.

        Args:
            context: As of `terms`.
            batch: The policy's batch.
            parameters: Of the policy's distributions at the batch's observations.
            action: Drawn from these.
        """
        return self.climbed(context.critic, batch["observation"], action)

    def critic_losses(self, critic: Any, batch: dict[str, Any]) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Each critic's losses, `(B,)`, and the first one's values of the taken actions, `(B,)`."""
        values = critic.values(batch["observation"], batch["action"], training=True)
        return [0.5 * tf.square(batch["target"] - value) for value in values], values[0]

    def errors(self, critic: Any, batch: dict[str, Any]) -> tf.Tensor:
        """The absolute errors of samples, `(B,)`, by which a prioritized memory draws."""
        return critic_errors(critic, batch)

    def critic_term(self, context: LearningContext, batch: dict[str, Any], seed: tf.Tensor) -> Term:
        """The critics' loss.

        Args:
            context, batch: As of `terms`.
            seed: `(2,)`, of the actions that are drawn at the next observations.
        """
        critic = context.critic
        if context.reward_estimation.estimate_horizon in (None, "late"):
            target = self._target(context, batch, batch["reward"], batch["discount"], seed)
        else:
            target = batch["reward"] + batch["discount"] * estimated_next_values(self, context, batch)

        def critic_loss(batch: dict[str, Any]) -> Found:
            weight = batch.get("weight")
            losses, values = self.critic_losses(critic, batch)
            total = tf.add_n([ops.weighted_mean(each, weight) for each in losses])
            return total, {"q_mean": ops.weighted_mean(values, weight)}

        def errors(batch: dict[str, Any]) -> tf.Tensor:
            return self.errors(critic, batch)

        return Term("critic", critic_loss, {**batch, "target": target}, errors=errors)

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        policy = context.policy
        seeds = tf.random.split(context.step_seed(), 2)
        temperature = tf.stop_gradient(context.temperature(None))
        weight_of_entropy = temperature + context.now(context.entropy_regularization)

        def policy_loss(batch: dict[str, Any]) -> Found:
            weight = batch.get("weight")
            parameters = policy.parameters_of(batch["observation"], training=True)
            action, log_prob = policy.sample_with_log_prob(parameters, seeds[1])
            value = self.policy_values(context, batch, parameters, action)
            loss = ops.weighted_mean(ops.soft_policy_loss(log_prob, value, weight_of_entropy), weight)
            entropy = -ops.weighted_mean(log_prob, weight)
            return loss, {"entropy": entropy, "temperature": temperature, "_log_prob": log_prob}

        def temperature_loss(_: Any, found: dict[str, dict[str, tf.Tensor]]) -> Found:
            log_prob = tf.stop_gradient(found["policy"]["_log_prob"])
            per_sample = ops.temperature_loss(context.temperature.logarithm.value, log_prob, goal)
            return ops.weighted_mean(per_sample, batch.get("weight")), {}

        goal = -float(context.num_action_components) if self.target_entropy == "auto" else self.target_entropy
        terms = [self.critic_term(context, batch, seeds[0]), Term("policy", policy_loss, batch)]
        return [*terms, Term("temperature", temperature_loss)] if self.learn_temperature else terms
