"""The streams of a program's own loops: what was acted on and waits for its outcome, and rows that wait for company."""

from __future__ import annotations

import collections
import dataclasses
import math
from typing import Any

import numpy as np

from kagent.acting import EpisodeStates


class OrderError(RuntimeError, ValueError):
    """A call that does not follow from the ones before it, such as `observe` without `act`: it asks for something that is
    not there, and is a mistake of the caller's as a wrong value is."""


@dataclasses.dataclass(slots=True)
class Acted:
    """An exploring act: what was seen (`raw`: before preprocessing), done and allowed, as batches of one."""

    observation: list[np.ndarray]
    action: list[np.ndarray]
    mask: list[np.ndarray | None] | None
    raw: list[np.ndarray]


@dataclasses.dataclass(slots=True)
class Stream:
    """One episode at a time.

    Attributes:
        acted: The act whose outcome `observe` will give; None: there is none.
        waiting: An act and its reward whose successor the next act will show; None: there is none.
        states: The actor with its state in the stream's episode; None: it has none, or has not acted yet.
        length: Timesteps of the open episode.
        reward: Their sum.
    """

    acted: Acted | None = None
    states: EpisodeStates | None = None
    waiting: tuple[Acted, float] | None = None
    length: int = 0
    reward: float = 0.0


class EpisodeStreams:
    """The streams of one agent, and the way of their transitions into its memory.

    Most memories take a transition when it is there. A rollout takes one of every stream at a time, so that what follows
    one another in it did so in time: transitions of faster streams wait for those of slower ones.

    Args:
        count: How many streams.
    """

    def __init__(self, count: int):
        self.streams = [Stream() for _ in range(count)]
        self._queues: list[collections.deque[tuple]] = [collections.deque() for _ in range(count)]

    def __len__(self) -> int:
        return len(self.streams)

    @property
    def is_open(self) -> bool:
        """Whether an episode is under way in one of them."""
        return any(stream.length or stream.acted or stream.waiting for stream in self.streams)

    def index(self, parallel: Any) -> int:
        """`parallel`, checked.

        Raises:
            ValueError: Not an integer from 0 to the number of streams - 1.
        """
        if isinstance(parallel, bool) or not isinstance(parallel, int | np.integer) or not 0 <= parallel < len(self):
            raise ValueError(
                f"`parallel` must be an integer from 0 to {len(self) - 1} (parallel_interactions={len(self)}). "
                f"Received: {parallel!r}"
            )
        return int(parallel)

    def check_room(self, index: int, memory: Any) -> None:
        """Raises:
        OrderError: The stream is further ahead of another one than the memory is long.
        """
        longest = memory.steps if memory.used_once else math.inf
        if len(self._queues[index]) >= longest:
            behind = min(range(len(self)), key=lambda i: len(self._queues[i]))
            raise OrderError(
                f"Stream {index} is {longest} timesteps ahead of stream {behind}: the memory takes a timestep of every "
                f"stream at a time, so all parallel_interactions={len(self)} must be used"
            )

    def put(self, index: int, memory: Any, row: tuple) -> None:
        """Hands a transition over: the arguments of `append_leaves` but `valid`, `(1, ...)` each."""
        if len(self) == 1:
            _append(memory, row, None)
        elif not memory.used_once:
            valid = np.zeros(len(self), bool)
            valid[index] = True
            _append(memory, tuple(each_array(part, lambda x: np.repeat(x, len(self), axis=0)) for part in row), valid)
        else:
            self._queues[index].append(row)

    def drain(self, memory: Any) -> bool:
        """Moves one waiting transition of every stream on, where all have one and there is room. Whether it did."""
        if len(self) == 1 or not memory.used_once or not all(self._queues) or memory.is_full:
            return False
        rows = [queue.popleft() for queue in self._queues]
        _append(memory, tuple(_together(parts) for parts in zip(*rows)), None)
        return True


def _append(memory: Any, row: tuple, valid: Any) -> None:
    observation, action, reward, terminated, truncated, successor, mask, next_mask = row
    memory.append_leaves(observation, action, reward, terminated, truncated, successor, valid, mask, next_mask)


def each_array(part: Any, change: Any) -> Any:
    """A part of a transition, an array, a list of arrays or None, with every array changed."""
    if part is None or isinstance(part, np.ndarray):
        return None if part is None else change(part)
    return [None if x is None else change(x) for x in part]


def _together(parts: tuple) -> Any:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    given = [part for part in parts if part is not None]
    if not given:
        return None
    # Where a step ended an episode, its mask was not read: everything is allowed there.
    filled = [[None if x is None else np.ones_like(x) for x in given[0]] if part is None else part for part in parts]
    return [None if columns[0] is None else np.concatenate(columns) for columns in zip(*filled)]
