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
        progress: Part of the run's bound already used, 0 to 1 (`fit(steps=...)` or `fit(max_steps=...)`).
    """

    timesteps: Any = 0
    episodes: Any = 0
    updates: Any = 0
    progress: Any = 0.0
