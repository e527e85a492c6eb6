"""Q-learning of continuous actions by a quadratic advantage."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent import ops
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


@OBJECTIVES.register("normalized_advantage", "naf")
@dataclasses.dataclass(frozen=True)
class NormalizedAdvantageObjective(TransitionObjective):
    """Squared temporal-difference error of `Q = V + A`, whose best action is known: its value is V, so that the target
    `reward + discount * V'(s')` needs no search (Gu et al. 2016, arXiv:1603.00748, algorithm 1).

    Args:
        huber: Where the loss turns from quadratic (half the square) to linear in the error; None: quadratic everywhere. May
            be a schedule.

    Prioritized replay draws by the absolute error.
    """

    huber: Any = None

    policies = ("NormalizedAdvantagePolicy",)
    targets = ("policy",)
    takes_temperature = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "huber", positive(self.huber, "objective.huber", optional=True))

    def check(self, agent: Any) -> None:
        agent.reward_estimation.check_transitions(type(self).__name__, agent.memory)

    def next_values(self, context: LearningContext, batch: dict[str, Any], seed: Any = None) -> tf.Tensor:
        """What the target network says that the next observations are worth, `(B,)`."""
        found: tf.Tensor = context.target_policy.state_values(batch["next_observation"])
        return found

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        policy = context.policy
        target = tf.stop_gradient(batch["reward"] + batch["discount"] * estimated_next_values(self, context, batch))

        def loss(batch: dict[str, Any]) -> Found:
            values = policy.values(batch["observation"], batch["action"], training=True)
            weight = batch.get("weight")
            per_sample = squared_or_huber(batch["target"] - values, context.now(self.huber))
            return ops.weighted_mean(per_sample, weight), {"q_mean": ops.weighted_mean(values, weight)}

        def errors(batch: dict[str, Any]) -> tf.Tensor:
            return tf.abs(batch["target"] - policy.values(batch["observation"], batch["action"]))

        return [Term("policy", loss, {**batch, "target": target}, errors=errors)]
