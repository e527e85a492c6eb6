"""Memories from names, dicts and numbers."""

from __future__ import annotations

import numbers
from typing import Any

from kagent.memories.memory import MEMORIES, Memory

_EPISODIC = {"Replay": "ReplayEpisodes", "Recent": "RecentEpisodes"}


def whole(value: Any) -> Any:
    """1e6 as 1000000; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def get(identifier: Any, unit: str | None = None) -> Memory:
    """A memory from an object, a name, a dict, or an int: the capacity of a replay memory.

    Args:
        identifier: What stands for it.
        unit: Unit of the update rule it is for. "Replay" and "Recent", and an int, then name the memory of timesteps
            or the memory of episodes.
    """
    if isinstance(identifier, Memory):
        return identifier
    identifier = whole(identifier)
    if isinstance(identifier, numbers.Integral) and not isinstance(identifier, bool):
        identifier = {"type": "Replay", "capacity": int(identifier)}
    if isinstance(identifier, str):
        identifier = {"type": identifier}
    if unit == "episodes" and isinstance(identifier, dict) and MEMORIES.knows(identifier.get("type")):
        episodic = _EPISODIC.get(MEMORIES.name_of(identifier["type"]))
        identifier = {**identifier, "type": episodic} if episodic else identifier
    memory: Memory = MEMORIES.get(identifier, "memory")
    return memory
