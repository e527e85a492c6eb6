"""Q-learning of returns whose quantiles are a function of the fraction."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent import ops
from kagent.config.checks import check_count
from kagent.distributions.distribution import uniform
from kagent.objectives.distributional import QuantileRegressionObjective
from kagent.objectives.objective import OBJECTIVES, Found, LearningContext, Term


@OBJECTIVES.register("implicit_quantiles", "iqn")
@dataclasses.dataclass(frozen=True)
class ImplicitQuantilesObjective(QuantileRegressionObjective):
    """Quantile Huber loss between the taken action's quantiles at random fractions and `reward + discount * quantiles` of the
    best next action at other random fractions (Dabney et al. 2018, arXiv:1806.06923, algorithm 1).

    The loss of a sample is the sum over its fractions of the mean over the target's. The paper divides it by `kappa`, which
    changes nothing for a `kappa` of 1.

    Args:
        kappa, double: As of `QuantileRegressionObjective`.
        samples: Fractions of the taken action in each sample's loss, N in the paper.
        target_samples: Fractions of the next action, N' in the paper.

    Fractions are uniform, and drawn anew for every sample in every gradient step. Prioritized replay draws by the loss.
    """

    samples: int = 8
    target_samples: int = 8

    policies = ("ImplicitQuantilePolicy",)
    takes_temperature = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("samples", "target_samples"):
            check_count(getattr(self, name), f"objective.{name}", most=1 << 12)

    def target(self, context: LearningContext, batch: dict[str, Any]) -> tf.Tensor:
        policy, following = context.policy, batch["next_observation"]
        double = self.double or context.reward_estimation.estimate_actions
        with policy.layer_noise():
            values = (policy if double else context.target_policy).values(following)
            tables = context.target_policy.quantiles(following, batch["target_fraction"])
        best = ops.greedy_index(values, policy.components, policy.join_masks(batch.get("next_action_mask")))
        quantiles = tf.reduce_mean(ops.select_atoms(tables, best, policy.components), axis=1)
        return batch["reward"][:, None] + batch["discount"][:, None] * quantiles

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        policy, rows = context.policy, tf.shape(batch["reward"])[0]
        seeds = tf.random.split(context.step_seed(), 2, alg="philox")
        fractions = uniform(tf.stack([rows, self.samples]), seeds[0])
        ahead = uniform(tf.stack([rows, self.target_samples]), seeds[1])
        target = tf.stop_gradient(self.target(context, {**batch, "target_fraction": ahead}))

        def losses(batch: dict[str, Any], training: bool) -> tuple[tf.Tensor, tf.Tensor]:
            tables = policy.quantiles(batch["observation"], batch["fraction"], training)
            found = ops.select_atoms(tables, policy.indices(batch["action"]), policy.components)
            each = ops.quantile_huber(found, batch["target"][:, None], self.kappa, batch["fraction"][:, None])
            return tf.reduce_mean(tf.reduce_sum(each, axis=-1), axis=-1), tf.reduce_mean(found, axis=(1, 2))

        def loss(batch: dict[str, Any]) -> Found:
            (value, mean), weight = losses(batch, training=True), batch.get("weight")
            return ops.weighted_mean(value, weight), {"q_mean": ops.weighted_mean(mean, weight)}

        def errors(batch: dict[str, Any]) -> tf.Tensor:
            return losses(batch, training=False)[0]

        return [Term("policy", loss, {**batch, "fraction": fractions, "target": target}, errors=errors)]
