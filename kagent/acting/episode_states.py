"""The states of an actor in the episodes that it is acting in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

State = tuple[np.ndarray, ...]


class EpisodeStates:
    """An actor, and its states in N open episodes, which begin and end on their own.

    It takes the actor's place as the argument of an exploration: `decide` acts from the states, and all other attributes
    are the actor's.

    Args:
        actor: An actor with a state: `initial_state(N)` is not empty.
        count: N.

    Attributes:
        state: What is acted from, arrays `(N, ...)`. They are never changed in place.
    """

    def __init__(self, actor: Any, count: int):
        self.actor = actor
        self._initial: State = tuple(actor.initial_state(count))
        self.state = self._initial
        self._following: State | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.actor, name)

    def decide(
        self,
        leaves: list[np.ndarray],
        masks: Any = None,
        deterministic: bool = False,
        rng: np.random.Generator | None = None,
    ) -> list[np.ndarray]:
        """As `Actor.decide`. The states that follow are kept for `advance`."""
        actions: list[np.ndarray]
        actions, self._following = self.actor.decide_from(leaves, self.state, masks, deterministic, rng)
        return actions

    def see(self, leaves: list[np.ndarray], masks: Any = None) -> None:
        """Takes in observations of which nothing was decided: an exploration may have chosen actions without the actor."""
        if self._following is None:
            self.decide(leaves, masks, True)

    def advance(self, ended: Sequence[int] | np.ndarray = ()) -> None:
        """Goes on to the next timestep: to the states after the observation that was decided on or seen.

        Args:
            ended: Rows whose next observation is an episode's first.
        """
        if self._following is not None:
            self.state, self._following = self._following, None
        if len(ended):
            self.reset(ended)

    def forget(self) -> None:
        """Drops the states that would follow: the step was not taken."""
        self._following = None

    def fork(self) -> EpisodeStates:
        """The same states for acts aside, which leave these as they are."""
        other = object.__new__(EpisodeStates)
        vars(other).update(vars(self))
        return other

    def reset(self, rows: Any = slice(None)) -> None:
        """Puts rows back to the initial state."""
        fresh = []
        for part, first in zip(self.state, self._initial):
            part = part.copy()
            part[rows] = first[rows]
            fresh.append(part)
        self.state = tuple(fresh)

    def restore(self, state: Any) -> bool:
        """Takes a `state` from a file, if it is one of this actor's. Returns whether it is."""
        parts = [np.asarray(part) for part in state] if isinstance(state, list | tuple) else []
        if [(p.shape, p.dtype) for p in parts] != [(p.shape, p.dtype) for p in self._initial]:
            return False
        self.state, self._following = tuple(parts), None
        return True


def states_of(actor: Any, count: int) -> EpisodeStates | None:
    """The actor with its states in N episodes; None where it has none."""
    return EpisodeStates(actor, count) if len(actor.initial_state(count)) else None


def from_zeros(
    forward: Callable[[list[np.ndarray]], list[np.ndarray]], shapes: Sequence[tuple[int, ...]]
) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
    """The heads of a recurrent network for the first observations of episodes.

    Args:
        forward: From an observation's leaves and the parts of the state to heads and the parts that follow.
        shapes: Of each part.
    """

    def first(leaves: list[np.ndarray]) -> list[np.ndarray]:
        zeros = [np.zeros((len(leaves[0]), *shape), np.float32) for shape in shapes]
        return forward([*leaves, *zeros])[: -len(shapes)]

    return first
