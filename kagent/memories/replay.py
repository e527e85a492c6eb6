"""The replay memory: the latest transitions, drawn uniformly with replacement."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from kagent.config.checks import check_count
from kagent.environments.checks import INFINITE
from kagent.files.atomic_files import local_directory
from kagent.memories.columns import portable
from kagent.memories.framed_storage import FramedStorage, framed_columns
from kagent.memories.frames import frame_axes
from kagent.memories.identifiers import whole
from kagent.memories.linked_storage import LinkedStorage, pays, without_next
from kagent.memories.memory import MEMORIES, Memory
from kagent.memories.n_step import NStepAccumulator, NStepTransition
from kagent.memories.pipeline import pipeline
from kagent.memories.saved_arrays import Mark, counters, ring_mark
from kagent.memories.saved_links import read_rows, ring_ages
from kagent.memories.storage import Column, Storage, shared_array, shared_tensor
from kagent.memories.transition import Transition
from kagent.schedules import Schedule


@MEMORIES.register("replay_memory")
class Replay(Memory):
    """A ring of the latest `capacity` transitions (Lin 1992; Mnih et al. 2015).

    Where its agent's `reward_estimation` has a horizon, a transition is over a window of several timesteps (see
    `n_step.NStepAccumulator`): its `reward` is the discounted sum, its `next_observation` where the window led, and there is a
    `discount`, the power to weigh the estimate of what follows by. The newest timesteps, whose windows are open, are not
    drawn yet. Where the estimate is to be that of the time when the experience was stored ("early"), it is in
    `next_value`. It is computed for many rows at once, right before the next update (or where `fit` ends): networks do
    not change in between, so that these are the values of when the rows were stored.

    An observation of 8 bytes or more is stored once where another transition begins with it, which its bytes say; not with a horizon
    of "episode". One of 512 bytes or more that is a stack of frames takes the room of one frame: it may be a stack where it is an
    image with 2 to 32 channels (but not three in the last place, which are colours), or has 2 to 32 parts along the first axis of
    another rank. Each frame is compared with recent ones by its bytes, and is stored where none is equal.

    Args:
        capacity: Number of transitions kept. None: its agent infers it; see `required_capacity`.
        saved: Whether weights files carry its content, so that training resumes exactly.
        directory: Where the transitions are in files, for more of them than fit into memory; None: they are in memory. The speed is
            the same as long as the system can keep in memory what is drawn. The files have no names: other processes may use the
            same directory, its deletion changes nothing, and the disk is free again when the process ends, by `kill -9` too. Files
            that are saved carry the content as ever. It is no part of the configuration: a file may not choose where another
            machine writes.

    Raises:
        ValueError: `capacity` is not an integer >= 1; later, the sum of a window's rewards is not finite as float32.

    Example:

    >>> import gymnasium
    >>> memory = Replay(capacity=1000)
    >>> memory.build(gymnasium.spaces.Box(-1, 1, (3,)), gymnasium.spaces.Discrete(2))
    >>> memory.append(observation=np.zeros(3), action=1, reward=0.5, terminated=False, truncated=False,
    ...               next_observation=np.ones(3))
    >>> batch = next(iter(memory.dataset(batch_size=4)))
    >>> batch["observation"].shape, batch["action"].shape
    (TensorShape([4, 3]), TensorShape([4]))
    """

    substitutes = ("Rollout",)  # of objectives that make returns of single timesteps too

    def __init__(
        self, capacity: int | None = None, saved: bool = True, directory: str | os.PathLike[str] | None = None
    ):
        super().__init__(saved)
        self.directory = None if directory is None else local_directory(directory, "memory.directory")
        self._live_storage: Any = None
        self._estimation: Any = None
        self._clock: Any = None
        self.windows: NStepAccumulator | None = None
        self._restored_shift = 0
        self.early = False  # whether the value of what follows is kept
        self.capacity: Any = None if capacity is None else check_count(whole(capacity), "memory.capacity")

    def get_part(self) -> dict[str, Any]:
        return {"type": "Replay", "capacity": self.capacity, "saved": self.saved}

    def configure(self, rule: Any, estimation: Any, clock: Any) -> None:
        super().configure(rule, estimation, clock)
        self.check(rule.batch_size)
        if rule.steps is None:
            raise ValueError(f"A replay memory needs update.steps. Received: {rule}")
        self._estimation, self._clock = estimation, clock
        self.early = estimation.estimate_horizon == "early"

    def build(self, *args: Any, **kwargs: Any) -> None:
        super().build(*args, **kwargs)
        self.windows = self._new_windows() if self._is_windowed else None

    def _new_windows(self) -> NStepAccumulator:
        return NStepAccumulator(self, self._estimation.horizon, self._estimation.discount, self._clock)

    @property
    def _is_windowed(self) -> bool:
        return self._estimation is not None and self._estimation.horizon != 0

    def _columns(self) -> list[Column]:
        names = [*(["discount"] if self._is_windowed else []), *(["next_value"] if self.early else [])]
        return super()._columns() + [Column(name, (), np.dtype(np.float32)) for name in names]

    @property
    def _is_framed(self) -> bool:
        return bool(frame_axes(self._columns()))

    @property
    def _is_linked(self) -> bool:
        # Not where all transitions of an episode lead to its end.
        return self._reach() is not None and pays(self._columns())

    def _reach(self) -> int | None:
        # Timesteps of an environment behind which the next observation of a transition is an observation; None: to the end.
        horizon = self._estimation.horizon if self._is_windowed else 0
        if isinstance(horizon, Schedule):
            horizon = min(horizon.bounds[1], self._rows())
        return None if horizon == "episode" else int(horizon) + 1

    def _make_storage(self) -> Storage:
        if self._is_framed:
            return FramedStorage(self._columns(), self._rows(), self.directory)
        if self._is_linked:
            return LinkedStorage(self._columns(), self._rows(), self.directory, self._window())
        return super()._make_storage()

    def _window(self) -> int:
        return self.num_envs * (self._reach() or 1)

    def _stored_columns(self) -> list[Column]:
        columns = super()._stored_columns()
        if self._is_framed:
            return framed_columns(columns)
        return without_next(columns) if self._is_linked else columns

    def set_num_envs(self, num_envs: int) -> None:
        super().set_num_envs(num_envs)
        if self.built and isinstance(self.storage, LinkedStorage):
            self.storage.expect(self._window(), self.size, ring_ages(self.size, self.cursor))
        if self.windows is not None and self.windows.num_envs != num_envs:
            self.windows.begin(num_envs)

    def cut_episodes(self, environments: Any) -> None:
        """Closes these environments' open windows: what is appended next does not follow them."""
        if self.windows is not None:
            self._keep(self.windows.cut(environments))

    def is_ready(self, rule: Any) -> bool:
        opened = 0 if self.windows is None else len(self.windows)
        return self.has_any and len(self) + opened >= min(rule.first, self.capacity)

    def elements(self, rule: Any, executions: int, seed: int, start: int) -> Any:
        return iter(self.packed_dataset(rule.batch_size, rule.steps * executions, seed, start))

    def _rows(self) -> int:
        self.check(1)
        capacity: int = self.capacity
        return capacity

    def clear(self) -> None:
        self.size = self.cursor = self.total = 0
        self._filling = object()
        self.storage.clear()
        self.unestimated = 0  # of the newest rows, where there is a `next_value`
        if self.windows is not None:
            self.windows = self._new_windows()
        self.publish()

    def publish(self) -> None:
        # Of each storage, datasets read the size through memory of its own.
        if self._live_storage is not self.storage:
            self._live_storage, self._live = self.storage, shared_array((1,), "int64")
            self._live_tensor = shared_tensor(self._live)
        self._live[0] = self.size

    def append_step(self, step: Transition) -> None:
        """One timestep of every environment; rows where `valid` is False are dropped."""
        if self.windows is not None:
            self._keep(self.windows.append(step))
            return
        pick = None if step.valid is None else step.picked()
        count = len(step.reward) if pick is None else len(pick)
        if count > self.capacity:  # only the last ones stay
            self._advance(count - self.capacity)
            pick = (np.arange(count) if pick is None else pick)[-self.capacity :]
            count = self.capacity
        self._write(self._advance(count), step, pick)

    def append_sequence(self, sequence: Transition) -> None:
        """Consecutive timesteps of one environment that is none of those attached; see `Memory.append_sequence`."""
        own = self.windows
        if self._is_windowed:
            self.windows = self._new_windows()
            self.windows.begin(1)
        try:
            # Transitions of single timesteps are written together. Frames are looked for in the transition before.
            alone = not self._is_windowed and not isinstance(self.storage, FramedStorage)
            self._append_parts(self.capacity if alone else 1, sequence)
            self.cut_episodes([0])
        finally:
            self.windows = own

    def _keep(self, closed: NStepTransition | None) -> None:
        if closed is None:
            return
        step, discount = closed
        if not (np.abs(step.reward) < INFINITE).all():
            raise ValueError(
                "The discounted sum of rewards over reward_estimation.horizon is not finite as float32, in which it is stored. "
                f"Received: {step.reward[np.argmax(np.abs(step.reward))]}"
            )
        if len(discount) > self.capacity:  # an episode that is longer than the memory: its newest timesteps
            newest = slice(len(discount) - self.capacity, None)
            step, discount = step.take(newest), discount[newest]
        rows = self._advance(len(discount))
        self._write(rows, step)
        self.storage.views["discount"][rows] = discount

    def _advance(self, count: int) -> Any:
        # The rows of so many new transitions.
        begin, end = self.cursor, self.cursor + count
        self.cursor = end % self.capacity
        self.total += count
        if self.size < self.capacity:
            self.size = self._live[0] = min(self.size + count, self.capacity)
        if self.early:
            self.unestimated = min(self.unestimated + count, self.capacity)
        return slice(begin, end) if end <= self.capacity else np.arange(begin, end) % self.capacity

    def take_unestimated(self) -> np.ndarray:
        """Rows whose `next_value` is asked for; whoever takes them has to write it into `storage.views`."""
        rows: np.ndarray = np.arange(self.cursor - self.unestimated, self.cursor) % self.capacity
        self.unestimated, self._filling = 0, object()
        return rows

    def packed_dataset(self, batch_size: int, steps: int, seed: int, start: int = 0) -> tf.data.Dataset:
        """Elements of `steps` minibatches in packed form; `learning_batch` unpacks them inside the learner.

        Element number n is drawn with the seed (seed, n), so that a pipeline begun at n continues another exactly.
        """
        live, storage = self._live_tensor, self.storage

        def draw(number: tf.Tensor) -> dict[str, tf.Tensor]:
            seeds = tf.stack([tf.constant(seed, tf.int64), number])
            picks = tf.random.stateless_uniform((steps * batch_size,), seeds, 0, live[0], tf.int64)
            return storage.gather(picks, (steps, batch_size))

        return pipeline(tf.data.Dataset.counter(start), draw)

    def dataset(self, batch_size: int, steps: int | None = None, seed: int = 0, start: int = 0) -> tf.data.Dataset:
        """An endless dataset of uniformly drawn transitions, read from the memory as it is at each draw.

        Args:
            batch_size: Transitions per minibatch, drawn with replacement.
            steps: With it, every element stacks so many minibatches: `(steps, batch_size, ...)`.
            seed: Equal seeds draw equal rows from equal memories.
            start: Number of the first element, to continue an earlier pipeline.

        Returns:
            Dicts with `observation`, `action`, `reward`, `terminated`, `truncated`, `next_observation`,
            `(batch_size, ...)` each, observations and actions nested as their spaces. Where masks are stored, also
            `action_mask` and `next_action_mask`: tuples with a bool array per action leaf, `(batch_size, sum(nvec))`,
            of width 0 for a box.

        Raises:
            ValueError: `batch_size` is larger than the capacity, or the memory is empty.
        """
        self.check(batch_size)
        if not self.size:
            raise ValueError("The memory is empty: append transitions before drawing from it")
        packed = self.packed_dataset(batch_size, steps or 1, seed, start)

        def unpack(blocks: Mapping[str, tf.Tensor]) -> dict[str, Any]:
            batch = portable(self.experience(blocks)[0])
            return batch if steps is not None else tf.nest.map_structure(lambda x: x[0], batch)

        return pipeline(packed, unpack)

    def check(self, batch_size: int) -> None:
        """Refuses a batch that the memory cannot hold.

        Raises:
            ValueError: `batch_size` is not an integer from 1 to the capacity.
        """
        if self.capacity is None:
            raise ValueError("`memory.capacity` must be given here. Received: None, which only an agent can infer")
        if check_count(batch_size, "batch_size") > self.capacity:
            raise ValueError(
                f"`batch_size` must be at most the memory's capacity, {self.capacity}. Received: {batch_size}"
            )

    def experience(self, blocks: Mapping[str, tf.Tensor]) -> tuple[dict[str, Any], None]:
        """Packed element to `(K, B, ...)` transitions, each row of axis 0 one minibatch. Pure; runs in the learner."""
        return self.nest(self.storage.unpack(blocks)), None

    def state(self) -> dict[str, Any]:
        more = {} if self.windows is None else self.windows.state()
        if self.early:
            more["unestimated"] = np.asarray([self.unestimated], np.int64)
        return {"counters": np.asarray([self.size, self.cursor], np.int64), **self.storage.state(self.size), **more}

    def marks(self) -> dict[str, Mark]:
        return {f"block.{name}": ring_mark(self._filling, self.total, self.capacity) for name in self.storage.blocks}

    def restore(self, state: Mapping[str, Any]) -> None:
        size, cursor = counters(state["counters"], ("size", "cursor"))
        if not 0 <= cursor <= size <= self.capacity:
            raise ValueError(f"Saved memory holds {size} transitions; this one holds {self.capacity}")
        self.clear()
        # Of a full, smaller memory: oldest first.
        self._restored_shift = cursor if size < self.capacity and cursor < size else 0
        shift, storage = self._restored_shift, self.storage
        if isinstance(storage, LinkedStorage):
            storage.restore(state, size, ring_ages(size, cursor), shift)
        elif isinstance(storage, FramedStorage):
            storage.restore(state, size, cursor, shift)
        else:
            read_rows(storage, state, size, ring_ages(size, cursor))
            storage.turn(size, shift)
        self.size = size
        self.cursor = cursor % self.capacity if size == self.capacity else size
        self.total = self.cursor + (size if size == self.capacity else 0)
        self.publish()
        if self.windows is not None:
            self.windows.restore(state)
        if self.early:
            (self.unestimated,) = counters(state["unestimated"], ("unestimated",))
            if not 0 <= self.unestimated <= size:
                raise ValueError(f"Saved memory has {size} transitions. Received: unestimated={self.unestimated}")

    def take(self, restored: Memory) -> None:
        super().take(restored)
        if self.windows is not None:
            self.windows.memory = self
