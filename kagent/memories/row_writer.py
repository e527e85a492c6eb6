"""Writes timesteps into rows."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from kagent.memories.storage import Storage
from kagent.memories.transition import Transition, state_of
from kagent.spaces import Structure


class RowWriter:
    """Writes the arrays of timesteps into the rows of a memory's columns.

    Args:
        storage: The rows, of columns as `kagent.memories.columns.columns_of` has them.
        observation, action: Leaves of the spaces.
        masked: Indices of the action leaves that have masks.
        parts: Of an actor's state.

    Attributes:
        terminated, truncated: The columns of these names.
    """

    def __init__(
        self,
        storage: Storage,
        observation: Structure,
        action: Structure,
        masked: Collection[int] = (),
        parts: int = 0,
    ):
        views, self._storage, self._lead = storage.views, storage, storage.lead

        def leaves(name: str, structure: Structure) -> list[np.ndarray]:
            return [views[f"{name}.{i}"] for i in range(len(structure.leaves))]

        self.terminated, self.truncated = views["terminated"], views["truncated"]
        self._following = storage.following()
        own = (*leaves("observation", observation), *leaves("action", action))
        self._own = (*own, views["reward"], self.terminated, self.truncated)
        self._masks = [(i, views[f"action_mask.{i}"]) for i in masked]
        self._next_masks = [(i, views[f"next_action_mask.{i}"]) for i in masked]
        self._states = [views[f"actor_state.{i}"] for i in range(parts)]

    def write(self, rows: Any, step: Transition, pick: Any = None) -> None:
        """Writes a timestep of some environments, or several of one, a row for each.

        Args:
            rows: A slice, or an index array, in the order of time.
            step: Arrays `(N, ...)`, of which copies are stored.
            pick: Indices of those that are written; None: all.
        """
        count = len(step.reward)
        if count > 1 and (most := self._storage.most) is not None and count > most:
            numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
            pick = np.arange(len(numbers)) if pick is None else pick
            for begin in range(0, len(numbers), most):
                self._write(numbers[begin : begin + most], step, pick[begin : begin + most])
        else:
            self._write(rows, step, pick)

    def _write(self, rows: Any, step: Transition, pick: Any) -> None:
        # This runs at every timestep.
        observation, action, reward, terminated, truncated, successor, mask, next_mask, _, _ = step
        own = zip(self._own, (*observation, *action, reward, terminated, truncated))
        if pick is None and len(reward) == 1 and isinstance(rows, slice):
            row = rows.start  # a number is written in half the time of a slice
            for target, source in own:
                target[row] = source if source.ndim > 1 else source.item()
        else:
            for target, source in own:
                target[rows] = source if pick is None else source[pick]
        following = self._lead(rows)
        for target, source in zip(self._following, successor):
            target[following] = source if pick is None else source[pick]
        if self._masks:
            for targets, given in ((self._masks, mask), (self._next_masks, next_mask)):
                for i, target in targets:
                    allowed = None if given is None else given[i]
                    target[rows] = True if allowed is None else allowed if pick is None else allowed[pick]
        if self._states:
            for target, source in zip(self._states, state_of(step, len(self._states))):
                target[rows] = source if pick is None else source[pick]
