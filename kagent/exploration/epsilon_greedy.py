"""Explorations that choose between what the policy says and chance."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

import numpy as np

from kagent import schedules
from kagent.acting.actor import Actor
from kagent.config.checks import check_count
from kagent.exploration.exploration import Exploration, Leaves
from kagent.exploration.registry import EXPLORATIONS


@EXPLORATIONS.register()
@dataclasses.dataclass(frozen=True)
class EpsilonGreedy(Exploration):
    """The best known action, or with probability epsilon a uniformly random allowed one.

    Epsilon falls linearly from `initial` to `final`.

    Args:
        initial: Epsilon at the first timestep, 0 to 1.
        final: Epsilon after the fall. Larger keeps exploring, at the price of return while training.
        fraction: Part of the run over which it falls (of the bounds that `fit` or `agent.begin` was given).
        steps: The same in timesteps; takes the place of `fraction`.
    """

    initial: float = 1.0
    final: float = 0.05
    fraction: float = 0.1
    steps: int | None = None

    samples = False

    def __post_init__(self) -> None:
        for name in ("initial", "final", "fraction"):
            value: Any = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) <= 1:
                raise ValueError(f"`exploration.{name}` must be a number in [0, 1]. Received: {value!r}")
        if self.steps is not None and not self.steps > 0:
            raise ValueError(f"`exploration.steps` must be > 0. Received: {self.steps}")

    def epsilon(self, clock: schedules.Clock) -> float:
        """Epsilon at `clock`."""
        if self.initial == self.final:
            return self.initial
        if self.steps is not None:
            done = clock.timesteps / self.steps
        else:
            done = clock.progress / self.fraction if self.fraction > 0 else 1.0
        return float(self.initial + min(done, 1.0) * (self.final - self.initial))

    def decide(
        self, actor: Actor, leaves: Leaves, mask: Any, clock: schedules.Clock, rng: np.random.Generator
    ) -> Leaves:
        epsilon, count = self.epsilon(clock), len(leaves[0])
        if count == 1:
            if rng.random() < epsilon:
                return actor.random(1, rng, mask)
            return actor.decide(leaves, mask, True, rng)
        at_random = rng.random(count) < epsilon
        if not at_random.any():
            return actor.decide(leaves, mask, True, rng)
        tried = actor.random(count, rng, mask)
        if at_random.all():
            return tried
        greedy = actor.decide(leaves, mask, True, rng)
        for best, other in zip(greedy, tried):
            best[at_random] = other[at_random]
        return greedy


@EXPLORATIONS.register()
@dataclasses.dataclass(frozen=True)
class Sampling(Exploration):
    """Actions are sampled from the policy's distribution.

    Args:
        random_steps: Timesteps at the start of training in which actions are uniformly random instead.
    """

    random_steps: int = 0

    def __post_init__(self) -> None:
        check_count(self.random_steps, "exploration.random_steps", least=0)

    def decide(
        self, actor: Actor, leaves: Leaves, mask: Any, clock: schedules.Clock, rng: np.random.Generator
    ) -> Leaves:
        if clock.timesteps < self.random_steps:
            return actor.random(len(leaves[0]), rng, mask)
        return actor.decide(leaves, mask, False, rng)
