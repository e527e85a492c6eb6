"""Timesteps of some environments as columns: what a worker sends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kagent.environments import Transition
from kagent.training.collector import Episode, Timestep

Block = dict[str, Any]


class BlockWriter:
    """Writes timesteps of some rows of a `Collector` into columns.

    An observation is written once: the next observation of a timestep is the observation of the one after it, but where an
    episode ends. These last observations have columns of their own.

    Args:
        steps: How many timesteps.
        rows: Rows of the environments that are written.
    """

    def __init__(self, steps: int, rows: slice):
        self._steps, self._rows = steps, rows
        self._groups: dict[str, list[np.ndarray | None]] = {}
        self._last: dict[str, list[np.ndarray]] = {}
        self._places: list[tuple[int, int]] = []
        self._ended: list[tuple[int, int, Episode]] = []

    def write(self, t: int, timestep: Timestep, ended: Sequence[tuple[int, Episode]]) -> None:
        """Writes timestep `t`, and the episodes that ended in it, by row."""
        outcome = timestep.outcome
        self._write("observation", t, timestep.observation, 1)
        if timestep.mask is not None:
            self._write("mask", t, timestep.mask, 1)
        self._write("action", t, timestep.action)
        if timestep.actor_state:
            self._write("actor_state", t, timestep.actor_state)
        self._write("outcome", t, (outcome.reward, outcome.terminated, outcome.truncated))
        for row, episode in ended:
            self._ended.append((t, row, episode))
        for row in outcome.ended:
            self._places.append((t, row))
            for group, parts in (("observation", outcome.next_observation), ("mask", outcome.next_mask or ())):
                for i, part in enumerate(parts):
                    if part is not None:
                        self._last.setdefault(f"{group}.{i}", []).append(part[row].copy())

    def write_raw(
        self, t: int, observation: Sequence[np.ndarray], following: Sequence[np.ndarray], ended: Sequence[int]
    ) -> None:
        """Writes the environments' own observations of timestep `t`, beside the processed ones.

        Args:
            t: The timestep.
            observation, following: Of the rows that are written alone: what was acted on, and where it led to.
            ended: As `outcome.ended`.
        """
        self._put("raw", t, observation, 1)
        for row in ended:
            for i, part in enumerate(following):
                self._last.setdefault(f"raw.{i}", []).append(part[row - self._rows.start].copy())

    def finish(self, observation: Sequence[np.ndarray], mask: Any, raw: Sequence[np.ndarray] = ()) -> Block:
        """The block.

        Args:
            observation, mask: What is to be acted on after the last timestep.
            raw: The environments' own observations there, if they are written.
        """
        if raw:
            self._put("raw", self._steps, raw, 1)
        self._write("observation", self._steps, observation, 1)
        if mask is not None:
            self._write("mask", self._steps, mask, 1)
        return {
            "columns": {
                f"{group}.{i}": column
                for group, columns in self._groups.items()
                for i, column in enumerate(columns)
                if column is not None
            },
            "last": {name: np.stack(parts) for name, parts in self._last.items()},
            "places": self._places,
            "ended": [(t, row, *episode) for t, row, episode in self._ended],
        }

    def _write(self, group: str, t: int, parts: Sequence[Any], further: int = 0) -> None:
        rows = self._rows
        self._put(group, t, [None if part is None else part[rows] for part in parts], further)

    def _put(self, group: str, t: int, parts: Sequence[Any], further: int) -> None:
        columns = self._groups.get(group)
        if columns is None:
            steps = self._steps + further
            columns = [None if own is None else np.empty((steps, *own.shape), own.dtype) for own in parts]
            self._groups[group] = columns
        for column, own in zip(columns, parts):
            if column is not None:
                column[t] = own


class Rollout:
    """The blocks of all workers, side by side, as timesteps.

    Args:
        blocks: In the order of their rows.
        leaves: How many leaves an observation and an action have.
        firsts: Of each block what is added to the rows of its ends, where they were counted from 0 in each; None: nothing.
    """

    def __init__(self, blocks: Sequence[Block], leaves: tuple[int, int], firsts: Sequence[int] | None = None):
        names = blocks[0]["columns"]
        columns = {name: np.concatenate([block["columns"][name] for block in blocks], axis=1) for name in names}
        observations, actions = leaves
        states = sum(name.startswith("actor_state.") for name in names)
        counts = {
            "observation": observations, "raw": observations, "action": actions, "mask": actions, "actor_state": states, "outcome": 3,
            "log_prob": 1,
        }  # fmt: skip
        self._groups = {
            group: [columns.get(f"{group}.{i}") for i in range(count)]
            for group, count in counts.items()
            if any(name.startswith(f"{group}.") for name in names)
        }
        self.steps, count = columns["outcome.0"].shape
        self._valid = np.ones(count, bool)
        self._last: list[list[tuple[int, Mapping[str, np.ndarray], int]]] = [[] for _ in range(self.steps)]
        self._ended: list[list[tuple[int, Episode]]] = [[] for _ in range(self.steps)]
        for block, first in zip(blocks, [0] * len(blocks) if firsts is None else firsts):
            for place, (t, row) in enumerate(block["places"]):
                self._last[t].append((first + row, block["last"], place))
            for t, row, *episode in block["ended"]:
                self._ended[t].append((first + row, Episode(*episode)))

    def timestep(self, t: int) -> tuple[Timestep, list[tuple[int, Episode]]]:
        """Timestep `t`, and the episodes that ended in it."""
        masked = "mask" in self._groups
        observation, following = self._group("observation", t), self._led_to("observation", t)
        mask, next_mask = (self._group("mask", t), self._led_to("mask", t)) if masked else (None, None)
        reward, terminated, truncated = self._group("outcome", t)
        ended = self._ended[t]
        rows = [row for row, _ in ended]
        outcome = Transition(reward, terminated, truncated, self._valid, True, following, next_mask, rows)
        action = self._group("action", t)
        state = tuple(self._group("actor_state", t)) if "actor_state" in self._groups else ()
        return Timestep(observation, mask, state, action, action, observation, outcome), ended

    def raw(self, t: int) -> tuple[list[Any], list[Any], list[Any]] | None:
        """The environments' own observations, where workers sent them: those that were acted on at `t`, those that the actions led
        to, and those that are acted on next.
        """
        if "raw" not in self._groups:
            return None
        return self._group("raw", t), self._led_to("raw", t), self._group("raw", t + 1)

    def log_prob(self, t: int) -> np.ndarray | None:
        """Log-probabilities of the actions of timestep `t`, where workers sent them."""
        return self._group("log_prob", t)[0] if "log_prob" in self._groups else None

    def _led_to(self, group: str, t: int) -> list[Any]:
        # What is acted on next, but the last one of an episode where one ended.
        parts = self._group(group, t + 1)
        if self._last[t]:
            parts = [None if part is None else part.copy() for part in parts]
            for i, part in enumerate(parts):
                if part is not None:
                    for row, last, place in self._last[t]:
                        part[row] = last[f"{group}.{i}"][place]
        return parts

    def _group(self, group: str, t: int) -> list[Any]:
        return [None if column is None else column[t] for column in self._groups[group]]
