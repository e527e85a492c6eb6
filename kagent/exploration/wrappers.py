"""What goes around an exploration where the policy itself is changed while it explores."""

from __future__ import annotations

from typing import Any

import numpy as np

from kagent import schedules
from kagent.exploration.exploration import Exploration, Leaves


class WithVariableNoise(Exploration):
    """An exploration whose every decision is made by a policy with Gaussian noise on its variables.

    Args:
        exploration: Which.
        amount: Standard deviation; may be a schedule.
    """

    def __init__(self, exploration: Exploration, amount: Any):
        self.exploration, self.amount = exploration, amount

    def decide(self, actor: Any, leaves: Leaves, mask: Any, clock: schedules.Clock, rng: np.random.Generator) -> Leaves:
        amount = schedules.evaluate(self.amount, clock)
        if amount <= 0:
            return self.exploration.decide(actor, leaves, mask, clock, rng)
        with actor.perturbed(amount, rng):
            return self.exploration.decide(actor, leaves, mask, clock, rng)


class WithNoisyLayers(Exploration):
    """An exploration whose every decision is made by a policy with noise on its noisy layers, drawn anew each time.

    Args:
        exploration: Which.
    """

    def __init__(self, exploration: Exploration):
        self.exploration = exploration

    def decide(self, actor: Any, leaves: Leaves, mask: Any, clock: schedules.Clock, rng: np.random.Generator) -> Leaves:
        with actor.noisy(rng):
            return self.exploration.decide(actor, leaves, mask, clock, rng)


class WithTemperature(Exploration):
    """An exploration whose policy samples at a temperature that changes over time.

    Args:
        exploration: Which.
    """

    def __init__(self, exploration: Exploration):
        self.exploration = exploration

    def decide(self, actor: Any, leaves: Leaves, mask: Any, clock: schedules.Clock, rng: np.random.Generator) -> Leaves:
        actor.set_time(clock)
        return self.exploration.decide(actor, leaves, mask, clock, rng)
