"""Soft actor-critic of quantiles, of which the largest are left out of targets."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent import ops
from kagent.config.checks import check_count
from kagent.objectives.objective import OBJECTIVES, LearningContext
from kagent.objectives.soft_actor_critic import SoftActorCriticObjective


@OBJECTIVES.register("truncated_quantiles", "tqc")
@dataclasses.dataclass(frozen=True)
class TruncatedQuantilesObjective(SoftActorCriticObjective):
    """Soft actor-critic whose critics are quantiles of returns (Kuznetsov et al. 2020, arXiv:2005.04269, algorithm 1).

    The target's distribution is that of the quantiles of all target critics together without the largest. The policy climbs
    the mean of all quantiles of all critics, none left out.

    The loss of a critic is the mean over its quantiles and over the target's of the quantile Huber loss, as in the paper's
    eq. 10 and in Stable-Baselines3-contrib. (QR-DQN sums over its own.)

    Args:
        target_entropy, learn_temperature, stochastic_critics: As of `SoftActorCriticObjective`.
        subset: None: the quantiles of all critics make a target.
        top_quantiles_to_drop_per_net: How many times the number of critics are left out, an integer >= 0 and below the
            critics' `quantiles`. More is more pessimistic.
    """

    top_quantiles_to_drop_per_net: int = 2

    critic = "QuantileActionValue"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.subset is not None:
            raise ValueError(
                "`objective.subset` must be None: TQC's targets are of the quantiles of all critics. SAC and CrossQ have it. "
                f"Received: {self.subset!r}"
            )
        check_count(self.top_quantiles_to_drop_per_net, "objective.top_quantiles_to_drop_per_net", least=0)

    def check(self, agent: Any) -> None:
        super().check(agent)
        if self.top_quantiles_to_drop_per_net >= agent.critic.quantiles:
            raise ValueError(
                f"`objective.top_quantiles_to_drop_per_net` must be below critic.quantiles={agent.critic.quantiles}. "
                f"Received: {self.top_quantiles_to_drop_per_net}"
            )

    def next_values(self, context: LearningContext, batch: dict[str, Any], seed: Any = None) -> tf.Tensor:
        """The mean of what the target critics say that the next observations are worth, entropy included, `(B,)`."""
        return tf.reduce_mean(super().next_values(context, batch, seed), axis=-1)

    def soft_targets(
        self,
        context: LearningContext,
        batch: dict[str, Any],
        action: Any,
        log_prob: tf.Tensor,
        reward: Any,
        discount: Any,
    ) -> tf.Tensor:
        critic, temperature = context.target_critic, tf.stop_gradient(context.temperature(None))
        atoms = critic.atoms(batch["next_observation"], action, self.stochastic_critics)
        kept = ops.truncate(tf.concat(atoms, axis=-1), self.top_quantiles_to_drop_per_net * critic.members)
        soft = kept - temperature * log_prob[:, None]
        return tf.stop_gradient(reward[:, None] + discount[:, None] * soft)

    def climbed(self, critic: Any, observation: Any, action: Any) -> tf.Tensor:
        values = critic.values(observation, action, self.stochastic_critics)
        return tf.add_n(values) / len(values)

    def critic_losses(self, critic: Any, batch: dict[str, Any]) -> tuple[list[tf.Tensor], tf.Tensor]:
        atoms = critic.atoms(batch["observation"], batch["action"], training=True)
        target = _rows(batch["target"])
        losses = [tf.reduce_mean(ops.quantile_huber(each, target), axis=-1) for each in atoms]
        return losses, tf.reduce_mean(atoms[0], axis=-1)

    def errors(self, critic: Any, batch: dict[str, Any]) -> tf.Tensor:
        return super().errors(critic, {**batch, "target": tf.reduce_mean(_rows(batch["target"]), axis=-1)})


def _rows(target: tf.Tensor) -> tf.Tensor:
    """A target of one number per sample, as of estimates that were stored, as a distribution of that number."""
    return target[:, None] if target.shape.rank == 1 else target
