"""Q-learning."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent import ops
from kagent.config.checks import check_flag, check_positive
from kagent.objectives import sequences
from kagent.objectives.objective import (
    OBJECTIVES,
    Found,
    LearningContext,
    Term,
    estimated_next_values,
    positive,
    squared_or_huber,
)
from kagent.objectives.transitions import TransitionObjective


@OBJECTIVES.register("action_value", "dqn")
@dataclasses.dataclass(frozen=True)
class ActionValueObjective(TransitionObjective):
    """Squared or Huber temporal-difference error of the taken action's value (Mnih et al. 2015, algorithm 1).

    Args:
        huber: Where the loss turns from quadratic to linear in the error; None: quadratic everywhere. May be
            a schedule.
        double: The online network picks the next action and the target network values it (van Hasselt et al. 2016,
            arXiv:1509.06461, eq. 4). The same as `reward_estimation.estimate_actions`.

        rescaling: The network's values are `h(x) = sign(x) (sqrt(|x| + 1) - 1) + rescaling * x` of returns, so that rewards of any
            size are learned alike, and errors are those of h (Pohlen et al. 2018; see `kagent.ops.rescaled_value`); R2D2 has 1e-3.
            None: its values are returns.

    A recurrent network learns from sequences as R2D2 does (Kapturowski et al. 2019): both networks go through each from the state that
    it was acted in, and the first `burn_in` timesteps are not learned from.

    Several components (branches) share one target, the mean over their next values (Tavakoli et al. 2018, eq. 6),
    and the loss is the mean over components.
    """

    huber: Any = 1.0
    double: bool = False
    rescaling: float | None = None

    policies = ("ValuePolicy",)
    targets = ("policy",)
    takes_temperature = False
    takes_sequences = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "huber", positive(self.huber, "objective.huber", optional=True))
        check_flag(self.double, "objective.double")
        check_positive(self.rescaling, "objective.rescaling")

    def check(self, agent: Any) -> None:
        agent.reward_estimation.check_transitions(type(self).__name__, agent.memory)

    def next_values(self, context: LearningContext, batch: dict[str, Any], seed: Any = None) -> tf.Tensor:
        """What the target network says that the next observations are worth, `(B,)`."""
        double = self.double or context.reward_estimation.estimate_actions
        with context.policy.layer_noise():
            successors = context.target_policy.values(_successor(context.target_policy, batch))
            selector = context.policy.values(_successor(context.policy, batch)) if double else None
        mask = context.policy.join_masks(batch.get("next_action_mask"))
        best = ops.greedy_value(successors, context.policy.components, mask, selector)
        if self.rescaling is not None:
            best = ops.restored_value(best, self.rescaling)
        return tf.reduce_mean(best, axis=-1)

    def prepare(self, context: LearningContext, experience: dict[str, Any]) -> dict[str, Any]:
        prepared = super().prepare(context, experience)
        return sequences.with_windows(context, experience, prepared) if context.policy.state_sizes else prepared

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        policy = context.policy
        if policy.state_sizes:
            batch = sequences.flattened(context, batch)
        batch = {**batch, "best": estimated_next_values(self, context, batch)}
        if policy.state_sizes:
            batch = sequences.behind_burn_in(policy, batch, context.burn_in)

        def loss(batch: dict[str, Any]) -> Found:
            q, error = self._errors(policy, batch, training=True)
            weight = batch.get("weight")
            per_sample = squared_or_huber(error, context.now(self.huber))
            value = ops.weighted_mean(tf.reduce_mean(per_sample, axis=-1), weight)
            return value, {"q_mean": ops.weighted_mean(tf.reduce_mean(q, axis=-1), weight)}

        def errors(batch: dict[str, Any]) -> tf.Tensor:
            return tf.reduce_mean(tf.abs(self._errors(policy, batch)[1]), axis=-1)

        return [Term("policy", loss, batch, errors=errors)]

    def _errors(self, policy: Any, batch: dict[str, Any], training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        # Values and errors of the taken action, `(B, components)`.
        values = policy.values(batch["observation"], training=training)
        q = ops.select(values, policy.indices(batch["action"]), policy.components)
        discount, best = batch["discount"], batch["best"]
        error, target = ops.q_learning(q, batch["reward"][:, None], discount[:, None], best[:, None])
        return q, error if self.rescaling is None else ops.rescaled_value(target, self.rescaling)[:, None] - q


def _successor(policy: Any, batch: dict[str, Any]) -> Any:
    """What `policy` takes for the next observations: of a recurrent one they come with its states."""
    return sequences.successor(policy, batch) if policy.state_sizes else batch["next_observation"]
