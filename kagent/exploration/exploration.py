"""What an exploration is."""

from __future__ import annotations

from typing import Any

import numpy as np

from kagent import schedules
from kagent.acting.actor import Actor
from kagent.config.registry import Part

Leaves = list[np.ndarray]


class Exploration(Part):
    """Base of the explorations. One of your own is a frozen dataclass, decorated `@EXPLORATIONS.register()`.

    Attributes:
        samples: Whether it may take actions that are sampled from the policy. False: it takes the policy's best ones, so that
            a setting of the policy's noise is refused beside it.

    Example:

    >>> @EXPLORATIONS.register()
    ... @dataclasses.dataclass(frozen=True)
    ... class RandomStart(Exploration):
    ...     timesteps: int = 1000
    ...     def decide(self, actor, leaves, mask, clock, rng):
    ...         if clock.timesteps < self.timesteps:
    ...             return actor.random(len(leaves[0]), rng, mask)
    ...         return actor.decide(leaves, mask, True, rng)
    """

    samples = True

    def check(self, action: Any) -> None:
        """Looks at the actions that it is to explore.

        Args:
            action: The structure of the action space, with `leaves`.

        Raises:
            ValueError: They do not suit it.
        """

    def decide(
        self, actor: Actor, leaves: Leaves, mask: Any, clock: schedules.Clock, rng: np.random.Generator
    ) -> Leaves:
        """Actions in training. Called at every timestep, so it must be fast.

        Args:
            actor: `actor.decide(leaves, mask, deterministic, rng)` are the policy's actions, `actor.random(N, rng, mask)` are
                uniformly random allowed ones.
            leaves: Observations, one array `(N, ...)` per leaf of the space, in stored form.
            mask: Allowed values, a list with one bool array `(N, sum(nvec))` or None per action leaf; or None.
            clock: The time now.
            rng: The stream to draw from.

        Returns:
            One array `(N, ...)` per leaf of the action space, as the actor gives them.
        """
        raise NotImplementedError
