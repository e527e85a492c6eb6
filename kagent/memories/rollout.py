"""The rollout memory: the latest steps of every environment, in order, used once and forgotten."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from kagent import ops
from kagent.config.checks import check_count
from kagent.memories import linked_storage
from kagent.memories.columns import portable
from kagent.memories.linked_storage import LinkedStorage, pays
from kagent.memories.memory import MEMORIES, Memory
from kagent.memories.pipeline import pipeline
from kagent.memories.saved_arrays import counters, read_block
from kagent.memories.storage import Column, Storage
from kagent.memories.transition import Transition

_KNOWN = "log_prob_known"
_LONGEST = 32  # sequences, where nobody says how long


@MEMORIES.register()
class Rollout(Memory):
    """Consecutive steps of all environments, for on-policy learning.

    Args:
        steps: Steps of each environment in one rollout. None: its agent infers them, so that a rollout of its `n_envs`
            environments is one batch.
        saved: Whether weights files carry its content (an unfinished rollout).
        sequence_length: Of recurrent networks and V-trace, timesteps in a sequence, through all of which gradients flow, or
            V-trace looks ahead: a divisor of `steps` and of the batch size, which is a number of such sequences. None: the
            largest one up to 32. Others take none.

    Example:

    >>> import gymnasium
    >>> memory = Rollout(steps=2)
    >>> memory.build(gymnasium.spaces.Box(-1, 1, (3,)), gymnasium.spaces.Discrete(2), num_envs=1)
    >>> for _ in range(2):
    ...     memory.append_leaves([np.zeros((1, 3))], [np.zeros(1)], np.ones(1), np.zeros(1), np.zeros(1),
    ...                          [np.ones((1, 3))])
    >>> element = next(iter(memory.dataset(batch_size=2, epochs=3)))
    >>> element["experience"]["observation"].shape, element["indices"].shape
    (TensorShape([2, 1, 3]), TensorShape([3, 2]))
    """

    _extra_flags: tuple[str, ...] = ("valid",)
    on_policy = True
    consecutive = True
    missing = "a full rollout"

    def __init__(self, steps: int | None = None, saved: bool = True, sequence_length: int | None = None):
        super().__init__(saved)
        self.steps: Any = None if steps is None else check_count(steps, "memory.steps")
        self.sequence_length = None if sequence_length is None else check_count(sequence_length, "sequence_length")
        self.rollouts = 1
        self._by_sequence, self._batch_size = False, 1

    def get_part(self) -> dict[str, Any]:
        own = {} if self.sequence_length is None else {"sequence_length": self.sequence_length}
        return {"type": "Rollout", "steps": self.steps, "saved": self.saved, **own}

    def configure(self, rule: Any, estimation: Any, clock: Any) -> None:
        super().configure(rule, estimation, clock)
        if rule.steps not in (None, 1) or rule.frequency is not None or rule.start:
            raise ValueError(
                "A rollout memory is learned from when it is full, all of it in update.epochs passes: it needs no "
                f"update.steps, update.frequency or update.start. Received: {rule}"
            )
        self._batch_size = rule.batch_size
        if self._by_sequence:
            self._check_sequences()

    def keep_sequences(self) -> None:
        """Makes minibatches of sequences, see `kagent.memories.compatibility.keep_sequences`."""
        if self.sequence_length is None:
            common = math.gcd(self.steps, self._batch_size)
            self.sequence_length = next(n for n in range(min(common, _LONGEST), 0, -1) if common % n == 0)
        self._check_sequences()
        self._by_sequence = True

    def keep_log_prob(self) -> None:
        """Keeps from now on how likely each action was when it was taken: `log_prob` of experience, which means something where
        `log_prob_known` is true. Before `build`."""
        self._extra_flags = ("valid", _KNOWN)

    @property
    def keeps_log_prob(self) -> bool:
        """Whether `keep_log_prob` was called."""
        return _KNOWN in self._extra_flags

    def _columns(self) -> list[Column]:
        own = [Column("log_prob", (), np.dtype(np.float32))] if self.keeps_log_prob else []
        return [*super()._columns(), *own]

    def _make_storage(self) -> Storage:
        columns = self._columns()
        if pays(columns, linked_storage.LARGE):
            return LinkedStorage(columns, self._rows(), window=self.num_envs, groups=self.num_envs)
        return super()._make_storage()

    def _check_sequences(self) -> None:
        length: Any = self.sequence_length
        for name, value in (("n_steps", self.steps), ("batch_size", self._batch_size)):
            if value % length:
                raise ValueError(
                    f"`{name}` must be a multiple of the length of the sequences that are learned from. "
                    f"Received: {name}={value} and sequence_length={length}"
                )

    def fits(self, num_envs: int) -> bool:
        return num_envs == self.num_envs

    @property
    def has_any(self) -> bool:
        return self.is_full

    def elements(self, rule: Any, executions: int, seed: int, start: int) -> Any:
        return iter(self.packed_dataset(rule.batch_size, rule.epochs or 1, seed, start))

    def reserve(self, rollouts: int) -> None:
        """Makes room for so many rollouts, all used in one compiled call (`steps_per_execution`)."""
        if rollouts == self.rollouts:
            return
        self.rollouts = rollouts
        if self.built:
            self.build(self.observation, self.action, masked=self.masked, num_envs=self.num_envs)

    def _rows(self) -> int:
        if self.steps is None:
            raise ValueError("`memory.steps` must be given here. Received: None, which only an agent can infer")
        rows: int = self.steps * self.rollouts * self.num_envs
        return rows

    def clear(self) -> None:
        self.storage.clear()
        self.size = 0

    def filled(self) -> bool:
        return bool(self.size == self.steps * self.rollouts)

    def cut_episodes(self, environments: Any) -> None:
        """Marks the newest step of these environments as truncated: what is appended next does not follow it."""
        newest = (self.size - 1) * self.num_envs
        for index in environments if self.size else ():
            if not self._writer.terminated[newest + index]:
                self._writer.truncated[newest + index] = 1

    def __len__(self) -> int:
        return self.size * self.num_envs

    def append_step(self, step: Transition) -> None:
        """One timestep of every environment.

        Raises:
            ValueError: The memory is full: it must be learned from and cleared first.
        """
        if self.is_full:
            raise ValueError(f"The rollout is full: {self.size} steps. Learn from it and `clear` it first")
        rows = slice(self.size * self.num_envs, (self.size + 1) * self.num_envs)
        self._write(rows, step)
        views = self.storage.views
        views["valid"][rows] = 1 if step.valid is None else step.valid
        if self.keeps_log_prob:
            views["log_prob"][rows], views[_KNOWN][rows] = 0.0, False
        self.size += 1

    def note_log_prob(self, log_prob: np.ndarray) -> None:
        """Notes how likely the actions of the newest timestep were.

        Args:
            log_prob: Log-probabilities by the policy that acted, float32 `(num_envs,)`. The memory must keep them.
        """
        rows = slice((self.size - 1) * self.num_envs, self.size * self.num_envs)
        self.storage.views["log_prob"][rows], self.storage.views[_KNOWN][rows] = log_prob, True

    def pad(self) -> None:
        """Fills it up with copies of the newest step that do not count."""
        filled, rows = self.size * self.num_envs, self._rows()
        newest = np.arange(filled, rows) % self.num_envs + filled - self.num_envs
        self.storage.repeat(newest, filled)
        self.storage.views["valid"][filled:] = 0
        self.size = self.steps * self.rollouts

    def minibatches(self, batch_size: int) -> int:
        """Minibatches in one pass over one rollout; the last is filled up with rows of weight 0."""
        rows: int = self.steps * self.num_envs
        return -(-rows // batch_size)  # of sequences, the same: both are so many times their length

    def packed_dataset(self, batch_size: int, epochs: int, seed: int, start: int = 0) -> tf.data.Dataset:
        """Elements of all rollouts in packed form with the indices of every minibatch; see `dataset`."""
        storage = self.storage
        rows, count, envs = self.steps * self.num_envs, self.rollouts, self.num_envs

        def draw(number: tf.Tensor) -> dict[str, tf.Tensor]:
            seeds = tf.stack([tf.constant(seed, tf.int64), number])
            uniform = functools.partial(tf.random.stateless_uniform, seed=seeds)
            indices = self.draw_indices(uniform, batch_size, epochs, envs, count)
            # A copy: the element stays as it was when the next rollout overwrites the memory.
            return {"indices": indices, **storage.gather(tf.range(rows * count), (rows * count,))}

        return pipeline(tf.data.Dataset.counter(start), draw)

    def draw_indices(
        self, uniform: Callable[[Any], tf.Tensor], batch_size: int, epochs: int, envs: int, count: int = 1
    ) -> tf.Tensor:
        """The places of every minibatch in `count` rollouts of `envs` environments side by side, as `experience` returns them.

        Args:
            uniform: Draws numbers from 0 to 1 of a shape, by whose order timesteps are shuffled.
            batch_size: Transitions per minibatch.
            epochs: Passes, each in its own random order.
            envs, count: As said.
        """
        length = self.sequence_length if self._by_sequence and self.sequence_length else 1
        sequences, together = self.steps * envs // length, batch_size // length
        padding = -(-sequences // together) * together - sequences
        order = ops.order_of(uniform((count, epochs, sequences)))
        # Sequence r of rollout c begins with step r // envs * length of environment r % envs; rollouts lie side by side on
        # the env axis.
        step, env = order // envs * length, order % envs
        places = step * (envs * count) + tf.range(count)[:, None, None] * envs + env
        if padding:
            places = tf.pad(places, [[0, 0], [0, 0], [0, padding]], constant_values=-1)
        indices = tf.reshape(places, (-1, together))
        if self._by_sequence:
            further = tf.range(length)[:, None] * (envs * count)
            indices = tf.where(indices[:, None] < 0, -1, indices[:, None] + further)  # (K, L, B)
        return indices

    def experience(self, blocks: Mapping[str, tf.Tensor]) -> tuple[dict[str, Any], tf.Tensor]:
        """Packed element to time-major transitions `(T, N * rollouts, ...)` and minibatch indices `(K, B)`. Pure."""
        packed = {}
        for name, spec in self.storage.specs((1,)).items():
            block, row = blocks[name], spec.shape[1:]
            # (rollouts, T, N, ...) -> (T, rollouts * N, ...): rollouts never follow one another in time.
            block = tf.reshape(block, (self.rollouts, self.steps, self.num_envs, *row))
            if self.rollouts > 1:
                block = tf.transpose(block, (1, 0, 2, *range(3, 3 + len(row))))
            packed[name] = tf.reshape(block, (self.steps, self.rollouts * self.num_envs, *row))
        return self.nest(self.storage.unpack(packed)), blocks["indices"]

    def dataset(self, batch_size: int, epochs: int = 1, seed: int = 0, start: int = 0) -> tf.data.Dataset:
        """An endless dataset whose every element is the whole rollout, as it is at that moment.

        Args:
            batch_size: Transitions per minibatch.
            epochs: Passes over the rollout, each in its own random order.
            seed, start: As for `Replay.dataset`.

        Returns:
            Dicts of `experience` (transitions, time-major `(steps, envs, ...)`, with `valid`; masks as in
            `Replay.dataset`) and `indices`
            `(epochs * minibatches, batch_size)`: rows of the flattened experience; -1 fills up. Of sequences
            `(epochs * minibatches, sequence_length, batch_size // sequence_length)`.

        Raises:
            ValueError: `batch_size` is larger than a rollout, or the rollout is not complete.
        """
        self.check(batch_size)
        if not self.is_full:
            raise ValueError(f"The rollout is not complete. Received: {self.size} of {self.steps} steps")

        def unpack(blocks: Mapping[str, tf.Tensor]) -> dict[str, Any]:
            experience, indices = self.experience(blocks)
            return {"experience": portable(experience), "indices": indices}

        return pipeline(self.packed_dataset(batch_size, epochs, seed, start), unpack)

    def check(self, batch_size: int) -> None:
        """Refuses a batch that the memory cannot hold.

        Raises:
            ValueError: `batch_size` is not an integer from 1 to the rollout's size.
        """
        if check_count(batch_size, "batch_size") > self.steps * self.num_envs:
            raise ValueError(
                f"`batch_size` must be at most the memory's capacity, {self.steps} steps of {self.num_envs} "
                f"environment(s) = {self.steps * self.num_envs}. Received: {batch_size}"
            )

    def state(self) -> dict[str, Any]:
        rows = self.size * self.num_envs
        about = np.asarray([self.size, self.num_envs, self.rollouts], np.int64)
        return {"counters": about, **self.storage.state(rows)}

    def restore(self, state: Mapping[str, Any]) -> None:
        size, num_envs, rollouts = counters(state["counters"], ("size", "num_envs", "rollouts"))
        if (num_envs, rollouts) != (self.num_envs, self.rollouts) or not 0 <= size <= self.steps * rollouts:
            raise ValueError(
                f"Saved rollout has {size} steps of {num_envs} environment(s), {rollouts} rollout(s); this memory "
                f"holds {self.steps} steps of {self.num_envs}, {self.rollouts} rollout(s)"
            )
        self.clear()
        rows, storage = size * num_envs, self.storage
        if isinstance(storage, LinkedStorage):
            storage.restore(state, rows, np.arange(rows))
        else:
            for name in storage.blocks:
                read_block(storage.blocks[name], name, state[f"block.{name}"], rows)
        self.size = size
