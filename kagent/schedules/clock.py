"""The time that schedules read."""

from __future__ import annotations

from typing import Any, NamedTuple

UNITS = ("progress", "timesteps", "episodes", "updates")


class Clock(NamedTuple):
    """What time it is, in every unit.

    Attributes:
        timesteps: Environment steps so far.
        episodes: Finished episodes so far.
        updates: Gradient steps so far.
        progress: The largest part already used of any bound of the run, 0 to 1: of those that `fit` was given, or
            `agent.begin` in a loop of the user's own. 0 where there is none.
        seed: Of random schedules and explorations without a seed of their own: derived from the agent's.
    """

    timesteps: Any = 0
    episodes: Any = 0
    updates: Any = 0
    progress: Any = 0.0
    seed: int = 0
