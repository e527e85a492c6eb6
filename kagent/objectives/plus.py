"""Several objectives at once."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from kagent.config.registry import plain
from kagent.objectives.objective import OBJECTIVES, LearningContext, Objective, Term, positive


@OBJECTIVES.register("plus")
class PlusObjective(Objective):
    """The weighted sum of objectives that learn from the same experience.

    Args:
        objective1, objective2: What is added: names, dicts or objects, of this kind too. Both must learn from the same
            kind of memory by the same kind of policy, and each role's losses add up.
        weight1, weight2: Their weights, > 0. May be schedules.

    Where only one of them gives the errors of samples, as an action value beside behaviour cloning, a prioritized memory
    draws by these (as Hester et al. 2018 do); where both do, by the weighted sum.

    Raises:
        ValueError: Objectives that do not go together, or a weight that is not > 0.

    Example:

    >>> objective = PlusObjective("policy_gradient", {"type": "state_value", "huber": 1.0}, weight2=0.5)
    """

    def __init__(self, objective1: Any, objective2: Any, weight1: Any = 1.0, weight2: Any = 1.0):
        self.objectives = tuple(
            OBJECTIVES.get(given, f"objective.objective{i}") for i, given in enumerate((objective1, objective2), 1)
        )
        self.weight1, self.weight2 = positive(weight1, "objective.weight1"), positive(weight2, "objective.weight2")
        first, second = self.objectives
        for one in self.objectives:
            if one.in_turn or type(one).terms is Objective.terms:
                raise ValueError(
                    f"{type(one).__name__} cannot be added: its losses need one another's steps in between. "
                    "Allowed: objectives of rollouts, or of values and behaviour cloning"
                )
            if one.needs_sequences:
                raise ValueError(
                    f"{type(one).__name__} cannot be added: it learns from whole sequences alone. Received: {one}"
                )
            if one.ends_updates:
                raise ValueError(
                    f"{type(one).__name__} cannot be added: it ends updates early by what it logs alone. Received: {one}"
                )
        if first.memory != second.memory:
            raise ValueError(
                "Added objectives must learn from the same kind of memory. "
                f"Received: {type(first).__name__} ({first.memory}) and {type(second).__name__} ({second.memory})"
            )
        self.memory = first.memory
        self.policies = tuple(name for name in first.policies if name in second.policies)
        if not self.policies:
            raise ValueError(
                "Added objectives must have a policy in common. "
                f"Received: {type(first).__name__} {first.policies} and {type(second).__name__} {second.policies}"
            )
        self.critic = first.critic or second.critic
        self.critic_optional = all(one.critic is None or one.critic_optional for one in self.objectives)
        self.gives_errors = False if all(one.gives_errors is False for one in self.objectives) else None
        self.takes_temperature = False if all(one.takes_temperature is False for one in self.objectives) else None
        self.targets = tuple(dict.fromkeys((*first.targets, *second.targets)))

    def get_part(self) -> dict[str, Any]:
        """`{"type": name, **arguments}`, JSON-ready."""
        parts = {f"objective{i}": OBJECTIVES.serialize(one) for i, one in enumerate(self.objectives, 1)}
        return {"type": "PlusObjective", **parts, "weight1": plain(self.weight1), "weight2": plain(self.weight2)}

    def critic_for(self, estimation: Any) -> str | None:
        return next((name for one in self.objectives if (name := one.critic_for(estimation))), None)

    def check(self, agent: Any) -> None:
        for objective in self.objectives:
            objective.check(agent)
        kinds = {(type(one).next_values, getattr(one, "double", None)) for one in self.estimating}
        if agent.reward_estimation.estimate_horizon == "early" and len(kinds) > 1:
            names = [type(one).__name__ for one in self.estimating]
            raise ValueError(
                "`reward_estimation.estimate_horizon` 'early' keeps one estimate, and the added objectives estimate in "
                f"different ways. Received: {names}. Allowed: False or 'late'"
            )

    @property
    def estimating(self) -> list[Objective]:
        return [estimating for one in self.objectives for estimating in one.estimating]

    def next_values(self, context: LearningContext, batch: dict[str, Any], seed: Any = None) -> tf.Tensor:
        """Estimates that are stored early, one for each transition: those of any objective, which are the same."""
        return self.estimating[0].next_values(context, batch, seed)

    def prepare(self, context: LearningContext, experience: dict[str, Any]) -> dict[str, Any]:
        # Objectives of one kind of memory prepare alike; what one of them adds is there for all.
        prepared = [objective.prepare(context, experience) for objective in self.objectives]
        return {**prepared[1], **prepared[0]}

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        by_role: dict[str, list[tuple[Any, Term]]] = {}
        weights = (context.now(weight) for weight in (self.weight1, self.weight2))
        for weight, objective in zip(weights, self.objectives):
            for term in objective.terms(context, batch):
                by_role.setdefault(term.role, []).append((weight, term))
        return [_joined(role, parts) for role, parts in by_role.items()]


def _joined(role: str, parts: list[tuple[Any, Term]]) -> Term:
    every = {term.every for _, term in parts}
    if len(every) > 1:
        raise ValueError(f"Added objectives must step the {role} equally often. Received: every={sorted(every)}")
    batch, own = _one([term.batch for _, term in parts])
    given = [(weight, term.errors, keys) for (weight, term), keys in zip(parts, own) if term.errors is not None]

    def loss(batch: dict[str, Any], before: dict[str, dict[str, tf.Tensor]]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        total: Any = 0.0
        logs: dict[str, tf.Tensor] = {}
        for number, ((weight, term), keys) in enumerate(zip(parts, own), 1):
            value, found = term.evaluate(_of(batch, keys), before)
            total = total + weight * value
            logs |= {name if name not in logs else f"{name}_{number}": scalar for name, scalar in found.items()}
        return total, logs

    def errors(batch: dict[str, Any]) -> tf.Tensor:
        return tf.add_n([tf.cast(weight, tf.float32) * found(_of(batch, keys)) for weight, found, keys in given])

    return Term(role, loss, batch, every.pop(), errors if given else None)


def _one(batches: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, str]]]:
    # One batch of all, and of each those of its keys that it has to itself: key to key in the whole.
    whole: dict[str, Any] = dict(batches[0])
    own: list[dict[str, str]] = [{}]
    for number, batch in enumerate(batches[1:], 2):
        if batch is batches[0]:
            own.append({})
            continue
        own.append({key: f"{key}_{number}" for key, value in batch.items() if key in whole and whole[key] is not value})
        whole |= {own[-1].get(key, key): value for key, value in batch.items()}
    return (batches[0] if all(batch is batches[0] for batch in batches) else whole), own


def _of(batch: dict[str, Any], keys: dict[str, str]) -> dict[str, Any]:
    return {**batch, **{key: batch[name] for key, name in keys.items()}} if keys else batch
