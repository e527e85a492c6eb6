"""What episodes were like."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kagent.callbacks.callback import Callback


class EpisodeStatistics(Callback):
    """Rewards and losses of episodes, of one environment or several.

    Attributes:
        last: Of the last episode that ended, or None: `total_reward`, `max_reward`, `min_reward`, `avg_reward` (of raw
            rewards), `length` (timesteps), and since the end of the one before it `updates`, and their mean `loss` (NaN
            without any).

    Example:

    >>> statistics = EpisodeStatistics()
    >>> history = agent.fit("CartPole-v1", episodes=2, callbacks=[statistics], verbose=0)
    >>> statistics.last["max_reward"]
    1.0
    """

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[str, float] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.last = None
        self._rewards: dict[int, list[float]] = {}
        self._losses: list[float] = []

    def on_timestep_end(self, timestep: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        for env, (reward, counts) in enumerate(zip(logs["raw_reward"].tolist(), logs["valid"].tolist())):
            if counts:
                self._rewards.setdefault(env, []).append(reward)

    def on_update_end(self, update: int, logs: dict[str, Any] | None = None) -> None:
        self._losses.append((logs or {}).get("loss", math.nan))

    def on_episode_end(self, episode: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        rewards, losses = self._rewards.pop(logs["env"]), self._losses
        self._losses = []
        self.last = {
            "total_reward": float(sum(rewards)),
            "max_reward": float(max(rewards)),
            "min_reward": float(min(rewards)),
            "avg_reward": float(sum(rewards) / len(rewards)),
            "length": len(rewards),
            "loss": float(np.mean(losses)) if losses else math.nan,
            "updates": len(losses),
        }
