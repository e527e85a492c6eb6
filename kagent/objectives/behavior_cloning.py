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
            observation, action, mask = batch["observation"], batch["action"], _masks(batch.get("action_mask"))
            if isinstance(policy, ValuePolicy):
                values, taken = policy.values(observation, training=True), policy.indices(action)
                losses = ops.cross_entropy(values, taken, policy.components, policy.join_masks(mask))
            else:
                leaves = zip(policy.action.leaves, policy.action.flatten(action))
                inside = [
                    tf.clip_by_value(part, -_EDGE, _EDGE)
                    if policy.decision(leaf) in ("squashed_gaussian", "beta")
                    else part
                    for leaf, part in leaves
                ]
                losses = -policy.joint.log_prob(policy.parameters_of(observation, mask, training=True), inside)
            return ops.weighted_mean(losses, batch.get("weight")), {}

        return [Term("policy", loss, batch)]


def _masks(given: Any) -> list[Any] | None:
    # A dataset has no place for None: there a leaf without mask has one of width 0.
    return None if given is None else [None if m is None or m.shape[-1] == 0 else m for m in given]
