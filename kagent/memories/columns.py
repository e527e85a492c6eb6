"""The columns that transitions of an agent's spaces are stored in, and transitions of columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import tensorflow as tf

from kagent.memories.storage import Column
from kagent.spaces import Structure

StateSpec = tuple[tuple[int, ...], np.dtype]  # of a part of an actor's state: its shape in one episode, and its dtype


def structure_of(space: gymnasium.Space | Structure, role: str) -> Structure:
    """A space as a `Structure`; `role` is its name in messages."""
    return space if isinstance(space, Structure) else Structure(space, role)


def columns_of(
    observation: Structure,
    action: Structure,
    masked: Collection[int] = (),
    flags: Collection[str] = (),
    state: Sequence[StateSpec] = (),
) -> list[Column]:
    """The columns of whole transitions.

    Args:
        observation, action: Leaves of the spaces.
        masked: Indices of the action leaves that have masks.
        flags: Names of further columns of bool.
        state: Shape and dtype of each part of an actor's state.
    """
    columns = []
    for name in ("observation", "next_observation"):
        for i, leaf in enumerate(observation.leaves):
            limit = None if leaf.nvec is None else int(leaf.nvec.max())
            columns.append(Column(f"{name}.{i}", leaf.shape, leaf.stored_dtype, limit))
    for i, leaf in enumerate(action.leaves):
        if leaf.nvec is None:
            columns.append(Column(f"action.{i}", leaf.shape, np.dtype(np.float32)))
        else:
            columns.append(Column(f"action.{i}", leaf.shape, np.dtype(np.int32), int(leaf.nvec.max())))
    columns.append(Column("reward", (), np.dtype(np.float32)))
    columns += [Column(name, (), np.dtype(np.bool_)) for name in ("terminated", "truncated", *flags)]
    for name in ("action_mask", "next_action_mask"):
        columns += [Column(f"{name}.{i}", (action.leaves[i].num_values,), np.dtype(np.bool_)) for i in masked]
    columns += [Column(f"actor_state.{i}", shape, np.dtype(dtype)) for i, (shape, dtype) in enumerate(state)]
    return columns


def nested(
    columns: Mapping[str, Any], observation: Structure, action: Structure, masked: bool, parts: int = 0
) -> dict[str, Any]:
    """Flat columns as transitions; see `Memory.nest`.

    Args:
        columns: Arrays or tensors `(..., *shape)` by the names of `columns_of`, and others, which stay as they are.
        observation, action: Leaves of the spaces.
        masked: Whether there are masks.
        parts: Of an actor's state.
    """
    flat = dict(columns)

    def leaves(group: str, structure: Structure) -> Any:
        return structure.unflatten([flat.pop(f"{group}.{i}") for i in range(len(structure.leaves))])

    found: dict[str, Any] = {
        "observation": leaves("observation", observation),
        "action": leaves("action", action),
        "next_observation": leaves("next_observation", observation),
    }
    if masked:
        for name in ("action_mask", "next_action_mask"):
            found[name] = [flat.pop(f"{name}.{i}", None) for i in range(len(action.leaves))]
    if parts:
        found["actor_state"] = tuple(flat.pop(f"actor_state.{i}") for i in range(parts))
    return {**found, **flat}


def portable(transitions: dict[str, Any]) -> dict[str, Any]:
    """Transitions as tf.data takes them: it stacks lists and has no place for None.

    Masks are tuples, of width 0 for a leaf without one.
    """
    none = tf.ones_like(transitions["reward"], tf.bool)[..., tf.newaxis][..., :0]
    masks = {name: value for name, value in transitions.items() if name.endswith("mask")}
    return {**transitions, **{name: tuple(none if m is None else m for m in mask) for name, mask in masks.items()}}
