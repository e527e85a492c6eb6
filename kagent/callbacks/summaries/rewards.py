"""Discounted rewards of episodes under way, summed as they come."""

from __future__ import annotations

from typing import Any

import numpy as np


class DiscountedRewards:
    """Mean over an episode's timesteps of the discounted rewards from there on, `mean_t sum_k discount**k r_{t+k}`.

    A reward counts in the sums of all timesteps up to its own, so what it adds is known when it comes: nothing is kept
    but one sum per environment.
    """

    def __init__(self) -> None:
        self._open: dict[int, list[float]] = {}

    def begin(self, env: int) -> None:
        """An episode begins there."""
        self._open.pop(env, None)

    def append(self, reward: np.ndarray, valid: np.ndarray, discount: float) -> None:
        """One step of every environment: rewards `(N,)`."""
        for env, (value, real) in enumerate(zip(reward.tolist(), valid.tolist())):
            if real:
                sums = self._open.setdefault(env, [0.0, 0.0, 0])
                sums[0] = 1.0 + discount * sums[0]
                sums[1] += sums[0] * value
                sums[2] += 1

    def end(self, env: int, length: int) -> float | None:
        """The episode's mean, or None if its beginning was not seen."""
        _, total, count = self._open.pop(env, (0.0, 0.0, 0))
        return total / count if count == length else None

    def clear(self) -> None:
        self._open.clear()


def mean_of(rewards: Any, valid: np.ndarray) -> float:
    """Mean over the environments that took a step."""
    return float(np.mean(np.asarray(rewards)[valid.astype(bool)]))
