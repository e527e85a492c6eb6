"""Conservative Q-learning: values of actions that were not taken are pressed down."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import tensorflow as tf

from kagent import ops
from kagent.config.checks import check_count, check_flag
from kagent.distributions.distribution import uniform
from kagent.objectives.action_value import ActionValueObjective
from kagent.objectives.behavior_cloning import log_likelihood_of
from kagent.objectives.objective import OBJECTIVES, Found, LearningContext, Term, positive
from kagent.objectives.soft_actor_critic import SoftActorCriticObjective

_DRAWS = 0xC091  # folded into a step's seed, so that these draws are independent of what else the step draws
_MOST_ACTIONS = 1 << 10


@OBJECTIVES.register("conservative_action_value")
@dataclasses.dataclass(frozen=True)
class ConservativeActionValueObjective(ActionValueObjective):
    """`ActionValueObjective` plus `alpha` times how far the values of all actions lie above that of the one taken (Kumar et al.
    2020, arXiv:2006.04779, eq. 4).

        loss = loss of action values + alpha * mean of (log sum over b of exp Q(s, b) - Q(s, a))

    Of several components it is the mean over these. Actions that a mask forbids are not among all actions.

    Args:
        huber, double: As of `ActionValueObjective`.
        alpha: Weight of the distance, > 0. May be a schedule.
    """

    alpha: Any = 1.0

    takes_temperature = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "alpha", positive(self.alpha, "objective.alpha"))

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        (term,) = super().terms(context, batch)
        policy, alpha = context.policy, context.now(self.alpha)

        def loss(batch: dict[str, Any]) -> Found:
            # The same values as those of the other loss: the compiler computes them once.
            value, found = term.evaluate(batch, {})
            values, taken = policy.values(batch["observation"], training=True), policy.indices(batch["action"])
            mask = policy.join_masks(batch.get("action_mask"))
            gaps = ops.cross_entropy(values, taken, policy.components, mask) / len(policy.components)
            gap = ops.weighted_mean(gaps, batch.get("weight"))
            return value + alpha * gap, {**found, "gap": gap}

        return [dataclasses.replace(term, loss=loss)]


@OBJECTIVES.register("conservative_soft_actor_critic", "cql")
@dataclasses.dataclass(frozen=True)
class ConservativeSoftActorCriticObjective(SoftActorCriticObjective):
    """`SoftActorCriticObjective` whose critics are pressed down where actions were not taken (Kumar et al. 2020,
    arXiv:2006.04779, eq. 4 and appendix F).

        each critic: loss of soft actor-critic + alpha * mean of (log mean over b of exp(Q(s, b)) / density(b) - Q(s, a))

    The actions b are `drawn_actions` each of three kinds: uniform ones, the policy's at s, and the policy's at s'.

    Args:
        target_entropy, learn_temperature, stochastic_critics, subset: As of `SoftActorCriticObjective`.
        alpha: Weight of the distance, a number > 0.
        drawn_actions: How many are drawn of each kind.
        backup_entropy: Whether targets have the entropy term of soft actor-critic.
        policy_warmup: Gradient steps of the agent in which the policy climbs the log-likelihood of the actions taken, in place of the
            critics' values. 0: it climbs values from the first one on.
    """

    alpha: float = 5.0
    drawn_actions: int = 10
    backup_entropy: bool = False
    policy_warmup: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.alpha, bool) or not isinstance(self.alpha, int | float) or not 0 < self.alpha < math.inf:
            raise ValueError(f"`objective.alpha` must be a number > 0. Received: {self.alpha!r}")
        check_count(self.drawn_actions, "objective.drawn_actions", most=_MOST_ACTIONS)
        check_flag(self.backup_entropy, "objective.backup_entropy")
        check_count(self.policy_warmup, "objective.policy_warmup", least=0)

    def target_temperature(self, context: LearningContext) -> tf.Tensor:
        return super().target_temperature(context) if self.backup_entropy else tf.zeros(())

    def policy_values(self, context: LearningContext, batch: dict[str, Any], parameters: Any, action: Any) -> tf.Tensor:
        value = super().policy_values(context, batch, parameters, action)
        if not self.policy_warmup:
            return value
        likelihood = log_likelihood_of(context.policy, parameters, batch["action"])
        return tf.where(tf.cast(context.clock.updates, tf.int64) < self.policy_warmup, likelihood, value)

    def critic_term(self, context: LearningContext, batch: dict[str, Any], seed: tf.Tensor) -> Term:
        term = super().critic_term(context, batch, seed)
        drawn, log_density = self._draw(context, batch)
        return dataclasses.replace(term, batch={**term.batch, "drawn": drawn, "log_density": log_density})

    def critic_losses(self, critic: Any, batch: dict[str, Any]) -> tuple[list[tf.Tensor], tf.Tensor]:
        losses, values = [], critic.values(batch["observation"], batch["action"], training=True)
        count = batch["log_density"].shape[1]
        rows = tf.nest.map_structure(lambda x: tf.repeat(x, count, axis=0), batch["observation"])
        drawn = tf.nest.map_structure(lambda x: tf.reshape(x, (-1, *x.shape[2:])), batch["drawn"])
        for value, others in zip(values, critic.values(rows, drawn, self.stochastic_critics)):
            table = tf.reshape(others, (-1, count)) - batch["log_density"] - math.log(count)
            losses.append(0.5 * tf.square(batch["target"] - value) + self.alpha * ops.conservative_gap(table, value))
        return losses, values[0]

    def _draw(self, context: LearningContext, batch: dict[str, Any]) -> tuple[Any, tf.Tensor]:
        # Actions `(B, 3 n, *shape)` of each leaf, and the logarithms of their densities `(B, 3 n)`.
        policy, count = context.policy, self.drawn_actions
        leaves = policy.action.leaves
        seeds = tf.random.split(
            tf.random.fold_in(context.step_seed(), _DRAWS, alg="philox"), len(leaves) + 2, alg="philox"
        )
        size = tf.shape(batch["reward"])[0] * count
        draws = [[2.0 * uniform((size, *leaf.shape), seeds[i]) - 1.0 for i, leaf in enumerate(leaves)]]
        densities = [tf.fill((size,), -math.log(2.0) * policy.action.size)]
        for name, seed in (("observation", seeds[-2]), ("next_observation", seeds[-1])):
            rows = tf.nest.map_structure(lambda x: tf.repeat(x, count, axis=0), batch[name])
            action, log_prob = policy.sample_with_log_prob(policy.parameters_of(rows), seed)
            draws.append(policy.action.flatten(action))
            densities.append(log_prob)

        def together(parts: Any) -> tf.Tensor:
            found: tf.Tensor = tf.concat([tf.reshape(x, (-1, count, *x.shape[1:])) for x in parts], axis=1)
            return tf.stop_gradient(found)

        return policy.action.unflatten([together(parts) for parts in zip(*draws)]), together(densities)
