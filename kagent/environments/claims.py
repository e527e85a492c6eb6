"""Environments in use: each by one method at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

_claimed: dict[int, str] = {}  # by the identity of an innermost environment: the method that walks it


def innermost(env: Any) -> dict[int, Any]:
    """The environments below all wrappers of `env`, by identity: its own, and of a vector environment all that it shows."""
    found: dict[int, Any] = {}
    pending = [env]
    while pending:
        base = pending.pop()
        base = getattr(base, "unwrapped", base)
        if id(base) in found:
            continue
        found[id(base)] = base
        inside = [getattr(base, "env", None)]
        listed = getattr(base, "envs", None)
        inside += listed if isinstance(listed, list | tuple) else []
        pending += [one for one in inside if isinstance(one, gymnasium.Env | VectorEnv)]
    return found


def twice(envs: Any) -> tuple[int, int] | None:
    """Indices of two of them which are the same environment below their wrappers; None where all differ."""
    first: dict[int, int] = {}
    for index, env in enumerate(envs):
        for key in innermost(env):
            if first.setdefault(key, index) != index:
                return first[key], index
    return None


@contextlib.contextmanager
def claim(environments: Any, method: str) -> Iterator[None]:
    """Claims `environments` for `method` of an agent while the block runs.

    Raises:
        ValueError: One of them is in use already. They are no longer `owned` then, because its user needs them open.
    """
    own = innermost_of(environments)
    taken = next((_claimed[key] for key in own if key in _claimed), None)
    if taken is not None:
        environments.owned = False
        raise ValueError(
            f"`env` is an environment that `{taken}` is in the middle of: `{method}` would break off its open episodes, "
            "and what follows them would be stored as if it had followed. Make a second environment, or pass an id or a "
            f"callable that makes one. Received: {next(iter(own.values()))!r}"
        )
    _claimed.update(dict.fromkeys(own, method))
    try:
        yield
    finally:
        for key in own:
            _claimed.pop(key, None)


def innermost_of(environments: Any) -> dict[int, Any]:
    """`innermost` of all that kagent's `Environments` are made of."""
    found: dict[int, Any] = {}
    for env in environments.sources:
        found |= innermost(env)
    return found
