"""What one step of every environment is, as memories take it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

Leaves = Sequence[np.ndarray]
Masks = Sequence[np.ndarray | None]


class Transition(NamedTuple):
    """One timestep of each of N environments, or N consecutive timesteps of one environment.

    Leaves are those of the agent's `Structure` of the space, in its order and in stored form: boxes as their space has them
    (actions float32), discrete spaces as indices from 0.

    Attributes:
        observation: What was acted on, an array `(N, *leaf.shape)` for each leaf.
        action: The canonical action, an array `(N, *leaf.shape)` for each leaf.
        reward: Float `(N,)`.
        terminated, truncated: Bool `(N,)`: whether the episode ended with this timestep, and whether it was cut off.
        next_observation: Where the action led, an array `(N, *leaf.shape)` for each leaf; at the end of an episode its
            last observation, never the first one of the next episode.
        mask: The values that were allowed, bool `(N, sum(nvec))` for each discrete action leaf and None for a box. None:
            all.
        next_mask: The same in `next_observation`.
        valid: Bool `(N,)`: whether the environment made a timestep; its other rows mean nothing. None: all did.
        actor_state: What the actor knew of the episode when it chose the action, an array `(N, ...)` for each part of its
            state. None or `()`: it has none. Kept where `Memory.keep_state` was called.

    Example:

    >>> step = Transition([np.zeros((2, 3))], [np.array([0, 1])], np.ones(2), np.zeros(2), np.zeros(2), [np.ones((2, 3))])
    >>> step.take([1]).action
    [array([1])]
    """

    observation: Leaves
    action: Leaves
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    next_observation: Leaves
    mask: Masks | None = None
    next_mask: Masks | None = None
    valid: np.ndarray | None = None
    actor_state: Leaves | None = None

    def picked(self) -> np.ndarray | None:
        """Indices of the rows that are timesteps; None: all are."""
        return None if self.valid is None or self.valid.all() else np.flatnonzero(self.valid)

    def take(self, rows: Any) -> Transition:
        """These rows of every array: a slice, a list of indices or an array of them."""
        return self.map(lambda array: array[rows])

    def map(self, change: Callable[[np.ndarray], Any]) -> Transition:
        """The transition with every array changed."""
        return Transition(*(each_array(field, change) for field in self))


def each_array(field: Any, change: Callable[[np.ndarray], Any]) -> Any:
    """A field of a transition (an array, a sequence of arrays and None, or None) with every array changed."""
    if field is None or isinstance(field, np.ndarray):
        return None if field is None else change(field)
    return [None if array is None else change(array) for array in field]


def state_of(step: Transition, parts: int) -> Leaves:
    """The actor's state in a transition, for a memory that keeps so many parts of it.

    Raises:
        ValueError: It has another number of parts: the timestep was not acted by the agent's own actor.
    """
    found = () if step.actor_state is None else step.actor_state
    if len(found) != parts:
        raise ValueError(
            f"The memory keeps the actor's state of every timestep, {parts} part(s): recorded and hand-made timesteps "
            f"have none. Received: {len(found)} part(s)"
        )
    return found


def concatenate(transitions: Sequence[Transition]) -> Transition:
    """The rows of all transitions, in their order. A mask that only some of them have allows everything in the others."""
    return Transition(*(_concatenated(fields) for fields in zip(*transitions)))


def _concatenated(fields: Sequence[Any]) -> Any:
    given = [field for field in fields if field is not None]
    if not given:
        return None
    if isinstance(given[0], np.ndarray):
        return np.concatenate(given)
    filled = [
        [None if x is None else np.ones_like(x) for x in given[0]] if field is None else field for field in fields
    ]
    return [None if leaf[0] is None else np.concatenate(leaf) for leaf in zip(*filled)]
