"""The present values of an agent's numbers that may be schedules."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Iterator
from typing import Any

from kagent.optimization import TRAINED
from kagent.schedules import Clock, Schedule, evaluate

_NUMBERS = ("variable_noise", "l2_regularization", "entropy_regularization")
_PARTS = {
    "exploration": "exploration", "objective": "objective", "reward_estimation": "reward_estimation",
    "update": "update_rule", "memory": "memory", "target": "target",
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
    if dataclasses.is_dataclass(part):
        # Fields that may be schedules hold floats, and are declared `Any` where they may hold integers too.
        fields = {field.name: field.type in (Any, "Any") for field in dataclasses.fields(part)}
    else:
        fields = dict.fromkeys(vars(part), False)
    for name, integers in fields.items():
        value = getattr(part, name)
        if isinstance(value, Schedule) or (dataclasses.is_dataclass(part) and _is_number(value, integers)):
            yield f"{argument}.{name}", float(evaluate(value, clock))
        elif isinstance(value, dict) and dataclasses.is_dataclass(part):
            for key, entry in value.items():
                if isinstance(entry, Schedule) or _is_number(entry, True):
                    yield f"{argument}.{name}.{key}", float(evaluate(entry, clock))


def _is_number(value: Any, integers: bool) -> bool:
    return isinstance(value, float) or (integers and isinstance(value, numbers.Real) and not isinstance(value, bool))


def _optimizers(agent: Any) -> Iterator[tuple[str, Any]]:
    optimizer = agent.optimizer
    roles = getattr(optimizer, "role_map", None)
    if roles is None:
        several = getattr(optimizer, "optimizers", None)
        named = [("optimizer", optimizer)] if several is None else [(f"optimizer.{o.name}", o) for o in several]
        yield from named
        return
    seen: set[int] = set()
    for role in TRAINED:
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
