"""Behaviour cloning."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent import ops
from kagent.objectives.objective import OBJECTIVES, Found, LearningContext, Objective, Term
from kagent.policies.value import ValuePolicy

_EDGE = 1.0 - 1e-3  # of a squashed action: nearer to a bound, which it reaches only at infinity, it counts as this


@OBJECTIVES.register("behavior_cloning")
@dataclasses.dataclass(frozen=True)
class BehaviorCloningObjective(Objective):
    """The negative log-likelihood of the actions taken (Pomerleau 1991): supervised learning of the policy alone.

    A `StochasticPolicy` gives it by its distribution. Of a `ValuePolicy` the action values are taken as logits: the greedy
    action becomes the likely one, but the values are no longer those of returns. Masks are respected. Rewards are not
    looked at, and critics do not learn.
    """

    policies = ("ValuePolicy", "StochasticPolicy")
    gives_errors = False
    takes_temperature = False

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        policy = context.policy

        def loss(batch: dict[str, Any]) -> Found:
            if isinstance(policy, ValuePolicy):
                mask = policy.join_masks(_masks(batch.get("action_mask")))
                values, taken = policy.values(batch["observation"], training=True), policy.indices(batch["action"])
                losses = ops.cross_entropy(values, taken, policy.components, mask)
            else:
                losses = -log_likelihood(policy, batch)
            return ops.weighted_mean(losses, batch.get("weight")), {}

        return [Term("policy", loss, batch)]


def log_likelihood(policy: Any, batch: dict[str, Any]) -> tf.Tensor:
    """Logarithms of the probability of the actions taken, `(B,)`, under a `StochasticPolicy` in training mode.

    Squashed actions at a bound, where their density has no end, count as very near to it.
    """
    parameters = policy.parameters_of(batch["observation"], _masks(batch.get("action_mask")), training=True)
    return log_likelihood_of(policy, parameters, batch["action"])


def log_likelihood_of(policy: Any, parameters: Any, action: Any) -> tf.Tensor:
    """`log_likelihood` of actions, where the parameters of the distributions are known.

    Args:
        policy: A `StochasticPolicy`.
        parameters: Of its distributions, as `parameters_of` gives them.
        action: The actions taken, nested tensors `(B, ...)`.
    """
    inside = [
        tf.clip_by_value(part, -_EDGE, _EDGE) if policy.decision(leaf) in ("squashed_gaussian", "beta") else part
        for leaf, part in zip(policy.action.leaves, policy.action.flatten(action))
    ]
    found: tf.Tensor = policy.joint.log_prob(parameters, inside)
    return found


def _masks(given: Any) -> list[Any] | None:
    # A dataset has no place for None: there a leaf without mask has one of width 0.
    return None if given is None else [None if m is None or m.shape[-1] == 0 else m for m in given]
