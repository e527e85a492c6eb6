"""Q-learning of whole distributions of returns."""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any

import tensorflow as tf

from kagent import ops
from kagent.config.checks import check_flag
from kagent.objectives.objective import OBJECTIVES, Found, LearningContext, Term
from kagent.objectives.transitions import TransitionObjective


class DistributionalObjective(TransitionObjective):
    """Learns the distribution of the taken action's return from the one of the best next action.

    Subclasses have `double`, and say in `target` what is learned of the next distribution and in `losses` how far the
    learned one is from it. Several components (branches) share one target, the mean of their next distributions' numbers
    (of quantiles) or probabilities, as the branches of `ActionValueObjective` share the mean of their next values.
    """

    targets = ("policy",)
    takes_temperature = False
    double: bool

    def check(self, agent: Any) -> None:
        estimation = agent.reward_estimation
        estimation.check_transitions(type(self).__name__, agent.memory)
        if estimation.estimate_horizon not in (None, "late"):
            raise ValueError(
                f"`objective` {type(self).__name__} learns from the distribution of what follows, and needs "
                f"reward_estimation.estimate_horizon='late'. Received: {estimation.estimate_horizon!r}"
            )

    def following(self, context: LearningContext, batch: dict[str, Any]) -> tf.Tensor:
        """The target network's numbers of the best allowed next action, `(B, components, atoms)`."""
        policy = context.policy
        double = self.double or context.reward_estimation.estimate_actions
        with context.policy.layer_noise():
            tables = context.target_policy.tables(batch["next_observation"])
            chooser = policy.tables(batch["next_observation"]) if double else tables
        mask = policy.join_masks(batch.get("next_action_mask"))
        best = ops.greedy_index(policy.means(chooser), policy.components, mask)
        return ops.select_atoms(tables, best, policy.components)

    def target(self, context: LearningContext, batch: dict[str, Any]) -> tf.Tensor:
        """What the taken action's distribution is to be, `(B, atoms)`."""
        raise NotImplementedError

    def losses(self, found: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """Losses `(B, components)`.

        Args:
            found: The taken action's numbers, `(B, components, atoms)`.
            target: As `target` gives it.
        """
        raise NotImplementedError

    def distances(self, found: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """Losses that are 0 where nothing is left to learn, `(B, components)`: what a prioritized memory draws by."""
        return self.losses(found, target)

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        policy = context.policy
        target = tf.stop_gradient(self.target(context, batch))

        def taken(batch: dict[str, Any], training: bool = False) -> tf.Tensor:
            tables = policy.tables(batch["observation"], training)
            return ops.select_atoms(tables, policy.indices(batch["action"]), policy.components)

        def loss(batch: dict[str, Any]) -> Found:
            found, weight = taken(batch, training=True), batch.get("weight")
            value = ops.weighted_mean(tf.reduce_mean(self.losses(found, batch["target"]), axis=-1), weight)
            mean = tf.reduce_mean(policy.means(found), axis=-1)
            return value, {"q_mean": ops.weighted_mean(mean, weight)}

        def errors(batch: dict[str, Any]) -> tf.Tensor:
            return tf.reduce_mean(self.distances(taken(batch), batch["target"]), axis=-1)

        return [Term("policy", loss, {**batch, "target": target}, errors=errors)]


@OBJECTIVES.register("quantile_regression", "qrdqn")
@dataclasses.dataclass(frozen=True)
class QuantileRegressionObjective(DistributionalObjective):
    """Quantile Huber loss between the taken action's quantiles and `reward + discount * quantiles` of the best next action
    (Dabney et al. 2017, arXiv:1710.10044, algorithm 1).

    The loss of a sample is the sum over its own quantiles of the mean over the target's, as in the paper; and so is
    Stable-Baselines3-contrib's QR-DQN. (The mean over both, as TQC has it, would make the step of plain gradient descent
    smaller by their number, and under Adam change little.)

    Args:
        kappa: Where the loss turns from quadratic to linear in the error, a number >= 0. 0: linear everywhere, so that
            what is learned are the quantiles proper.
        double: The online network picks the next action and the target network values it.

    Prioritized replay draws by the loss, which is not 0 where the distribution is right but for one return.
    """

    kappa: float = 1.0
    double: bool = False

    policies = ("QuantilePolicy",)

    def __post_init__(self) -> None:
        number = isinstance(self.kappa, numbers.Real) and not isinstance(self.kappa, bool)
        if not number or not 0 <= self.kappa < math.inf:
            raise ValueError(f"`objective.kappa` must be a number >= 0. Received: {self.kappa!r}")
        check_flag(self.double, "objective.double")

    def target(self, context: LearningContext, batch: dict[str, Any]) -> tf.Tensor:
        quantiles = tf.reduce_mean(self.following(context, batch), axis=1)
        return batch["reward"][:, None] + batch["discount"][:, None] * quantiles

    def losses(self, found: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(ops.quantile_huber(found, target[:, None, :], self.kappa), axis=-1)


@OBJECTIVES.register("categorical_return", "c51")
@dataclasses.dataclass(frozen=True)
class CategoricalReturnObjective(DistributionalObjective):
    """Cross-entropy between the taken action's distribution and the projected one of `reward + discount * return` of the
    best next action (Bellemare et al. 2017, arXiv:1707.06887, algorithm 1).

    Prioritized replay draws by the Kullback-Leibler divergence, as Rainbow (Hessel et al. 2018, arXiv:1710.02298).

    Args:
        double: The online network picks the next action and the target network values it.
    """

    double: bool = False

    policies = ("CategoricalReturnPolicy",)

    def __post_init__(self) -> None:
        check_flag(self.double, "objective.double")

    def target(self, context: LearningContext, batch: dict[str, Any]) -> tf.Tensor:
        policy = context.policy
        probabilities = tf.reduce_mean(tf.nn.softmax(self.following(context, batch)), axis=1)
        support = tf.constant(policy.support, tf.float32)
        returns = batch["reward"][:, None] + batch["discount"][:, None] * support
        return ops.project(returns, probabilities, policy.low, policy.high)

    def losses(self, found: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        return -tf.reduce_sum(target[:, None, :] * tf.nn.log_softmax(found), axis=-1)

    def distances(self, found: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        negative_entropy = tf.reduce_sum(tf.math.xlogy(target, target), axis=-1, keepdims=True)
        return tf.maximum(self.losses(found, target) + negative_entropy, 0.0)  # rounding may leave less than 0
