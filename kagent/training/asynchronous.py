"""The trainer of workers that do not wait for the learner."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kagent.distributed.asynchronous import AsynchronousCollector
from kagent.distributed.collector import LONGEST
from kagent.memories import Rollout
from kagent.training.metrics import EpisodeMetrics
from kagent.training.remote import RemoteTrainer
from kagent.training.trainer import Trainer

BLOCK = 32  # timesteps of an environment in a block, where the memory keeps what older policies did


class AsynchronousTrainer(RemoteTrainer):
    """As `RemoteTrainer`, with workers that go on while the agent learns.

    Updates are due at the timesteps at which they are due without workers: timesteps count when the agent takes them.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.metrics = AgeMetrics(self.collector)

    def _make_collector(self, environments: Any) -> Any:
        agent = self.agent
        leaves = len(agent._observation.leaves), len(agent._action.leaves)
        together = isinstance(agent.memory, Rollout)
        return AsynchronousCollector(
            environments,
            self._weights,
            self._spawned,
            agent._random["reset"],
            leaves,
            min(agent.memory.steps, LONGEST) if together else BLOCK,
            together,
            agent._clock.at,
            self._give_up,
            self._note if together else None,
            agent._clock.host,
            self._arrivals(environments),
        )

    def _note(self, log_prob: np.ndarray) -> None:
        self.agent.memory.note_log_prob(log_prob)

    def _collect(self, until: float, episodes: float, full: Any) -> None:
        Trainer._collect(self, until, episodes, full)

    def _learn(self) -> dict[str, float]:
        logs = super()._learn()
        self.collector.updates += 1
        return logs


class AgeMetrics(EpisodeMetrics):
    """With the ages of the timesteps that were taken in an epoch: `weights_age` is the mean, and `weights_age_max` the largest, in updates
    since the weights that they were chosen by.

    Args:
        collector: Where they come from.
    """

    def __init__(self, collector: AsynchronousCollector):
        super().__init__(collector.records_returns)
        self._collector, self._known = collector, (math.nan, math.nan)

    def epoch(self, agent: Any, steps: int, seconds: float) -> dict[str, float]:
        ages, self._collector.ages = self._collector.ages, []
        if ages:
            self._known = float(np.mean(ages)), float(max(ages))
        return {
            **super().epoch(agent, steps, seconds),
            "weights_age": self._known[0],
            "weights_age_max": self._known[1],
        }
