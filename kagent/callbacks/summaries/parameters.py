"""The present values of an agent's numbers that may be schedules."""

from __future__ import annotations

import dataclasses
import inspect
import numbers
from collections.abc import Iterator
from typing import Any

from kagent.optimizers.role_optimizer import ROLES
from kagent.schedules import Clock, Schedule, evaluate

_NUMBERS = ("variable_noise", "l2_regularization", "entropy_regularization")
_PARTS = {
    "policy": "policy", "critic": "critic", "objective": "objective", "memory": "memory", "update": "update_rule",
    "reward_estimation": "reward_estimation", "exploration": "exploration", "target": "target",
}  # fmt: skip


def parameters(agent: Any, clock: Clock) -> dict[str, float]:
    """By the dotted names of the constructor's arguments, `"objective.clip_range"`.

    Args:
        agent: The agent.
        clock: What time it is. Learning rates are those of the last update.
    """
    found = {name: float(evaluate(getattr(agent, name), clock)) for name in _NUMBERS}
    for argument, attribute in _PARTS.items():
        found.update(_of_part(argument, getattr(agent, attribute), clock))
    for argument, optimizer in _optimizers(agent):
        found.update(_of_optimizer(argument, optimizer, clock))
    return found


def _of_part(argument: str, part: Any, clock: Clock) -> Iterator[tuple[str, float]]:
    if hasattr(part, "epsilon"):  # what its fields are for
        yield f"{argument}.epsilon", float(part.epsilon(clock))
        return
    # What may be a schedule is declared `Any`. Of a dataclass all floats are shown.
    floats = dataclasses.is_dataclass(part)
    for name, declared in inspect.signature(type(part).__init__).parameters.items():
        value, anything = getattr(part, name, None), declared.annotation in (Any, "Any")
        entries = value if isinstance(value, dict) and anything else {"": value}
        for key, entry in entries.items():
            number = isinstance(entry, numbers.Real) and not isinstance(entry, bool)
            if isinstance(entry, Schedule) or (number and (anything or (floats and isinstance(entry, float)))):
                yield f"{argument}.{name}" + (f".{key}" if key else ""), float(evaluate(entry, clock))


def _optimizers(agent: Any) -> Iterator[tuple[str, Any]]:
    optimizer = agent.optimizer
    roles = getattr(optimizer, "role_map", None)
    if roles is None:
        several = getattr(optimizer, "optimizers", None)
        named = [("optimizer", optimizer)] if several is None else [(f"optimizer.{o.name}", o) for o in several]
        yield from named
        return
    seen: set[int] = set()
    for role in ROLES:
        own = roles.of(role)
        if getattr(agent, role) is not None and id(own) not in seen:
            seen.add(id(own))
            yield "optimizer" if role == "policy" else f"{role}_optimizer", own


def _of_optimizer(argument: str, optimizer: Any, clock: Clock) -> Iterator[tuple[str, float]]:
    rate = getattr(optimizer, "learning_rate", None)
    if rate is not None:
        yield f"{argument}.learning_rate", float(rate.numpy() if hasattr(rate, "numpy") else rate)
    for name, value in vars(optimizer).items():
        if isinstance(value, Schedule):
            yield f"{argument}.{name.removeprefix('_')}", float(evaluate(value, clock))
