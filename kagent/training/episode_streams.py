"""The streams of a program's own loops: what was acted on and waits for its outcome, and rows that wait for company."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kagent.acting import EpisodeStates
from kagent.memories.transition import Transition, concatenate


class OrderError(RuntimeError, ValueError):
    """A call that does not follow from the ones before it, such as `observe` without `act`: it asks for something that is
    not there, and is a mistake of the caller's as a wrong value is."""


@dataclasses.dataclass(slots=True)
class Acted:
    """An exploring act: what was seen (`raw`: before preprocessing), done, allowed, and known of the episode (`state`), as
    batches of one."""

    observation: list[np.ndarray]
    action: list[np.ndarray]
    mask: list[np.ndarray | None] | None
    raw: list[np.ndarray]
    state: tuple[np.ndarray, ...] = ()


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
        self._queues: list[collections.deque[Transition]] = [collections.deque() for _ in range(count)]

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
        """Checks that the memory has room for another timestep of a stream.

        Raises:
            OrderError: The stream is further ahead of another one than the memory is long.
        """
        longest = memory.steps if memory.on_policy else math.inf
        if len(self._queues[index]) >= longest:
            behind = min(range(len(self)), key=lambda i: len(self._queues[i]))
            raise OrderError(
                f"Stream {index} is {longest} timesteps ahead of stream {behind}: the memory takes a timestep of every "
                f"stream at a time, so all parallel_interactions={len(self)} must be used"
            )

    def put(self, index: int, memory: Any, row: Sequence[Any]) -> None:
        """Hands a `Transition` over, or its fields, `(1, ...)` each."""
        step = Transition(*row)
        if len(self) == 1:
            memory.append_step(step)
        elif not memory.on_policy:
            together = step.map(lambda x: np.repeat(x, len(self), axis=0))
            memory.append_step(together._replace(valid=np.arange(len(self)) == index))
        else:
            self._queues[index].append(step)

    def drain(self, memory: Any) -> bool:
        """Moves one waiting transition of every stream on, where all have one and there is room. Whether it did."""
        if len(self) == 1 or not memory.on_policy or not all(self._queues) or memory.is_full:
            return False
        memory.append_step(concatenate([queue.popleft() for queue in self._queues]))
        return True
