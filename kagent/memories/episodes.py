"""Memories of whole episodes, for update rules that count episodes."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import Any

import numpy as np

from kagent.memories.host_iterator import generator_of
from kagent.memories.linked_storage import LinkedStorage, pays, without_next
from kagent.memories.memory import MEMORIES
from kagent.memories.saved_arrays import Mark, counters, read_block, ring_mark, saved_array
from kagent.memories.saved_links import ring_ages
from kagent.memories.sequences import Drawn, RecentSequences, Sequences
from kagent.memories.storage import Column, Storage
from kagent.memories.transition import Transition

_SHORTEST = 8  # timesteps that an element has at least
_OPEN = 64  # timesteps of each open episode for which there is room at first


def padded_length(length: int) -> int:
    """Timesteps that episodes of at most `length` are padded to: the next power of two.

    XLA compiles a program anew for every size; like this there are few.

    Example:

    >>> [padded_length(n) for n in (1, 8, 9, 500)]
    [8, 8, 16, 512]
    """
    return max(_SHORTEST, 1 << (length - 1).bit_length())


class EpisodeMemory(Sequences):
    """Base of `RecentEpisodes` and `ReplayEpisodes`: a ring of complete episodes, each in one piece.

    Of every environment the open episode is kept apart, and enters the ring when it ends; the oldest ones leave.
    """

    unit = "episodes"
    missing = "a memory with a finished episode"

    def build(self, *args: Any, **kwargs: Any) -> None:
        super().build(*args, **kwargs)
        self._open_up(_OPEN)

    def _rows(self) -> int:
        return self.known_capacity

    def _make_storage(self) -> Storage:
        columns = self._columns()
        return LinkedStorage(columns, self._rows(), self.directory) if pays(columns) else super()._make_storage()

    def _stored_columns(self) -> list[Column]:
        columns = super()._stored_columns()
        return without_next(columns) if pays(columns) else columns

    def _open_up(self, length: int) -> None:
        # Room for so many timesteps of each open episode: environment e has rows e * length to (e + 1) * length.
        self._length = length
        self._open = Storage(self._columns(), self.num_envs * length)
        self._bind(self._open)

    def _grow(self) -> None:
        before, length = self._open, self._length
        self._open_up(2 * length)
        for name, block in before.blocks.items():
            target = self._open.blocks[name].reshape(self.num_envs, 2 * length, -1)
            target[:, :length] = block.reshape(self.num_envs, length, -1)

    def clear(self) -> None:
        self._filling = object()
        self.storage.clear()
        self.total = 0  # timesteps of complete episodes so far
        self.finished = 0  # complete episodes so far
        self.episodes: collections.deque[tuple[int, int]] = collections.deque()  # of those kept: begin in total, length
        self.positions = np.zeros(self.num_envs, np.int64)  # timesteps of the open episodes

    def set_num_envs(self, num_envs: int) -> None:
        if num_envs != self.num_envs:
            super().set_num_envs(num_envs)
            self.positions = np.zeros(num_envs, np.int64)
            self._open_up(_OPEN)

    def cut_episodes(self, environments: Any) -> None:
        """Drops the open episodes of these environments."""
        self.positions[list(environments)] = 0

    @property
    def has_any(self) -> bool:
        return self.built and bool(self.episodes)

    def is_ready(self, rule: Any) -> bool:
        return self.has_any and self.finished >= min(rule.batch_size, rule.first)

    def __len__(self) -> int:
        return sum(length for _, length in self.episodes) if self.built else 0

    def append_step(self, step: Transition) -> None:
        """One timestep of every environment; rows where `valid` is False are dropped.

        Raises:
            ValueError: An episode is longer than the capacity.
        """
        pick = step.picked()
        pick = np.arange(self.num_envs) if pick is None else pick
        if pick.size and self.positions[pick].max() >= self._length:
            self._grow()
        rows = pick * self._length + self.positions[pick]
        self._write(rows, step, pick)
        self.positions[pick] += 1
        if pick.size and self.positions.max() > self.known_capacity:
            raise ValueError(
                f"`memory.capacity` must be at least the length of an episode. Received: {self.capacity}, and an episode "
                f"that is longer"
            )
        ended = np.logical_or(step.terminated, step.truncated)
        for index in pick[ended[pick]] if ended.any() else ():
            self._finish(int(index))

    def append_sequence(self, sequence: Transition) -> None:
        """Consecutive timesteps of one environment that is none of those attached; see `Memory.append_sequence`. An episode
        that has not ended with them is dropped."""
        own = self.num_envs, self.positions, self._length, self._open
        self.num_envs, self.positions = 1, np.zeros(1, np.int64)
        self._open_up(_OPEN)
        try:
            super().append_sequence(sequence)
            self.cut_episodes([0])
        finally:
            self.num_envs, self.positions, self._length, self._open = own
            self._bind(self._open)

    def _finish(self, index: int) -> None:
        length, capacity = int(self.positions[index]), self.known_capacity
        rows, begin = np.arange(self.total, self.total + length) % capacity, index * self._length
        storage, most = self.storage, self.storage.most or length
        for first in range(0, length, most):
            opened = slice(begin + first, begin + min(first + most, length))
            storage.take_rows(rows[first : first + most], {name: a[opened] for name, a in self._open.blocks.items()})
        self.episodes.append((self.total, length))
        self.total += length
        self.finished += 1
        self.positions[index] = 0
        while self.episodes[0][0] < self.total - capacity:
            self.episodes.popleft()

    def _side_by_side(self, chosen: list[tuple[int, int]], columns: int, groups: int) -> Drawn:
        # Episodes as columns, in so many groups of columns, each a minibatch.
        steps = padded_length(max((length for _, length in chosen), default=1))
        rows = np.full((steps, columns), -1, np.int64)
        for column, (begin, length) in enumerate(chosen):
            rows[:length, column] = np.arange(begin, begin + length) % self.known_capacity
        places = np.arange(steps * columns, dtype=np.int32).reshape(steps, groups, columns // groups)
        return Drawn(rows, places.transpose(1, 0, 2).reshape(groups, -1))

    def state(self) -> dict[str, Any]:
        rows = min(self.total, self.known_capacity)
        about = [self.known_capacity, self.total, self.finished, self.num_envs]
        opened = np.concatenate([np.arange(n) + i * self._length for i, n in enumerate(self.positions)])
        return {
            "counters": np.asarray(about, np.int64),
            "episodes": np.asarray(self.episodes, np.int64).reshape(-1, 2),
            "positions": self.positions.copy(),
            **self.storage.state(rows),
            **{f"open.{name}": array[opened] for name, array in self._open.blocks.items()},
        }

    def marks(self) -> dict[str, Mark]:
        ring = ring_mark(self._filling, self.total, self.known_capacity)
        return {f"block.{name}": ring for name in self.storage.blocks}

    def restore(self, state: Mapping[str, Any]) -> None:
        names = ("capacity", "total", "finished", "num_envs")
        capacity, total, finished, num_envs = counters(state["counters"], names)
        if (capacity, num_envs) != (self.capacity, self.num_envs) or min(total, finished) < 0:
            raise ValueError(
                f"Saved memory has capacity {capacity} and {num_envs} environment(s); this one {self.capacity} and "
                f"{self.num_envs}"
            )
        episodes = saved_array(state["episodes"], "episodes", np.int64, (None, 2))
        positions = saved_array(state["positions"], "positions", np.int64, (num_envs,))
        ends = episodes.sum(axis=1)
        following = np.append(episodes[1:, 0], total) == ends if len(episodes) else np.asarray([True])
        if not (following.all() and (episodes[:, 1] > 0).all() and (episodes[:, 0] >= max(0, total - capacity)).all()):
            raise ValueError(f"Saved memory has impossible episodes. Received: {episodes.tolist()[:8]}")
        if positions.min() < 0 or positions.max() > capacity:
            raise ValueError(f"Saved memory has impossible open episodes. Received: {positions.tolist()}")
        self.clear()
        filled, storage = min(total, capacity), self.storage
        if isinstance(storage, LinkedStorage):
            storage.restore(state, filled, ring_ages(filled, total))
        else:
            for name in storage.blocks:
                read_block(storage.blocks[name], name, state[f"block.{name}"], filled)
        while self._length < positions.max():
            self._grow()
        rows = np.concatenate([np.arange(n) + i * self._length for i, n in enumerate(positions)])
        for name, block in self._open.blocks.items():
            block[rows] = saved_array(state[f"open.{name}"], f"open.{name}", block.dtype, (len(rows), block.shape[1]))
        self.total, self.finished, self.positions = total, finished, positions
        self.episodes.extend((int(begin), int(length)) for begin, length in episodes)

    def _shape(self, batch_size: int, passes: int) -> tuple[tuple[int, int], tuple[int, int]]:
        # Of what would be drawn now; the length changes.
        drawn = self._draw_rows(batch_size, passes, 0, 0)
        return drawn.rows.shape, drawn.indices.shape


@MEMORIES.register()
class RecentEpisodes(EpisodeMemory, RecentSequences):
    """The latest complete episodes, of which an update takes the newest `batch_size`, all their timesteps.

    An episode is a column of what objectives see, `(T, batch_size, ...)`, with T the next power of two after the longest;
    what is behind its end does not count. Where fewer episodes are kept than asked for, those.

    An episode that is interrupted (another `fit` begins a new one) is dropped.

    Args:
        capacity: Timesteps kept in complete episodes. None: its agent infers it; see `required_capacity`.
        saved: Whether weights files carry its content, open episodes included, so that training resumes exactly.
        directory: Where complete episodes are in files, as of `Replay`; None: they are in memory.
    """

    def _draw_rows(self, batch_size: int, passes: int, seed: int, number: int) -> Drawn:
        newest = [self.episodes[-i] for i in range(min(batch_size, len(self.episodes)), 0, -1)]
        drawn = self._side_by_side(newest, batch_size, 1)
        return Drawn(drawn.rows, np.tile(drawn.indices, (passes, 1)))


@MEMORIES.register()
class ReplayEpisodes(EpisodeMemory):
    """The latest complete episodes, of which each minibatch takes `batch_size` uniformly drawn ones with replacement.

    All timesteps of an episode are in its minibatch, so that long ones weigh more: the loss is a mean over timesteps.

    An episode that is interrupted (another `fit` begins a new one) is dropped.

    Args:
        capacity: Timesteps kept in complete episodes. None: its agent infers it; see `required_capacity`.
        saved: Whether weights files carry its content, open episodes included, so that training resumes exactly.
        directory: Where complete episodes are in files, as of `Replay`; None: they are in memory.
    """

    def configure(self, rule: Any, estimation: Any, clock: Any) -> None:
        super().configure(rule, estimation, clock)
        self.check(rule.batch_size)
        if rule.steps is None:
            raise ValueError(f"A replay memory needs update.steps. Received: {rule}")

    def _passes(self, rule: Any, executions: int) -> int:
        return int(rule.steps) * executions

    def _draw_rows(self, batch_size: int, passes: int, seed: int, number: int) -> Drawn:
        count = batch_size * passes
        chosen: list[tuple[int, int]] = []
        if self.episodes:
            kept = list(self.episodes)
            chosen = [kept[i] for i in generator_of(seed, number).integers(len(kept), size=count)]
        return self._side_by_side(chosen, count, passes)
