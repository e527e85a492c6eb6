"""The memory of recent timesteps: the newest steps of every environment, in order, as often as they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kagent.memories.framed_sequences import FramedSequences
from kagent.memories.framed_storage import framed_columns
from kagent.memories.frames import large_axes
from kagent.memories.linked_storage import LinkedStorage, pays, without_next
from kagent.memories.memory import MEMORIES
from kagent.memories.saved_arrays import Mark, counters, read_block, ring_mark, saved_array
from kagent.memories.sequences import Drawn, RecentSequences
from kagent.memories.storage import Column, Storage
from kagent.memories.transition import Transition


@MEMORIES.register()
class Recent(RecentSequences):
    """A ring of the latest timesteps, from which an update takes the newest `batch_size`, oldest first.

    It is for on-policy objectives as `Rollout` is, but an update does not clear it: with a frequency below the batch
    size, timesteps are learned from several times. Of N environments the newest `ceil(batch_size / N)` timesteps of each
    make a batch. The last timestep of each is cut as if truncated: what follows it is estimated, where that is asked for.

    An observation is stored once, and so is each frame of a stack.

    Args:
        capacity: Timesteps kept, over all environments. None: its agent infers it; see `required_capacity`.
        saved: Whether weights files carry its content, so that training resumes exactly.
        directory: Where the timesteps are in files, as of `Replay`; None: they are in memory.

    Example:

    >>> import gymnasium
    >>> memory = Recent(capacity=10)
    >>> memory.build(gymnasium.spaces.Box(-1, 1, (3,)), gymnasium.spaces.Discrete(2))
    >>> for reward in range(25):
    ...     memory.append_leaves([np.zeros((1, 3))], [np.zeros(1)], np.full(1, reward), np.zeros(1), np.zeros(1),
    ...                          [np.ones((1, 3))])
    >>> next(iter(memory.dataset(batch_size=4)))["reward"].numpy()[:, 0].tolist()
    [21.0, 22.0, 23.0, 24.0]
    """

    def _rows(self) -> int:
        self.steps = -(-self.known_capacity // self.num_envs)
        return self.steps * self.num_envs

    def _make_storage(self) -> Storage:
        columns, rows, envs = self._columns(), self._rows(), self.num_envs
        if large_axes(columns):
            return FramedSequences(columns, rows // envs, envs, self.directory)
        if pays(columns):
            return LinkedStorage(columns, rows, self.directory, window=envs, groups=envs)
        return super()._make_storage()

    def _stored_columns(self) -> list[Column]:
        columns = super()._stored_columns()
        axes = large_axes(columns)
        if not axes and pays(columns):
            return without_next(columns)
        return framed_columns(columns)

    def clear(self) -> None:
        self.storage.clear()
        self.written = np.zeros(self.num_envs, np.int64)  # timesteps of each environment so far
        self._together: int | None = 0  # the same, while it is the same of all
        self._filling = object()

    def fits(self, num_envs: int) -> bool:
        return num_envs == self.num_envs

    def is_ready(self, rule: Any) -> bool:
        return int(self.written.sum()) >= min(int(rule.first), self.known_capacity)

    def __len__(self) -> int:
        return int(np.minimum(self.written, self.steps).sum()) if self.built else 0

    def append_step(self, step: Transition) -> None:
        """One timestep of every environment; rows where `valid` is False are dropped."""
        pick = step.picked()
        if pick is None and self._together is not None:
            begin = self._together % self.steps * self.num_envs
            self._write(slice(begin, begin + self.num_envs), step)
            self._together += 1
            self.written += 1
            return
        self._together = None
        pick = np.arange(self.num_envs) if pick is None else pick
        self._write(self.written[pick] % self.steps * self.num_envs + pick, step, pick)
        self.written[pick] += 1

    def cut_episodes(self, environments: Any) -> None:
        """Marks the newest timestep of these environments as truncated: what is appended next does not follow it."""
        for index in environments:
            newest = (self.written[index] - 1) % self.steps * self.num_envs + index
            if self.written[index] and not self._writer.terminated[newest]:
                self._writer.truncated[newest] = 1
                self._filling = object()

    def _shape(self, batch_size: int, passes: int) -> tuple[tuple[int, int], tuple[int, int]]:
        steps = -(-batch_size // self.num_envs)
        return (steps, self.num_envs), (passes, steps * self.num_envs)

    def _draw_rows(self, batch_size: int, passes: int, seed: int, number: int) -> Drawn:
        (steps, envs), (_, places) = self._shape(batch_size, passes)
        time = self.written - steps + np.arange(steps)[:, None]
        kept = time >= np.maximum(self.written - self.steps, 0)
        rows = np.where(kept, time % self.steps * envs + np.arange(envs), -1)
        return Drawn(rows, np.tile(np.arange(places, dtype=np.int32), (passes, 1)))

    def state(self) -> dict[str, Any]:
        rows = min(int(self.written.max()), self.steps) * self.num_envs
        about, storage = np.asarray([self.steps, self.num_envs], np.int64), self.storage
        frames = (
            storage.frame_state(np.minimum(self.written, self.steps)) if isinstance(storage, FramedSequences) else {}
        )
        return {"counters": about, "written": self.written.copy(), **storage.state(rows), **frames}

    def marks(self) -> dict[str, Mark]:
        written, rows = int(self.written[0]), self.num_envs
        if (self.written != written).any():  # environments do not go in step
            return {}
        ring = ring_mark(self._filling, written * rows, self.steps * rows)
        return {f"block.{name}": ring for name in self.storage.blocks}

    def restore(self, state: Mapping[str, Any]) -> None:
        steps, num_envs = counters(state["counters"], ("steps", "num_envs"))
        if (steps, num_envs) != (self.steps, self.num_envs):
            raise ValueError(
                f"Saved memory holds {steps} steps of {num_envs} environment(s); this one {self.steps} of {self.num_envs}"
            )
        written = saved_array(state["written"], "written", np.int64, (num_envs,))
        if written.min() < 0:
            raise ValueError(f"Saved memory must have counts >= 0. Received: {written}")
        self.clear()
        rows, storage = min(int(written.max()), steps) * num_envs, self.storage
        if isinstance(storage, FramedSequences):
            storage.restore(state, written, rows)
        elif isinstance(storage, LinkedStorage):
            storage.restore(state, rows, ages(written, steps, rows))
        else:
            for name in storage.blocks:
                read_block(storage.blocks[name], name, state[f"block.{name}"], rows)
        self.written = written
        self._together = int(written[0]) if (written == written[0]).all() else None


def ages(written: np.ndarray, steps: int, rows: int) -> np.ndarray:
    """When the rows of a ring of timesteps were written, as `LinkedStorage.restore` takes it.

    Args:
        written: int64 `(N,)`: timesteps of each environment so far.
        steps: Timesteps of each in the ring.
        rows: The first so many rows.

    Example:

    >>> ages(np.array([3, 1]), steps=2, rows=4)  # timesteps 2, 0, 1 and none
    array([ 2,  3,  0, -1])
    """
    envs = len(written)
    place, env = np.divmod(np.arange(rows), envs)
    behind = (written[env] - 1 - place) % steps  # timesteps before the newest one
    found: np.ndarray = np.where(behind < written[env], rows - 1 - behind * envs - (envs - 1 - env), -1)
    return found
