"""Soft actor-critic of discrete actions."""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any

import tensorflow as tf

from kagent import ops
from kagent.config.checks import check_flag
from kagent.objectives.objective import OBJECTIVES, Found, LearningContext, Term, estimated_next_values
from kagent.objectives.transitions import TransitionObjective, critic_errors, lowest
from kagent.spaces import Structure

_SHARE = 0.98  # of the largest entropy, as in the paper's appendix


@OBJECTIVES.register("discrete_soft_actor_critic", "discrete_sac", "sac_discrete")
@dataclasses.dataclass(frozen=True)
class DiscreteSoftActorCriticObjective(TransitionObjective):
    """Reward plus entropy for one `Discrete` action, with exact expectations over the actions that the mask allows
    (Christodoulou 2019, arXiv:1910.07207, eq. 10 to 12).

    The critics learn first, then the policy on the new critics, then the temperature.

    Args:
        target_entropy: Entropy the temperature holds the policy at, in nats; "auto": 0.98 times the largest that there is,
            the logarithm of the number of actions allowed in a state; "auto_0.5": another share of it, in (0, 1].
        learn_temperature: False keeps the temperature as it was given.
    """

    target_entropy: float | str = "auto"
    learn_temperature: bool = True

    policies = ("StochasticPolicy",)
    critic = "DiscreteActionValue"
    targets = ("critic",)
    in_turn = True

    def __post_init__(self) -> None:
        _share(self.target_entropy)
        check_flag(self.learn_temperature, "objective.learn_temperature")

    def check(self, agent: Any) -> None:
        agent.reward_estimation.check_transitions(type(self).__name__, agent.memory)
        leaves = Structure(agent.action_space).leaves
        if len(leaves) != 1 or leaves[0].kind != "discrete":
            raise ValueError(
                "Discrete soft actor-critic needs a Discrete action space, over whose actions it sums. "
                f"Received: {agent.action_space}. Allowed for others: DQN, QRDQN, C51, PPO"
            )
        if agent.temperature is None:
            raise ValueError("Discrete soft actor-critic needs a temperature. Received: None")

    def next_values(self, context: LearningContext, batch: dict[str, Any], seed: Any = None) -> tf.Tensor:
        """What the target critics say that the next observations are worth, entropy included, `(B,)`."""
        log_prob = _log_prob(context.policy, batch["next_observation"], batch.get("next_action_mask"))
        q = lowest(context.target_critic.tables(batch["next_observation"]))
        return ops.soft_value(log_prob, q, context.temperature(None))

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        policy, critic = context.policy, context.critic
        temperature = tf.stop_gradient(context.temperature(None))
        target = tf.stop_gradient(batch["reward"] + batch["discount"] * estimated_next_values(self, context, batch))
        weight_of_entropy = temperature + context.now(context.entropy_regularization)

        def critic_loss(batch: dict[str, Any]) -> Found:
            weight = batch.get("weight")
            values = critic.values(batch["observation"], batch["action"], training=True)
            losses = [ops.weighted_mean(0.5 * tf.square(batch["target"] - value), weight) for value in values]
            return tf.add_n(losses), {"q_mean": ops.weighted_mean(values[0], weight)}

        def policy_loss(batch: dict[str, Any]) -> Found:
            weight = batch.get("weight")
            log_prob = _log_prob(policy, batch["observation"], batch.get("action_mask"), training=True)
            q = tf.stop_gradient(lowest(critic.tables(batch["observation"])))
            loss = -ops.weighted_mean(ops.soft_value(log_prob, q, weight_of_entropy), weight)
            entropy = ops.categorical_entropy(log_prob)
            return loss, {
                "entropy": ops.weighted_mean(entropy, weight),
                "temperature": temperature,
                "_entropy": entropy,
            }

        def temperature_loss(_: Any, found: dict[str, dict[str, tf.Tensor]]) -> Found:
            goal = self._goal(batch.get("action_mask"), critic.count)
            per_sample = ops.temperature_loss(context.temperature.logarithm.value, -found["policy"]["_entropy"], goal)
            return ops.weighted_mean(per_sample, batch.get("weight")), {}

        def errors(batch: dict[str, Any]) -> tf.Tensor:
            return critic_errors(critic, batch)

        terms = [
            Term("critic", critic_loss, {**batch, "target": target}, errors=errors),
            Term("policy", policy_loss, batch),
        ]
        return [*terms, Term("temperature", temperature_loss)] if self.learn_temperature else terms

    def _goal(self, masks: list[Any] | None, count: int) -> Any:
        share = _share(self.target_entropy)
        if share is None:
            return self.target_entropy
        if masks is None or masks[0] is None:
            return share * math.log(count)
        return share * tf.math.log(tf.reduce_sum(tf.cast(masks[0], tf.float32), axis=-1))


def _log_prob(policy: Any, observation: Any, masks: list[Any] | None, training: bool = False) -> tf.Tensor:
    (logits,) = policy.parameters_of(observation, masks, training)
    return tf.nn.log_softmax(logits)


def _share(target_entropy: Any) -> float | None:
    """The share of the largest entropy that "auto" stands for; of a number None."""
    if isinstance(target_entropy, str):
        name, _, number = target_entropy.partition("_")
        try:
            share = float(number) if "_" in target_entropy else _SHARE
        except ValueError:
            share = 0.0
        if name == "auto" and 0 < share <= 1:
            return share
    elif isinstance(target_entropy, numbers.Real) and not isinstance(target_entropy, bool):
        if math.isfinite(target_entropy):
            return None
    raise ValueError(
        "`objective.target_entropy` must be 'auto', 'auto_<share>' with a number in (0, 1], or a number. "
        f"Received: {target_entropy!r}"
    )
