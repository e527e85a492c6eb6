"""Values of what follows transitions, estimated when these are stored: `estimate_horizon="early"`."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

_MOST = 1024  # rows whose next values are computed in one call


class EarlyEstimates:
    """Writes into an agent's memory what its new rows lead to, by the networks of now. Holds the compiled function."""

    def __init__(self) -> None:
        self._function: Any = None

    def forget(self) -> None:
        """Drops the function: what is constant in it has changed."""
        self._function = None

    def write(self, agent: Any) -> None:
        """Estimates the rows of the agent's memory that need it."""
        memory = agent.memory
        if not getattr(memory, "unestimated", 0):
            return
        if self._function is None:

            def values_of(blocks: dict[str, tf.Tensor], clock: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
                return _next_values(agent, blocks, clock, number)

            self._function = values_of if agent.run_eagerly else tf.function(values_of, autograph=False)
        clock = np.asarray(agent._clock.times(), np.float64)
        rows = memory.take_unestimated()
        for number, begin in enumerate(range(0, len(rows), _MOST)):
            part = rows[begin : begin + _MOST]
            # Few sizes, each of which is traced once: the next power of two.
            padded = np.resize(part, 1 << (len(part) - 1).bit_length())
            blocks = {name: tf.constant(array) for name, array in memory.storage.take(padded).items()}
            values = self._function(blocks, tf.constant(clock), tf.constant(number))
            memory.storage.views["next_value"][part] = values.numpy()[: len(part)]


def _next_values(agent: Any, blocks: dict[str, tf.Tensor], clock: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    agent._clock.enter(agent._clock.of_times(clock))
    try:
        batch, _ = agent.memory.experience(blocks)
        # Not the numbers that the gradient step after it draws.
        seed = tf.random.fold_in(agent.step_seed(), number + 1)
        return agent.objective.next_values(agent.learning_context, batch, seed)
    finally:
        agent._clock.leave()
