"""Priorities of sequences by the timesteps that they begin with, in a ring of timesteps."""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any

import numpy as np

from kagent import schedules
from kagent.config.registry import plain
from kagent.memories.saved_arrays import saved_array
from kagent.memories.sum_tree import SumTree
from kagent.ops.priorities import importance_weights, sequence_priorities, shares
from kagent.schedules import Clock


@dataclasses.dataclass(frozen=True)
class SequencePriorities:
    """How sequences are drawn by their errors (Kapturowski et al. 2019, section 2.3).

    Args:
        alpha: How much priorities count, at least 0; 0 draws uniformly.
        beta: How far the bias is corrected by importance weights, 0 to 1. May be a schedule.
        epsilon: What is added to priorities, so that every sequence stays possible; more than 0.
        eta: Part of the largest error of a sequence in its priority, 0 to 1; the rest is of the mean error.

    Raises:
        ValueError: An argument outside its range.
    """

    alpha: float = 0.9
    beta: Any = 0.6
    epsilon: float = 1e-6
    eta: float = 0.9

    def __post_init__(self) -> None:
        for name, least, most in (("alpha", 0.0, math.inf), ("epsilon", 0.0, math.inf), ("eta", 0.0, 1.0)):
            value, above = getattr(self, name), name == "epsilon"
            number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not number or not (least < value if above else least <= value) or not value <= most or value == math.inf:
                allowed = "from 0 to 1" if most == 1.0 else f"{'>' if above else '>='} 0"
                raise ValueError(f"`memory.prioritized.{name}` must be a number {allowed}. Received: {value!r}")
            object.__setattr__(self, name, float(value))
        object.__setattr__(self, "beta", schedules.get(self.beta, "memory.prioritized.beta", 0.0, 1.0))

    @classmethod
    def of_argument(cls, given: Any) -> SequencePriorities | None:
        """Those of the argument `prioritized`: True, a dict of arguments, or False for None.

        Raises:
            TypeError: Something else, or an argument that there is not.
        """
        if given is False or given is None:
            return None
        names = [field.name for field in dataclasses.fields(cls)]
        arguments = {} if given is True else given
        if not isinstance(arguments, dict) or not set(arguments) <= set(names):
            raise TypeError(
                f"`memory.prioritized` must be True, False, or a dict with some of {', '.join(names)}. Received: {given!r}"
            )
        return cls(**arguments)

    def get_part(self) -> dict[str, Any]:
        """The arguments, JSON-ready."""
        return {"alpha": self.alpha, "beta": plain(self.beta), "epsilon": self.epsilon, "eta": self.eta}


class PrioritizedStarts:
    """Priorities of the rows of a ring that a whole sequence begins with.

    Args:
        priorities: How sequences are drawn.
        steps: Timesteps of each environment that the ring holds; row `t % steps * num_envs + env` is timestep t of one.
        num_envs: Environments.
        length: Timesteps of a sequence.
    """

    def __init__(self, priorities: SequencePriorities, steps: int, num_envs: int, length: int):
        self._priorities, self._steps, self._num_envs, self._length = priorities, steps, num_envs, length
        self._tree = SumTree(steps * num_envs)
        self._largest = 1.0  # priority so far
        self._known = np.zeros(num_envs, np.int64)  # timesteps of each environment, of which the starts are in the tree
        self._drawn = np.zeros((0, 0), np.int64)

    def settle(self, written: np.ndarray) -> None:
        """Takes in what was written since: new starts have the largest priority so far, overwritten ones none.

        Args:
            written: Timesteps of each environment so far, `(num_envs,)`.
        """
        fresh, none = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for env in np.flatnonzero(written != self._known):
            oldest, end = max(0, written[env] - self._steps), max(0, written[env] - self._length + 1)
            known = max(0, self._known[env] - self._length + 1)
            fresh.append(np.arange(max(known, oldest), end) % self._steps * self._num_envs + env)
            none.append(np.arange(max(end, oldest), written[env]) % self._steps * self._num_envs + env)
        self._tree.set(np.concatenate(none), 0.0)
        self._tree.set(np.concatenate(fresh), shares(np.asarray(self._largest), self._priorities.alpha))
        self._known = written.copy()

    def draw(
        self, count: int, passes: int, generator: np.random.Generator, clock: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """The first rows of `passes` minibatches of `count` sequences and their importance weights, int64 and float32 `(passes,
        count)`. After `settle`."""
        parts = (np.arange(count) + generator.random((passes, count))) / count
        rows = self._tree.find(parts * self._tree.total)
        self._drawn = rows
        beta = schedules.evaluate(self._priorities.beta, Clock() if clock is None else clock())
        starts = int(np.count_nonzero(self._tree.weights))
        return rows, importance_weights(self._tree.weights[rows] / self._tree.total, starts, beta)

    def prioritize(self, errors: np.ndarray, timesteps: int) -> None:
        """Takes the errors of the sequences that were drawn last.

        Args:
            errors: float32 `(passes * timesteps * count,)`, of each minibatch timestep by timestep.
            timesteps: Of a sequence that errors are known of.
        """
        passes, count = self._drawn.shape
        by_pass = errors.astype(np.float64).reshape(passes, timesteps, count)
        columns = by_pass.transpose(1, 0, 2).reshape(timesteps, passes * count)
        known = np.isfinite(columns).all(axis=0)  # where losses diverge, priorities stay
        found = sequence_priorities(columns[:, known], self._priorities.eta) + self._priorities.epsilon
        if found.size:
            self._largest = max(self._largest, float(found.max()))
            self._tree.set(self._drawn.ravel()[known], shares(found, self._priorities.alpha))

    def state(self, rows: int) -> dict[str, np.ndarray]:
        """What to continue from: powers of the priorities of so many rows, 0 where none begins, and the largest priority."""
        return {"priorities": self._tree.weights[:rows].copy(), "largest": np.asarray([self._largest])}

    def restore(self, state: Any, written: np.ndarray, rows: int) -> None:
        """The inverse of `state`.

        Raises:
            ValueError: Priorities that are not those of sequences that begin in these timesteps.
        """
        priorities = saved_array(state["priorities"], "priorities", np.float64, (rows,))
        (largest,) = saved_array(state["largest"], "largest", np.float64, (1,))
        self.settle(written)
        begins = self._tree.weights[:rows] > 0
        if not (np.isfinite(priorities).all() and ((priorities > 0) == begins).all() and 0 < largest < math.inf):
            raise ValueError(
                "Saved memory must have priorities > 0 where a sequence begins, and 0 elsewhere. "
                f"Received: {priorities}, the largest {largest}"
            )
        self._tree.set(np.flatnonzero(begins), shares(priorities[begins], 1.0))
        self._largest = float(largest)
