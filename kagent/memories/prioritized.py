"""The prioritized replay memory: transitions drawn in proportion to how wrong they were."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from kagent import schedules
from kagent.config.registry import plain
from kagent.memories.host_iterator import HostBatches, generator_of
from kagent.memories.memory import MEMORIES
from kagent.memories.pipeline import pipeline
from kagent.memories.replay import Replay
from kagent.memories.saved_arrays import saved_array
from kagent.memories.sum_tree import SumTree
from kagent.ops.priorities import importance_weights, shares
from kagent.schedules import Clock, Linear


@MEMORIES.register("prioritized_replay")
class Prioritized(Replay):
    """A ring of the latest transitions, drawn in proportion to their priorities (Schaul et al. 2016, arXiv:1511.05952,
    algorithm 1, proportional variant).

    `P(i) = p_i**alpha / sum_j p_j**alpha`, with `p_i = |TD error| + epsilon` of when the transition was last learned from,
    or the largest so far where it never was. A minibatch takes one draw from each of `batch_size` equal parts of the
    sum. The bias is corrected by importance weights `w_i = (size * P(i))**-beta`, divided by the largest of the minibatch;
    losses are weighted means, so that only their ratios matter. Powers `p_i**alpha` are kept from 1e-120 to 1e120, so that no
    transition becomes impossible and every sum is finite, however large `alpha` or an error is.

    All minibatches of an update (`update.steps`, times `steps_per_execution`) are drawn before its first gradient step,
    and priorities change after its last.

    Args:
        capacity: Number of transitions kept. None: its agent infers it; see `required_capacity`.
        saved: Whether weights files carry its content, so that training resumes exactly.
        alpha: How much priorities count, at least 0; 0 draws uniformly.
        beta: How far the bias is corrected, 0 to 1. May be a schedule. None: from 0.4 to 1 over the run.
        epsilon: What is added to errors, so that every transition stays possible; more than 0.
        directory: As for `Replay`. Priorities are in memory.

    Raises:
        ValueError: An argument outside its range.
    """

    prioritized = True

    def __init__(
        self,
        capacity: int | None = None,
        saved: bool = True,
        alpha: float = 0.6,
        beta: Any = None,
        epsilon: float = 1e-6,
        directory: str | os.PathLike[str] | None = None,
    ):
        super().__init__(capacity, saved, directory)
        for name, value, above in (("alpha", alpha, False), ("epsilon", epsilon, True)):
            number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not number or not (0 < value < math.inf or (value == 0 and not above)):
                raise ValueError(f"`memory.{name}` must be a number {'>' if above else '>='} 0. Received: {value!r}")
        self.alpha, self.epsilon = float(alpha), float(epsilon)
        self.beta = schedules.get(Linear(0.4, 1.0) if beta is None else beta, "memory.beta", 0.0, 1.0)

    def get_part(self) -> dict[str, Any]:
        return {
            "type": "Prioritized", "capacity": self.capacity, "saved": self.saved, "alpha": self.alpha,
            "beta": plain(self.beta), "epsilon": self.epsilon,
        }  # fmt: skip

    def clear(self) -> None:
        super().clear()
        self.tree = SumTree(self.capacity)
        self.largest = 1.0  # priority so far
        self._fresh = 0  # of the newest rows, those that are not in the tree yet
        self._drawn = np.zeros(0, np.int64)

    @property
    def priorities(self) -> np.ndarray:
        """`p_i**alpha` of every row, float64 `(size,)`: see `ops.priorities.shares`."""
        self._settle()
        return self.tree.weights[: self.size]

    def _advance(self, count: int) -> Any:
        self._fresh = min(self._fresh + count, self.capacity)
        return super()._advance(count)

    def _settle(self) -> None:
        # At once, before they are needed: one row at a time would cost every environment step.
        if self._fresh:
            rows = np.arange(self.cursor - self._fresh, self.cursor) % self.capacity
            self.tree.set(rows, shares(np.asarray(self.largest), self.alpha))
            self._fresh = 0

    def draw(self, batch_size: int, steps: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Rows of `steps` minibatches and their importance weights, int64 and float32 `(steps, batch_size)`."""
        self._settle()
        parts = (np.arange(batch_size) + generator.random((steps, batch_size))) / batch_size
        rows = self.tree.find(parts * self.tree.total)
        beta = schedules.evaluate(self.beta, Clock() if self._clock is None else self._clock())
        return rows, importance_weights(self.tree.weights[rows] / self.tree.total, self.size, beta)

    def prioritize(self, errors: np.ndarray) -> None:
        rows = self._drawn
        known = np.isfinite(errors)  # where losses diverge, priorities stay
        priorities = np.abs(errors[known].astype(np.float64)) + self.epsilon
        if priorities.size:
            self.largest = max(self.largest, float(priorities.max()))
            self.tree.set(rows[known], shares(priorities, self.alpha))

    def _element(self, batch_size: int, steps: int, seed: int, number: int) -> dict[str, np.ndarray]:
        rows, weights = self.draw(batch_size, steps, generator_of(seed, number))
        self._drawn = rows.ravel()
        return {**self.storage.take(rows), "weight": weights}

    def _spec(self, batch_size: int, steps: int) -> dict[str, tf.TensorSpec]:
        return {**self.storage.specs((steps, batch_size)), "weight": tf.TensorSpec((steps, batch_size), tf.float32)}

    def elements(self, rule: Any, executions: int, seed: int, start: int) -> HostBatches:
        size, steps = rule.batch_size, rule.steps * executions
        return HostBatches(lambda number: self._element(size, steps, seed, number), start, self._spec(size, steps))

    def packed_dataset(self, batch_size: int, steps: int, seed: int, start: int = 0) -> tf.data.Dataset:
        def elements() -> Iterator[dict[str, np.ndarray]]:
            number = start
            while True:
                yield self._element(batch_size, steps, seed, number)
                number += 1

        spec = self._spec(batch_size, steps)
        return pipeline(tf.data.Dataset.from_generator(elements, output_signature=spec))

    def experience(self, blocks: Mapping[str, tf.Tensor]) -> tuple[dict[str, Any], None]:
        found, indices = super().experience(blocks)
        return ({**found, "weight": blocks["weight"]} if "weight" in blocks else found), indices

    def state(self) -> dict[str, Any]:
        return {**super().state(), "priorities": self.priorities.copy(), "largest": np.asarray([self.largest])}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        priorities = saved_array(state["priorities"], "priorities", np.float64, (self.size,))
        (largest,) = saved_array(state["largest"], "largest", np.float64, (1,))
        if not (np.isfinite(priorities).all() and (priorities > 0).all() and 0 < largest < math.inf):
            raise ValueError(f"Saved memory must have priorities > 0. Received: {priorities}, the largest {largest}")
        self.tree = SumTree(self.capacity)
        self.tree.set(np.arange(self.size), np.roll(shares(priorities, 1.0), -self._restored_shift))
        self.largest, self._fresh = float(largest), 0
