"""What the objects of an agent need of each other, method by method. An own class that has these methods takes their place.

Nothing is imported here but for types, so that every process can read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from kagent.environments.stream import NextSeed
    from kagent.schedules import Clock
    from kagent.training.collector import Episode, Timestep


@runtime_checkable
class Actor(Protocol):
    """Chooses actions for observations in stored form; `kagent.acting.Actor` is one. `Collector` walks environments with it."""

    def initial_state(self, count: int) -> Any:
        """The state in which `count` episodes begin, arrays `(count, ...)`; `()` of an actor without a state."""

    def decide(
        self, leaves: list[np.ndarray], masks: Any, deterministic: bool, rng: np.random.Generator
    ) -> list[np.ndarray]:
        """Canonical actions, an array `(N, *leaf.shape)` for each leaf."""

    def random(self, count: int, rng: np.random.Generator, masks: Any) -> list[np.ndarray]:
        """Canonical actions that are uniform over what is allowed."""

    def to_env(self, canonical: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Actions as the environments take them."""


@runtime_checkable
class TransitionSource(Protocol):
    """Gives timesteps and ends of episodes; `kagent.training.collector.Collector` is one."""

    def start(self, next_seed: NextSeed, state: dict[str, Any] | None = None) -> list[int]:
        """Begins new episodes, or goes on with those of `state`. Returns the environments whose episode could not go on."""

    def step(self, clock: Clock, rng: np.random.Generator) -> Timestep:
        """One timestep of every environment."""

    def settle(self) -> Sequence[tuple[int, Episode]]:
        """Counts the timestep when it is stored. Returns the episodes that it ended, by environment."""

    def state(self) -> dict[str, Any] | None:
        """The open episodes, for `start`; None where environments cannot be replayed."""


@runtime_checkable
class LearningTask(Protocol):
    """What a learner learns: where its elements come from, and the gradient step; `update_cycle.UpdateTask` is training's."""

    @property
    def memory(self) -> Any:
        """The memory that unpacks elements, by `experience`."""

    def fresh_iterator(self) -> Iterator[Any]:
        """A new iterator of elements, which the learner is made ready for."""

    def prepare(self, experience: dict[str, Any]) -> dict[str, Any]:
        """Once per update, before the experience is cut into minibatches."""

    def step(self, batch: dict[str, Any]) -> Mapping[str, Any]:
        """One gradient step on a minibatch `(B, ...)`. Returns scalars to log."""

    def after_offline(self, steps: int) -> None:
        """Called after so many gradient steps on elements that are not the memory's."""


@runtime_checkable
class WeightSource(Protocol):
    """Gives the weights that an actor acts by, near or far; `kagent.learning.learner.Learner` is one."""

    def weights(self) -> list[np.ndarray]:
        """Float32 vectors, for `set_weights` of an actor of the same policy."""


@runtime_checkable
class Saveable(Protocol):
    """Goes into a file and comes back: memories, and what they are made of."""

    def state(self) -> Mapping[str, Any]:
        """Arrays by name."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes what `state` gave.

        Raises:
            ValueError: It does not fit, or is damaged.
        """
