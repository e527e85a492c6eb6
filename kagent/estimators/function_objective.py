"""Losses that a function says: those of a `ModelPolicy`."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent import ops
from kagent.config.checks import check_flag
from kagent.objectives.objective import OBJECTIVES, LearningContext, Objective, Term
from kagent.objectives.replayed import prepare_replayed
from kagent.objectives.rollouts import prepare_rollout
from kagent.objectives.transitions import TransitionObjective


@OBJECTIVES.register()
@dataclasses.dataclass(frozen=True)
class ModelObjective(TransitionObjective):
    """The loss of a policy's own function on transitions, with the targets of Q-learning, or of any value of states, as a
    column `target` `(B,)`: `reward + discount * (1 - terminated) * value(next_observation)`.

    Args:
        value: Name of the prediction that values a state, by the target network: `(B, n)`, of which the maximum is taken,
            or `(B,)` or `(B, 1)`, taken as it is. None: targets are the rewards.
        double: Whether the online network picks the maximum's index (van Hasselt et al. 2016, arXiv:1509.06461, eq. 4).
    """

    value: str | None = None
    double: bool = False

    policies = ("ModelPolicy",)
    gives_errors = False

    def __post_init__(self) -> None:
        check_flag(self.double, "objective.double")

    @property
    def targets(self) -> tuple[str, ...]:  # type: ignore[override]
        return () if self.value is None else ("policy",)

    def check(self, agent: Any) -> None:
        agent.reward_estimation.check_transitions(type(self).__name__, agent.memory)
        predictions = agent.policy.trace.predictions
        if self.value is None:
            return
        if self.value not in predictions:
            raise ValueError(f"`objective.value` must be one of {sorted(predictions)}. Received: {self.value!r}")
        shape = tuple(predictions[self.value].shape)
        if len(shape) not in (1, 2):
            raise ValueError(f"`predictions[{self.value!r}]` must be (B,) or (B, n) to be a value. Received: {shape}")

    def next_values(self, context: LearningContext, batch: dict[str, Any], seed: Any = None) -> tf.Tensor:
        """What the target network says that the next observations are worth, `(B,)`."""
        if self.value is None:
            return tf.zeros_like(batch["reward"])
        successor = batch["next_observation"]
        values = tf.cast(context.target_policy.predictions(successor)[self.value], tf.float32)
        if len(values.shape) == 1 or values.shape[-1] == 1:
            return tf.reshape(values, (-1,))
        mask = batch.get("next_action_mask", [None])[0]
        online = context.policy.predictions(successor)[self.value] if self.double else None
        return ops.greedy_value(values, [values.shape[-1]], mask, online)[:, 0]

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        best = self.next_values(context, batch)
        _, target = ops.q_learning(best, batch["reward"], batch["discount"], best)
        return [Term("policy", context.policy.learn_from, {**batch, "target": target})]


@OBJECTIVES.register()
@dataclasses.dataclass(frozen=True)
class ModelReturnsObjective(Objective):
    """The loss of a policy's own function on consecutive timesteps, with two more columns: `return` `(B,)`, the discounted
    sum of rewards to the end of the episode, or to the last timestep there is; and `old_log_prob` `(B,)`, that of the
    action under the policy before the update, 0 where the policy samples from nothing.
    """

    policies = ("ModelPolicy",)
    gives_errors = False
    memory = "Rollout"

    def prepare(self, context: LearningContext, experience: dict[str, Any]) -> dict[str, Any]:
        raw = {name: experience[name] for name in ("reward", "terminated", "truncated")}
        if "valid" not in experience:
            return {**prepare_replayed(self, context, experience), **raw}
        return {**prepare_rollout(context, experience), **{name: tf.reshape(x, (-1,)) for name, x in raw.items()}}

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        return [Term("policy", context.policy.learn_from, batch)]
