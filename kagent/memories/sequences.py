"""What memories share that hand out consecutive timesteps, and keep them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from kagent.config.checks import check_count
from kagent.files.atomic_files import local_directory
from kagent.memories.columns import portable
from kagent.memories.host_iterator import HostBatches
from kagent.memories.identifiers import whole
from kagent.memories.memory import Memory
from kagent.memories.pipeline import pipeline

_IMPORTANCE = "importance"


class Drawn(NamedTuple):
    """Which rows an element is made of.

    Attributes:
        rows: int64 `(T, N)`: column by column consecutive timesteps; -1 is padding.
        indices: int32 `(K, B)`: of each minibatch the places in the flattened `rows`.
        weights: float32 `(N,)`, importance weights of the columns; None: all are 1.
    """

    rows: np.ndarray
    indices: np.ndarray
    weights: np.ndarray | None = None


class Sequences(Memory):
    """Base of `Recent`, `RecentEpisodes` and `ReplayEpisodes`.

    Args:
        capacity: Timesteps kept, over all environments. None: its agent infers it; see `required_capacity`.
        saved: Whether weights files carry its content, so that training resumes exactly.
        directory: As of `Replay`.
    """

    substitutes: tuple[str, ...] = ("Rollout", "Replay")
    consecutive = True
    _by_sequence = False

    def __init__(
        self, capacity: int | None = None, saved: bool = True, directory: str | os.PathLike[str] | None = None
    ):
        super().__init__(saved)
        self.directory = None if directory is None else local_directory(directory, "memory.directory")
        self.capacity = None if capacity is None else check_count(whole(capacity), "memory.capacity")

    def get_part(self) -> dict[str, Any]:
        return {"type": type(self).__name__, "capacity": self.capacity, "saved": self.saved}

    def check(self, batch_size: int) -> None:
        if check_count(batch_size, "batch_size") > self.known_capacity:
            raise ValueError(
                f"`batch_size` must be at most the memory's capacity, {self.capacity}. Received: {batch_size}"
            )

    @property
    def known_capacity(self) -> int:
        """The capacity, once it is known."""
        if self.capacity is None:
            raise ValueError("`memory.capacity` must be given here. Received: None, which only an agent can infer")
        return self.capacity

    def keep_sequences(self) -> None:
        """Makes minibatches of whole columns, see `kagent.memories.compatibility.keep_sequences`."""
        self._by_sequence = True

    def _draw_rows(self, batch_size: int, passes: int, seed: int, number: int) -> Drawn:
        """What element `number` is made of."""
        raise NotImplementedError

    def _packed(self, drawn: Drawn) -> dict[str, np.ndarray]:
        valid = drawn.rows >= 0
        # Padding repeats a true timestep: its entries are finite and its masks allow something.
        rows = np.where(valid, drawn.rows, drawn.rows.max()).ravel()
        weights = {} if drawn.weights is None else {_IMPORTANCE: drawn.weights}
        return {**self.storage.take(rows), "valid": valid, "indices": drawn.indices, **weights}

    def _spec(self, rows: tuple[int, int], indices: tuple[int, int]) -> dict[str, tf.TensorSpec]:
        return {
            **self.storage.specs((rows[0] * rows[1],)),
            "valid": tf.TensorSpec(rows, tf.bool),
            "indices": tf.TensorSpec(indices, tf.int32),
            **self._weight_spec(rows[1]),
        }

    def _weight_spec(self, columns: int) -> dict[str, tf.TensorSpec]:
        return {_IMPORTANCE: tf.TensorSpec((columns,), tf.float32)} if self.prioritized else {}

    def _shape(self, batch_size: int, passes: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Shapes of an element's `rows` and `indices`, as they are now."""
        raise NotImplementedError

    def _passes(self, rule: Any, executions: int) -> int:
        return rule.epochs or 1

    def elements(self, rule: Any, executions: int, seed: int, start: int) -> HostBatches:
        batch_size, passes = rule.batch_size, self._passes(rule, executions)

        def draw(number: int) -> dict[str, np.ndarray]:
            return self._packed(self._draw_rows(batch_size, passes, seed, number))

        return HostBatches(draw, start, self._spec(*self._shape(batch_size, passes)))

    def experience(self, blocks: Mapping[str, tf.Tensor]) -> tuple[dict[str, Any], tf.Tensor]:
        """Packed element to time-major transitions `(T, N, ...)` and minibatch indices `(K, B)`. Pure."""
        steps, columns = blocks["valid"].shape
        packed = {
            name: tf.reshape(blocks[name], spec.shape) for name, spec in self.storage.specs((steps, columns)).items()
        }
        indices = blocks["indices"]
        if self._by_sequence:  # minibatches are time-major already
            indices = tf.reshape(indices, (indices.shape[0], steps, -1))
        return self._nested(packed, blocks), indices

    def _nested(self, packed: Mapping[str, tf.Tensor], blocks: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        found = {**self.nest(self.storage.unpack(packed)), "valid": blocks["valid"]}
        if _IMPORTANCE in blocks:
            found["weight"] = tf.cast(blocks["valid"], tf.float32) * blocks[_IMPORTANCE]
        return found

    def dataset(self, batch_size: int, seed: int = 0, start: int = 0) -> tf.data.Dataset:
        """An endless dataset of what an update learns from, read from the memory as it is at each element.

        Args:
            batch_size: As in the update rule, in the memory's unit.
            seed: Equal seeds draw equally from equal memories.
            start: Number of the first element, to continue an earlier dataset.

        Returns:
            Dicts of transitions as `Replay.dataset` has them, time-major `(T, N, ...)`, with `valid`: false for padding; where they
            are drawn by priorities, with the importance `weight`.

        Raises:
            ValueError: `batch_size` is larger than the capacity, or there is nothing to learn from.
        """
        self.check(batch_size)
        if not self.has_any:
            raise ValueError(f"There must be {self.missing} before anything is drawn")

        def elements() -> Iterator[dict[str, np.ndarray]]:
            number = start
            while True:
                packed = self._packed(self._draw_rows(batch_size, 1, seed, number))
                yield {name: array for name, array in packed.items() if name != "indices"}
                number += 1

        columns = self._shape(batch_size, 1)[0][1]
        rows = self.storage.specs((1,))
        signature = {name: tf.TensorSpec((None, *spec.shape[1:]), spec.dtype) for name, spec in rows.items()}
        signature["valid"] = tf.TensorSpec((None, columns), tf.bool)
        signature |= self._weight_spec(columns)

        def unpack(blocks: Mapping[str, tf.Tensor]) -> dict[str, Any]:
            shape = tf.shape(blocks["valid"])
            packed = {
                name: tf.ensure_shape(
                    tf.reshape(blocks[name], (shape[0], shape[1], *spec.shape[1:])), (None, columns, *spec.shape[1:])
                )
                for name, spec in rows.items()
            }
            return portable(self._nested(packed, blocks))

        return pipeline(tf.data.Dataset.from_generator(elements, output_signature=signature), unpack)


class RecentSequences(Sequences):
    """Base of those that hand out the newest there is, which stays until it is overwritten."""

    def configure(self, rule: Any, estimation: Any, clock: Any) -> None:
        super().configure(rule, estimation, clock)
        self.check(rule.batch_size)
        if rule.steps not in (None, 1):
            raise ValueError(
                f"`memory` {type(self).__name__} gives whole batches, and needs update.epochs, or update.steps=1. "
                f"Received: update.steps={rule.steps}"
            )

    def reserve(self, executions: int) -> None:
        if executions != 1:
            raise ValueError(
                f"`steps_per_execution` must be 1 with a {type(self).__name__} memory, each update of which learns from "
                f"what is newest then. Received: {executions}"
            )
