"""A preset's argument `prioritized`: a prioritized replay memory of the capacity that `memory` says."""

from __future__ import annotations

import numbers
from typing import Any

from kagent.memories import MEMORIES, Memory
from kagent.memories.identifiers import whole

Replayed = Memory | int | str | dict[str, Any]


def replay(memory: Replayed, prioritized: bool | dict[str, Any] | None, default: bool = False) -> Any:
    """The part `memory` of a preset.

    Args:
        memory: As the preset takes it.
        prioritized: True, or arguments of `kagent.memories.Prioritized` as a dict: `memory` is its capacity. False: it is the
            capacity of a `Replay`. None: `memory` says it alone, and of a number `default`.
        default: See `prioritized`.

    Returns:
        `memory` itself, or a `Prioritized`.

    Raises:
        TypeError: `prioritized` is something else.
        ValueError: `memory` is a memory itself, beside a `prioritized` that is not None; arguments that `Prioritized` does
            not take.

    Example:

    >>> replay(1000, {"alpha": 0.5}).alpha
    0.5
    """
    capacity = whole(memory)
    is_number = isinstance(capacity, numbers.Integral) and not isinstance(capacity, bool)
    if prioritized is None and (not default or not is_number):
        return memory
    prioritized = default if prioritized is None else prioritized
    if not isinstance(prioritized, bool | dict):
        raise TypeError(
            "`prioritized` must be True, False, None, or a dict of arguments of kagent.memories.Prioritized. "
            f"Received: {prioritized!r}"
        )
    if not is_number:
        raise ValueError(
            "`prioritized` makes the memory, of which `memory` is the capacity in transitions: give `memory` as a number, or "
            "say `alpha`, `beta` and `epsilon` in the memory itself and leave `prioritized` out. "
            f"Received: prioritized={prioritized!r} and memory={memory!r}"
        )
    if prioritized is False:
        return capacity
    arguments = {} if prioritized is True else prioritized
    for name in ("capacity", "type"):
        if name in arguments:
            raise ValueError(
                f"`prioritized` takes no {name!r}: `memory` is the capacity, and the type is 'Prioritized'. "
                f"Received: {prioritized!r}"
            )
    return MEMORIES.get({"type": "Prioritized", "capacity": int(capacity), **arguments}, "prioritized")
