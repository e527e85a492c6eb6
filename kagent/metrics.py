"""What an epoch logs beside its losses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


class EpisodeMetrics:
    """Return and length of the episodes that ended in an epoch, the counters, and the pace.

    Where no episode ended in an epoch, the last known mean stands again; before the first end it is NaN, which is no
    improvement to any callback that compares.
    """

    def __init__(self):
        self._ended: list[tuple[float, int]] = []
        self._last = (math.nan, math.nan)

    def update(self, finished: list[tuple[float, int]]) -> None:
        """Takes note of (return, length) of finished episodes."""
        self._ended += finished

    def _means(self) -> tuple[float, float]:
        if self._ended:
            self._last = (float(np.mean([r for r, _ in self._ended])), float(np.mean([n for _, n in self._ended])))
        return self._last

    def live(self, steps: int, seconds: float) -> dict[str, float]:
        """What the progress bar shows in the middle of an epoch."""
        recent = self._ended[-100:]
        value = sum(r for r, _ in recent) / len(recent) if recent else self._last[0]
        shown = {} if math.isnan(value) else {"episode_return": value}
        return {**shown, "steps_per_second": steps / max(seconds, 1e-9)}

    def epoch(self, agent: Any, steps: int, seconds: float) -> dict[str, float]:
        """The epoch's entries; begins the next one."""
        mean_return, mean_length = self._means()
        self._ended = []
        return {
            "episode_return": mean_return,
            "episode_length": mean_length,
            "episodes": agent.episodes,
            "timesteps": agent.timesteps,
            "updates": agent.updates,
            "steps_per_second": steps / max(seconds, 1e-9),
        }
