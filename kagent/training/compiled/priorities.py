"""Priorities of a replay memory whose rows are in a program."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from kagent.ops import priority_draws
from kagent.schedules import Clock
from kagent.training.compiled.schedules import evaluated
from kagent.training.compiled.variables import ProgramVariable


class Priorities(NamedTuple):
    """What the program carries of them.

    Attributes:
        shares: `priority**alpha` of every row, float64 `(S, S, S)`: of row r at place r of the flattened array. Behind the rows is a
            place at least that stays 0.
        largest: The largest priority so far, float64.
    """

    shares: tf.Tensor
    largest: tf.Tensor


class CompiledPriorities:
    """The priorities of a `Prioritized` memory while a `fit` runs: draws, weights and changes as that memory's, in tensors.

    Args:
        memory: Whose.
    """

    def __init__(self, memory: Any):
        self._memory = memory
        self._side = next(n for n in itertools.count(round(memory.capacity ** (1 / 3))) if n**3 > memory.capacity)
        self._variables: list[ProgramVariable] = []

    # On the host -----------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Takes the memory's."""
        memory = self._memory
        shares = np.zeros((self._side,) * 3)
        shares.ravel()[: memory.size] = memory.priorities
        values = [tf.constant(shares), tf.constant(memory.largest, tf.float64)]
        if not self._variables:
            self._variables = [ProgramVariable(value) for value in values]
        for variable, value in zip(self._variables, values):
            variable.assign(value)

    def state(self, size: int) -> dict[str, np.ndarray]:
        """What the memory's `state` has of priorities.

        Args:
            size: Rows with a transition.
        """
        shares, largest = (variable.numpy() for variable in self._variables)
        return {"priorities": shares.ravel()[:size], "largest": np.asarray([largest])}

    # In the program --------------------------------------------------------------------------------------------

    def begin(self) -> Priorities:
        """At the beginning of a call."""
        return Priorities(*(variable.read_value() for variable in self._variables))

    def finish(self, priorities: Priorities) -> None:
        """At the end of a call."""
        for variable, value in zip(self._variables, priorities):
            variable.assign(value)

    def append(self, priorities: Priorities, rows: tf.Tensor, valid: tf.Tensor) -> Priorities:
        """Gives new rows the largest priority so far.

        Args:
            priorities: Of all.
            rows: int64 `(n,)`, each once.
            valid: bool `(n,)`: which of them are written.
        """
        share = priority_draws.shares(priorities.largest, self._memory.alpha)
        places = tf.where(valid, rows, self._memory.capacity)
        return priorities._replace(shares=self._written(priorities.shares, places, tf.where(valid, share, 0.0)))

    def draw(
        self, priorities: Priorities, size: tf.Tensor, shape: tuple[int, int], seeds: tf.Tensor, clock: Clock
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows of K minibatches of B, of each one from each of B equal parts of the sum, and what they count.

        Args:
            priorities: Of all rows.
            size: Rows with a transition, int64.
            shape: `(K, B)`.
            seeds: int64 `(2,)`.
            clock: The time now.

        Returns:
            int64 `(K * B,)`, and float32 `(K, B)`.
        """
        within = tf.random.stateless_uniform(shape, seeds, dtype=tf.float64, alg="philox")
        parts = (tf.range(shape[1], dtype=tf.float64) + within) / shape[1]
        rows, total = priority_draws.find(priorities.shares, tf.reshape(parts, (-1,)))
        chances = tf.gather_nd(priorities.shares, self._places(rows)) / total
        beta = evaluated(self._memory.beta, clock)
        return rows, priority_draws.importance_weights(tf.reshape(chances, shape), size, beta)

    def learned(self, priorities: Priorities, rows: tf.Tensor, errors: tf.Tensor) -> Priorities:
        """Takes the absolute errors of drawn rows; where one is not finite, the priority stays.

        Args:
            priorities: Of all.
            rows: As drawn, `(K * B,)`. Of a row that was drawn twice the later error counts.
            errors: float32 `(K, B)`.
        """
        memory, errors = self._memory, tf.cast(tf.reshape(errors, (-1,)), tf.float64)
        known = tf.math.is_finite(errors)
        found = tf.abs(errors) + memory.epsilon
        largest = tf.maximum(priorities.largest, tf.reduce_max(tf.where(known, found, 0.0)))
        places = tf.where(known, rows, memory.capacity)
        shares = tf.where(known, priority_draws.shares(tf.where(known, found, 1.0), memory.alpha), 0.0)
        shares = tf.gather(shares, priority_draws.last_of_each(places))
        return Priorities(self._written(priorities.shares, places, shares), largest)

    def _written(self, shares: tf.Tensor, rows: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        return tf.tensor_scatter_nd_update(shares, self._places(rows), values)

    def _places(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.stack([rows // self._side**2, rows // self._side % self._side, rows % self._side], axis=1)
