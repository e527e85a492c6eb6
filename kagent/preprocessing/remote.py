"""Preprocessing where environments are in workers: what a worker does to observations, and what the agent does with their timesteps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from kagent.environments.stream import Environments, Transition
from kagent.preprocessing.environments import Preprocessed
from kagent.preprocessing.layer import Layer
from kagent.preprocessing.preprocessing import REWARD, Preprocessing
from kagent.schedules import Clock
from kagent.spaces import Structure

Statistics = list[list[dict[str, np.ndarray]]]


class WorkerEnvironments(Preprocessed):
    """Environments of a worker, whose observations are processed. Rewards are those of the environments: the agent processes them.

    Args:
        environments: Those of the worker.
        parts: Layers by key, without those of the reward.
        space: Of the environments' observations.

    Attributes:
        now: The time, for schedules.
        acted_on: The environments' own observations before the last step.
        led_to: Those that it led to.
    """

    def __init__(self, environments: Environments, parts: dict[str, list[Layer]], space: gymnasium.Space):
        self.now = Clock()
        super().__init__(environments, Preprocessing(parts, Structure(space), lambda: self.now), learn=True)
        self.acted_on = self.led_to = self.raw_observation

    def step(self, action: Sequence[np.ndarray]) -> Transition:
        self.acted_on = self.raw_observation
        transition = super().step(action)
        self.led_to = transition.raw_next_observation
        return transition

    def set_statistics(self, statistics: Statistics) -> None:
        """Takes the place of what was learned here."""
        self.preprocessing.set_statistics(statistics)


@dataclasses.dataclass(frozen=True)
class WorkerPreprocessing:
    """What a worker needs of an agent's preprocessing. It is sent once.

    Attributes:
        parts: Layers by key, without those of the reward.
        space: Of the environments' observations.
        learns: Whether layers learn statistics of observations, so that the agent needs the environments' own observations.
    """

    parts: dict[str, list[Layer]]
    space: gymnasium.Space
    learns: bool

    def around(self, environments: Environments) -> WorkerEnvironments:
        """The environments with processed observations."""
        return WorkerEnvironments(environments, self.parts, self.space)


def for_worker(made: Preprocessing) -> WorkerPreprocessing:
    """What workers of an agent with this preprocessing need."""
    parts = {key: layers for key, layers in made.parts.items() if key != REWARD}
    learns = any(bound.statistics for line in made.pipelines if line is not None for bound in line.bounds)
    return WorkerPreprocessing(parts, made.raw.space, learns)


class Arrivals:
    """The agent's statistics and rewards, of timesteps that workers took.

    It does to them, in their order, what `Preprocessed` does to timesteps of environments. Observations have been processed by the
    workers already: here statistics take in the environments' own ones.

    Args:
        made: The agent's preprocessing, whose statistics move.
        count: Environments of all workers, N.

    Attributes:
        works: Whether timesteps have to be taken in: statistics of observations are learned, or rewards processed.
    """

    def __init__(self, made: Preprocessing, count: int):
        self.made, self.count = made, count
        self.works = made.processes_reward or for_worker(made).learns
        self._past = made.begin(count)
        self._begins = np.ones(count, bool)
        self._unseen = np.zeros(count, bool)  # rows whose first observation comes with their next timestep

    def statistics(self) -> Statistics:
        """Of observations, as workers take them: now."""
        return [*self.made.statistics()[:-1], []]

    def begin(self, rows: Sequence[int], raw: Sequence[np.ndarray] | None) -> None:
        """Environments `rows` begin new episodes.

        Args:
            rows: n of them.
            raw: Their first observations, `(n, ...)`; None: they come with their next timestep, or are not needed.
        """
        index = np.asarray(rows, np.int64)
        self._begins[index] = True
        self._unseen[index] = raw is None
        if raw is not None and len(index):
            self._learn(raw, index, True)

    def take(
        self,
        rows: slice,
        reward: np.ndarray,
        successor: Sequence[np.ndarray],
        ended: Sequence[int],
        raw: tuple[Sequence[np.ndarray], ...] | None,
    ) -> np.ndarray:
        """Takes in a timestep of the environments `rows`, n of them. Returns their processed rewards, `(n,)`.

        Args:
            rows: Of the environments among all.
            reward: As they gave it, `(n,)`.
            successor: Where their actions led to, processed, `(n, ...)`.
            ended: Those of `rows`, counted from 0, whose episode ended.
            raw: Their own observations, `(n, ...)`: those that were acted on, those that the actions led to, and those that are
                acted on next. None where no statistics are learned of them.
        """
        index = np.arange(self.count)[rows]
        if raw is not None:
            before, following, after = raw
            unseen = np.flatnonzero(self._unseen[index])
            if len(unseen):
                self._learn([x[unseen] for x in before], index[unseen], True)
            self._learn(following, index, False)
        self._unseen[index] = False
        if self.made.processes_reward:
            reward = self.made.reward(reward, self._past, index, self._begins[index], True, successor)
            self._begins[index] = False
        if len(ended):
            chosen = np.asarray(ended, np.int64)
            self._begins[index[chosen]] = True
            if raw is not None:
                self._learn([x[chosen] for x in after], index[chosen], True)
        return reward

    def state(self, workers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """What `Preprocessed.state` has of all environments, of the parts that it has in each worker."""
        observation = [np.concatenate(parts) for parts in zip(*(one["observation"] for one in workers))]
        past = [
            [{name: np.concatenate([x[name] for x in same]) for name in same[0]} for same in zip(*leaf)]
            for leaf in zip(*(one["past"][:-1] for one in workers))
        ]
        own = [{name: x.copy() for name, x in part.items()} for part in self._past[-1]]
        return {"observation": observation, "past": [*past, own], "reward_begins": self._begins.copy()}

    def share(self, state: dict[str, Any], rows: slice) -> dict[str, Any]:
        """The part of it that a worker with the environments `rows` restores."""
        past = [[{name: x[rows] for name, x in part.items()} for part in line] for line in state["past"][:-1]]
        begins = state["reward_begins"][rows]
        return {"observation": [x[rows] for x in state["observation"]], "past": [*past, []], "reward_begins": begins}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes what `state` gave."""
        self._past = [[{name: np.array(x) for name, x in part.items()} for part in line] for line in state["past"]]
        self._begins = np.array(state["reward_begins"])
        self._unseen[:] = False

    def _learn(self, raw: Sequence[np.ndarray], rows: np.ndarray, fresh: bool) -> None:
        self.made.observation(raw, self._past, rows, np.full(len(rows), fresh), True)
