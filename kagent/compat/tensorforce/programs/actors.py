"""One environment in which several act at once, as an environment for each of them."""

from __future__ import annotations

from typing import Any

from kagent.compat.tensorforce.programs import episodes


class Actors:
    """Several actors of one environment: those of a multi-actor environment, or the episodes of a vectorizable one.

    They begin together, and the environment executes once all whose episode is open have acted.

    Args:
        environment: What `Environment.create` returned.
        count: How many there are.

    Attributes:
        views: What each of them sees, with the methods of an environment that a Runner calls.
    """

    def __init__(self, environment: Any, count: int):
        self.environment, self.views = environment, [_Actor(self, index) for index in range(count)]
        self.is_vectorized = environment.num_actors() == 1
        self._open: list[int] = []
        self._chosen: dict[int, Any] = {}
        self._outcomes: dict[int, Any] = {}

    def begin(self, count: int) -> list[int]:
        """Begins episodes of the first `count` actors, or of all where they cannot be fewer. Returns the indices of those."""
        self.environment.start_reset(*([count] if self.is_vectorized else []))
        self._chosen, self._outcomes = {}, {}
        self._open = list(range(count if self.is_vectorized else len(self.views)))
        return self._open

    def choose(self, index: int, actions: Any) -> None:
        """Takes the actions of one actor."""
        self._chosen[index] = actions
        if len(self._chosen) == len(self._open):
            self.environment.start_execute(episodes.stacked([self._chosen[each] for each in self._open]))
            self._chosen = {}

    def is_ready(self, index: int) -> bool:
        """Whether there is an outcome for an actor."""
        return index in self._outcomes or (not self._chosen and self.environment.is_ready())

    def outcome(self, index: int) -> Any:
        """What came of an actor's actions, as `Environment.receive_execute` says it; states are None where there are none."""
        if not self._outcomes:
            self._receive()
        return self._outcomes.pop(index)

    def _receive(self) -> None:
        acted = self._open
        parallel, states, terminal, reward = self.environment.receive_execute()
        if reward is None:  # they have begun
            self._open = [int(index) for index in parallel]
            self._outcomes = {index: (episodes.taken(states, i), -1, None) for i, index in enumerate(self._open)}
            return
        seen = {int(index): episodes.taken(states, i) for i, index in enumerate(parallel)}
        ends = [int(end) for end in terminal]
        self._outcomes = {index: (seen.get(index), ends[i], float(reward[i])) for i, index in enumerate(acted)}
        self._open = [index for i, index in enumerate(acted) if ends[i] == 0]


class _Actor:
    """One of several actors, as an environment."""

    def __init__(self, actors: Actors, index: int):
        self._actors, self._index = actors, index

    def start_execute(self, actions: Any) -> None:
        self._actors.choose(self._index, actions)

    def is_ready(self) -> bool:
        return self._actors.is_ready(self._index)

    def receive_execute(self) -> Any:
        return self._actors.outcome(self._index)

    def episode_return(self) -> float | None:
        found: float | None = self._actors.environment.episode_return(self._index)
        return found
