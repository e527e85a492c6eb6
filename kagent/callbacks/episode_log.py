"""A log of episodes."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from kagent.callbacks.callback import Callback
from kagent.config.checks import check_count


class EpisodeLog(Callback):
    """A line every so many episodes in a log of `logging`, at level INFO: return, length, loss ("?" before the first
    update), counters and pace.

    Args:
        frequency: In episodes.
        logger: Name of the log.

    Raises:
        ValueError: `frequency` is not an integer >= 1.

    Example:

    >>> history = agent.fit("CartPole-v1", episodes=20, callbacks=[EpisodeLog(frequency=10)], verbose=0)
    """

    needs_episodes = True

    def __init__(self, frequency: int = 1, logger: str = "kagent"):
        super().__init__()
        self.frequency = check_count(frequency, "frequency")
        self.logger = logging.getLogger(logger)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._loss: float | None = None  # before the first update
        self._pace = Pace(self.model)

    def on_update_end(self, update: int, logs: dict[str, Any] | None = None) -> None:
        self._loss = (logs or {}).get("loss", math.nan)

    def on_episode_end(self, episode: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        if (episode + 1) % self.frequency == 0:
            agent, rates = self.model, self._pace.read()
            loss = "?" if self._loss is None else f"{self._loss:g}"
            self.logger.info(
                "episode %d: return %g, length %d, loss %s, timestep %d, step %d, %.3g episodes/s, %.4g timesteps/s",
                episode + 1, logs["episode_return"], logs["episode_length"], loss, agent.timesteps, agent.updates,
                *rates,
            )  # fmt: skip


class Pace:
    """Episodes and timesteps per second since it was last read.

    Args:
        agent: Whose.
    """

    def __init__(self, agent: Any):
        self.agent = agent
        self._before = self._now()

    def _now(self) -> tuple[int, int, float]:
        return self.agent.episodes, self.agent.timesteps, time.perf_counter()

    def read(self) -> tuple[float, float]:
        """(episodes, timesteps) per second."""
        before, self._before = self._before, self._now()
        episodes, timesteps, seconds = (now - then for now, then in zip(self._before, before))
        return episodes / max(seconds, 1e-9), timesteps / max(seconds, 1e-9)
