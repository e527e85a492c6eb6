"""The progress bar of a Runner."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


class Progress:
    """Shows how far a run has come, with means over its latest episodes.

    Args:
        runner: The `Runner`.
        num_episodes, num_timesteps: Its bounds; of both the episodes are counted.
        mean_horizon: Episodes over which means are taken.
    """

    def __init__(self, runner: Any, num_episodes: int | None, num_timesteps: int | None, mean_horizon: int):
        self._runner, self._horizon = runner, mean_horizon
        self._counts_episodes = num_episodes is not None or num_timesteps is None
        names = ["return", "ts/ep", "sec/ep", "ms/ts", "agent"]
        target = num_episodes if self._counts_episodes else num_timesteps
        self._bar = keras.utils.Progbar(
            target, stateful_metrics=names, unit_name="episode" if num_episodes else "timestep"
        )

    def update(self, finalize: bool | None = None) -> None:
        """Shows the run as it is."""
        runner = self._runner
        lists = (runner.episode_returns, runner.episode_timesteps, runner.episode_seconds, runner.episode_agent_seconds)
        if not lists[0]:
            return
        returns, timesteps, seconds, agent = (float(np.mean(values[-self._horizon :])) for values in lists)
        values = [
            ("return", returns), ("ts/ep", timesteps), ("sec/ep", seconds), ("ms/ts", 1000.0 * seconds / timesteps),
            ("agent", agent / max(seconds, 1e-9)),
        ]  # fmt: skip
        self._bar.update(runner.episodes if self._counts_episodes else runner.timesteps, values, finalize)

    def end(self) -> None:
        """Shows the end of the run."""
        self.update(finalize=True)
