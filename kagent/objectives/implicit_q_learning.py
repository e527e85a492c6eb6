"""Implicit Q-learning."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

import tensorflow as tf

from kagent import ops, schedules
from kagent.config.checks import check_positive
from kagent.objectives.behavior_cloning import log_likelihood
from kagent.objectives.objective import OBJECTIVES, Found, LearningContext, Term, estimated_next_values
from kagent.objectives.transitions import TransitionObjective, critic_errors, lowest


@OBJECTIVES.register("implicit_q_learning", "iql")
@dataclasses.dataclass(frozen=True)
class ImplicitQLearningObjective(TransitionObjective):
    """Values of the better ones of the actions that were taken, and a policy that takes these (Kostrikov et al. 2021,
    arXiv:2110.06169, eq. 5 to 7).

        A(s, a)  = min over critics of Q'(s, a) - V(s)
        V:       mean of |expectile - 1{A < 0}| * A^2, in which only V moves
        critics: mean of (reward + discount * V(s') - Q(s, a))^2
        policy:  mean of -min(exp(inverse_temperature * A(s, a)), max_weight) * log pi(a | s)

    No action is read that was not taken. Q' are target networks. All three learn on the values of before the step.

    Args:
        expectile: Which of the actions' values V is, in (0, 1): at 1/2 their mean, nearer to 1 nearer to the largest.
        inverse_temperature: How much better actions count in the policy's loss, >= 0; 0 clones all. May be a schedule.
        max_weight: The most that an action counts, > 0.
    """

    expectile: float = 0.7
    inverse_temperature: Any = 3.0
    max_weight: float = 100.0

    policies = ("StochasticPolicy",)
    critic = "ActionAndStateValue"
    targets = ("critic",)
    takes_temperature = False

    def __post_init__(self) -> None:
        expectile = self.expectile
        number = isinstance(expectile, numbers.Real) and not isinstance(expectile, bool)
        if not number or not 0.0 < expectile < 1.0:
            raise ValueError(f"`objective.expectile` must be a number in (0, 1). Received: {expectile!r}")
        temperature = schedules.get(self.inverse_temperature, "objective.inverse_temperature", 0.0)
        object.__setattr__(self, "inverse_temperature", temperature)
        if self.max_weight is None:
            raise ValueError("`objective.max_weight` must be a number > 0. Received: None")
        check_positive(self.max_weight, "objective.max_weight")

    def check(self, agent: Any) -> None:
        agent.reward_estimation.check_transitions(type(self).__name__, agent.memory)

    def next_values(self, context: LearningContext, batch: dict[str, Any], seed: Any = None) -> tf.Tensor:
        """What the next observations are worth, `(B,)`."""
        values: tf.Tensor = context.critic.states(batch["next_observation"])
        return values

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        policy, critic = context.policy, context.critic
        taken = tf.stop_gradient(lowest(context.target_critic.values(batch["observation"], batch["action"])))
        target = tf.stop_gradient(batch["reward"] + batch["discount"] * estimated_next_values(self, context, batch))
        advantage = taken - tf.stop_gradient(critic.states(batch["observation"]))
        factor = ops.advantage_weights(advantage, context.now(self.inverse_temperature), self.max_weight)

        def critic_loss(batch: dict[str, Any]) -> Found:
            weight = batch.get("weight")
            values = critic.values(batch["observation"], batch["action"], training=True)
            state = critic.states(batch["observation"], training=True)
            state_loss = ops.weighted_mean(ops.expectile_loss(batch["taken"] - state, self.expectile), weight)
            losses = [ops.weighted_mean(tf.square(batch["target"] - value), weight) for value in values]
            found = {"q_mean": ops.weighted_mean(values[0], weight), "v_mean": ops.weighted_mean(state, weight)}
            return tf.add_n(losses) + state_loss, found

        def policy_loss(batch: dict[str, Any]) -> Found:
            weight = batch.get("weight")
            loss = -ops.weighted_mean(batch["factor"] * log_likelihood(policy, batch), weight)
            return loss, {"advantage": ops.weighted_mean(batch["advantage"], weight)}

        def errors(batch: dict[str, Any]) -> tf.Tensor:
            return critic_errors(critic, batch)

        return [
            Term("critic", critic_loss, {**batch, "taken": taken, "target": target}, errors=errors),
            Term("policy", policy_loss, {**batch, "advantage": advantage, "factor": factor}),
        ]
