"""The memory of recurrent off-policy agents: sequences of consecutive timesteps, drawn from anywhere in a ring of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from kagent.config.checks import check_count
from kagent.memories.host_iterator import generator_of
from kagent.memories.memory import MEMORIES, Memory
from kagent.memories.recent import Recent
from kagent.memories.sequence_priorities import PrioritizedStarts, SequencePriorities
from kagent.memories.sequences import Drawn


@MEMORIES.register()
class ReplaySequences(Recent):
    """A ring of the latest timesteps of each environment, from which minibatches of sequences are drawn, with replacement (R2D2:
    Kapturowski et al. 2019, ICLR, "Recurrent Experience Replay in Distributed Reinforcement Learning").

    A sequence begins at any timestep, and sequences overlap. It is `burn_in` timesteps, from which a recurrent network finds its
    state without learning, and then `sequence_length` that it learns from. Its first state is the one that was acted from. Where
    an episode ends within it, the next one begins in its own first state. Images, and the frames of stacks, are stored once.

    With `prioritized`, a sequence is drawn in proportion to `p**alpha`, where p is `eta` times the largest absolute error of its
    timesteps and `1 - eta` times the mean one, of when the sequence that begins with this timestep was last learned from, or the
    largest p so far where none was. Importance weights correct the bias, as those of `Prioritized` do.

    Args:
        capacity: Timesteps kept, over all environments.
        sequence_length: Timesteps of a sequence that are learned from. The batch size of an update, in such timesteps, is a
            multiple of it.
        burn_in: Timesteps in front of them.
        saved: Whether weights files carry its content, so that training resumes exactly.
        prioritized: Whether sequences are drawn by their errors: True, or a dict with some of `alpha` (0.9), `beta` (0.6; may be a
            schedule), `eta` (0.9) and `epsilon` (1e-6). False: they are drawn uniformly.
        directory: Where the timesteps are in files, as of `Replay`; None: they are in memory.

    Raises:
        ValueError, TypeError: A capacity of less than one sequence, or an argument outside its range; at the agent's making, another
            batch size.

    Example:

    >>> agent = kagent.DQN("CartPole-v1", network={"rnn": 64}, batch_size=160, memory=kagent.memories.ReplaySequences(
    ...     20_000, sequence_length=20, burn_in=10))
    """

    substitutes = ("Replay",)
    missing = "a memory with a whole sequence"

    def __init__(
        self,
        capacity: int | None = 100_000,
        sequence_length: int = 40,
        burn_in: int = 20,
        saved: bool = True,
        prioritized: bool | dict[str, Any] = False,
        directory: str | os.PathLike[str] | None = None,
    ):
        super().__init__(capacity, saved, directory)
        self.priorities = SequencePriorities.of_argument(prioritized)
        self.prioritized = self.priorities is not None
        self._starting: PrioritizedStarts | None = None
        self._clock: Any = None
        self.sequence_length = check_count(sequence_length, "memory.sequence_length")
        self.burn_in = check_count(burn_in, "memory.burn_in", 0)
        if self.capacity is not None and self.capacity < self.length:
            raise ValueError(
                f"`memory.capacity` must be at least one sequence, burn_in + sequence_length = {self.length}. "
                f"Received: {self.capacity}"
            )

    @property
    def length(self) -> int:
        """Timesteps of a sequence, with its burn-in."""
        return int(self.burn_in + self.sequence_length)

    def get_part(self) -> dict[str, Any]:
        prioritized = False if self.priorities is None else self.priorities.get_part()
        own = {"sequence_length": self.sequence_length, "burn_in": self.burn_in, "prioritized": prioritized}
        return {**super().get_part(), **own}

    def configure(self, rule: Any, estimation: Any, clock: Any) -> None:
        Memory.configure(self, rule, estimation, clock)
        self._clock = clock
        self.check(rule.batch_size)
        if rule.steps is None:
            raise ValueError(f"A replay memory needs update.steps. Received: {rule}")
        if rule.batch_size % self.sequence_length:
            raise ValueError(
                "`batch_size` must be a multiple of the timesteps of a sequence that are learned from. "
                f"Received: batch_size={rule.batch_size} and sequence_length={self.sequence_length}"
            )

    def reserve(self, executions: int) -> None:
        """Each update draws anew, however many there are in a call."""

    def _rows(self) -> int:
        rows = super()._rows()
        if self.steps < self.length:
            raise ValueError(
                f"`memory.capacity` must be at least one sequence of {self.length} timesteps for each of {self.num_envs} "
                f"environment(s). Received: {self.capacity}"
            )
        return rows

    def clear(self) -> None:
        super().clear()
        if self.priorities is not None:
            self._starting = PrioritizedStarts(self.priorities, self.steps, self.num_envs, self.length)

    @property
    def has_any(self) -> bool:
        return self.built and bool(self._starts().any())

    def is_ready(self, rule: Any) -> bool:
        return super().is_ready(rule) and self.has_any

    def _starts(self) -> np.ndarray:
        """Timesteps of each environment that a sequence may begin with, int64 `(num_envs,)`."""
        found: np.ndarray = np.maximum(np.minimum(self.written, self.steps) - self.length + 1, 0)
        return found

    def _passes(self, rule: Any, executions: int) -> int:
        return int(rule.steps) * executions

    def _shape(self, batch_size: int, passes: int) -> tuple[tuple[int, int], tuple[int, int]]:
        together = batch_size // self.sequence_length
        return (self.length, together * passes), (passes, self.length * together)

    def _draw_rows(self, batch_size: int, passes: int, seed: int, number: int) -> Drawn:
        (steps, count), (_, places) = self._shape(batch_size, passes)
        generator, weights = generator_of(seed, number), None
        if self._starting is None:
            starts = self._starts()
            ends = np.cumsum(starts)
            chosen = generator.integers(ends[-1], size=count)
            env = np.searchsorted(ends, chosen, side="right")
            oldest = self.written - np.minimum(self.written, self.steps)
            first = oldest[env] + chosen - (ends - starts)[env]
        else:
            self._starting.settle(self.written)
            drawn, weights = self._starting.draw(count // passes, passes, generator, self._clock)
            first, env = np.divmod(drawn.ravel(), self.num_envs)
        rows = (first + np.arange(steps)[:, None]) % self.steps * self.num_envs + env
        indices = np.arange(steps * count, dtype=np.int32).reshape(steps, passes, -1).transpose(1, 0, 2)
        return Drawn(rows, indices.reshape(passes, places), None if weights is None else weights.ravel())

    def prioritize(self, errors: np.ndarray) -> None:
        if self._starting is not None:
            self._starting.prioritize(errors, self.sequence_length)

    def state(self) -> dict[str, Any]:
        found = super().state()
        if self._starting is None:
            return found
        self._starting.settle(self.written)
        return {**found, **self._starting.state(self._filled_rows())}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        if self._starting is not None:
            self._starting.restore(state, self.written, self._filled_rows())

    def _filled_rows(self) -> int:
        return int(min(self.written.max(), self.steps)) * self.num_envs
