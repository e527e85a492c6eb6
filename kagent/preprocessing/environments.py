"""Environments as a preprocessing agent sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kagent.environments.stream import Environments, NextSeed, Transition
from kagent.environments.wrapped import Wrapped
from kagent.preprocessing.pipeline import matching
from kagent.preprocessing.preprocessing import Preprocessing

_ALL = slice(None)


def check_state(state: Any, preprocessing: Preprocessing, count: int) -> dict[str, Any]:
    """What `Preprocessed.state()` adds to the state of `count` environments, perhaps by way of a file.

    Raises:
        ValueError: It is of other preprocessing, or damaged.
    """
    like = {
        "observation": [np.repeat(x, count, axis=0) for x in preprocessing.zeros()],
        "past": preprocessing.begin(count),
        "reward_begins": np.zeros(count, bool),
    }
    result: dict[str, Any] = matching(state, like, "The state of preprocessed environments")
    return result


class Preprocessed(Wrapped):
    """Environments whose observations and rewards are processed.

    What a transition ends in is processed as part of its episode, also where that is over; the next episode begins with
    nothing remembered. Masks are those of the environments.

    Args:
        environments: Environments with the observations that `preprocessing` is for.
        preprocessing: What is done.
        learn: Whether statistics take in what comes by, and rewards are processed: in training.
    """

    def __init__(self, environments: Environments, preprocessing: Preprocessing, learn: bool):
        super().__init__(
            preprocessing.space, environments.action_space, environments.num_envs, environments.owned, None
        )
        self.environments, self.preprocessing, self.learn = environments, preprocessing, learn
        self.replayable = environments.replayable
        self._past = preprocessing.begin(self.num_envs)
        self._none, self._every = np.zeros(self.num_envs, bool), np.ones(self.num_envs, bool)
        self._reward_begins = self._every.copy()
        self._reward = np.zeros(self.num_envs)

    @property
    def raw_observation(self) -> list[np.ndarray]:
        return self.environments.observation

    def configure(self, reset_options: dict[str, Any] | None = None, step_timeout: float | None = None) -> None:
        self.environments.configure(reset_options, step_timeout)

    def reset(self, next_seed: NextSeed | None = None) -> None:
        self.environments.reset(next_seed)
        self._reward_begins.fill(True)
        self._process(self.raw_observation, 0, self._every)
        self._show_at(0)

    def step(self, action: Sequence[np.ndarray]) -> Transition:
        inner = self.environments.step(action)
        ended = list(inner.ended)
        index = (self._current + 1) % 3
        # What is not valid is the first observation of an episode that began in this step.
        self._process(inner.next_observation, index, self._none if inner.all_valid else ~inner.valid)
        transition = self._transition
        transition.next_observation, transition.next_mask = self._sets[index], inner.next_mask
        transition.terminated, transition.truncated, transition.ended = inner.terminated, inner.truncated, ended
        transition.valid, transition.all_valid = inner.valid, inner.all_valid
        transition.raw, transition.recorded = inner, inner.recorded
        transition.reward = self._rewards(inner, self._sets[index], ended) if self.learn else inner.reward
        # With autoreset NEXT_STEP the ended episode's last observation stays, and no action follows it.
        if ended and self.raw_observation is not inner.next_observation:
            following = (index + 1) % 3
            self._copy_set(index, following)
            first = [x[ended] for x in self.raw_observation]
            self._process(first, following, np.ones(len(ended), bool), np.asarray(ended))
            index = following
        self._show_at(index)
        return transition

    def state(self) -> dict[str, Any]:
        """What `restore` needs: of the environments, and of what was remembered and seen in them."""
        state = self.environments.state()
        observation = [x.copy() for x in self.observation]
        past = [[{name: x.copy() for name, x in part.items()} for part in parts] for parts in self._past]
        begins = self._reward_begins.copy()
        return {**state, "preprocessing": {"observation": observation, "past": past, "reward_begins": begins}}

    def restore(self, state: dict[str, Any], next_seed: NextSeed | None = None) -> list[int]:
        """Brings back the open episodes, with what was remembered of them.

        Raises:
            ValueError, TypeError: `state` is malformed, or of other preprocessing.
        """
        if not isinstance(state, dict):
            raise TypeError(f"`state` must be a dict as `state()` returns. Received: {type(state).__name__}")
        own = state.get("preprocessing")
        lost = list(self.environments.restore(state, next_seed))
        if len(lost) < self.num_envs:
            found = check_state(own, self.preprocessing, self.num_envs)
            for into, x in zip(self._sets[0], found["observation"]):
                np.copyto(into, x)
            self._past, self._reward_begins = found["past"], found["reward_begins"]
        if lost:
            self._reward_begins[lost] = True
            rows = np.asarray(lost)
            self._process([x[rows] for x in self.raw_observation], 0, np.ones(len(rows), bool), rows)
        self._show_at(0)
        return lost

    def close(self) -> None:
        self.environments.close()

    def _process(self, leaves: Sequence[np.ndarray], index: int, fresh: np.ndarray, rows: Any = _ALL) -> None:
        found = self.preprocessing.observation(leaves, self._past, rows, fresh, self.learn)
        with np.errstate(over="ignore"):
            for into, x in zip(self._sets[index], found):
                into[rows] = x
        self._check_finite(index)

    def _rewards(self, inner: Transition, successor: Sequence[np.ndarray], ended: list[int]) -> np.ndarray:
        if not self.preprocessing.processes_reward:
            return inner.reward
        begins, reward = self._reward_begins, self._reward
        rows: Any = _ALL if inner.all_valid else np.flatnonzero(inner.valid)
        reward[~inner.valid] = 0.0
        came = [x[rows] for x in successor]
        reward[rows] = self.preprocessing.reward(inner.reward[rows], self._past, rows, begins[rows], True, came)
        begins[rows] = False
        begins[ended] = True
        return reward

    def _show_at(self, index: int) -> None:
        self._show(index)
        self.mask = self.environments.mask

    def _where(self, row: int) -> str:
        return f"after preprocessing, {self.environments._where(row)}"
