"""A share of many environments, which shows itself as all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .masks import Mask
from .stream import Environments, NextSeed, Transition
from .wrapped import Wrapped

ABSENT: dict[str, Any] = {"length": 0}  # the episode of an environment that is elsewhere


def placed(episodes: list[dict[str, Any]], rows: slice, total: int) -> list[dict[str, Any]]:
    """The episodes of some environments in their places among those of all."""
    found = [ABSENT] * total
    found[rows] = episodes
    return found


class Share(Wrapped):
    """Some of N environments, in their places among N rows. The other rows are of environments elsewhere.

    Whoever acts in it computes N actions as one who has all environments, from the same random numbers, and so gets for its own
    rows the same ones. Rows of other environments are zeros, allow every action, and are not `valid`.

    Args:
        environments: Those that are here.
        first: Row of the first of them.
        total: N.

    Example:

    >>> from kagent import environments
    >>> share = Share(environments.make("CartPole-v1", 2), first=1, total=4)
    >>> share.reset()
    >>> share.step([np.zeros(4, np.int64)]).valid
    array([False,  True,  True, False])
    >>> share.close()
    """

    def __init__(self, environments: Environments, first: int, total: int):
        super().__init__(environments.observation_space, environments.action_space, total, environments.owned, None)
        self.environments, self.replayable = environments, environments.replayable
        self._first, self._rows = first, slice(first, first + environments.num_envs)
        self._transition.valid[:] = False
        self._transition.valid[self._rows] = True
        self._transition.all_valid = bool(self._transition.valid.all())

    def limit_replay(self, timesteps: int | str | None) -> None:
        self.environments.limit_replay(timesteps)

    def configure(self, reset_options: dict[str, Any] | None = None, step_timeout: float | None = None) -> None:
        self.environments.configure(reset_options, step_timeout)

    def reset(self, next_seed: NextSeed | None = None) -> None:
        self.environments.reset(next_seed)
        self._begin()

    def step(self, action: Sequence[np.ndarray]) -> Transition:
        rows, transition = self._rows, self._transition
        inner = self.environments.step([part[rows] for part in action])
        index = (self._current + 1) % 3
        self._place(index, inner.next_observation, inner.next_mask)
        transition.next_observation = self._sets[index]
        transition.next_mask = None if self._mask_sets is None else self._mask_sets[index]
        transition.reward[rows] = inner.reward
        transition.terminated[rows], transition.truncated[rows] = inner.terminated, inner.truncated
        transition.ended = [self._first + row for row in inner.ended]
        transition.recorded = {self._first + row: value for row, value in inner.recorded.items()}
        if inner.ended:
            index = (index + 1) % 3
            self._place(index, self.environments.observation, self.environments.mask)
        self._show(index)
        return transition

    def state(self) -> dict[str, Any]:
        """What `restore` needs. Of other environments there are `ABSENT` episodes."""
        state = self.environments.state()
        own = state["episodes"]
        return {**state, "episodes": placed(own, self._rows, self.num_envs) if own else []}

    def restore(self, state: dict[str, Any], next_seed: NextSeed | None = None) -> list[int]:
        lost = self.environments.restore({**state, "episodes": state["episodes"][self._rows]}, next_seed)
        self._begin()
        return [self._first + row for row in lost]

    def close(self) -> None:
        self.environments.close()

    def _begin(self) -> None:
        mask = self.environments.mask
        self._mask_sets = None
        if mask is not None:
            shapes = [None if part is None else (self.num_envs, part.shape[1]) for part in mask]
            self._mask_sets = [[None if s is None else np.ones(s, bool) for s in shapes] for _ in range(3)]
        self._place(0, self.environments.observation, mask)
        self._show(0)

    def _place(self, index: int, leaves: Sequence[np.ndarray], mask: Mask | None) -> None:
        for into, part in zip(self._sets[index], leaves):
            into[self._rows] = part
        if self._mask_sets is not None and mask is not None:
            for allowed, given in zip(self._mask_sets[index], mask):
                if allowed is not None and given is not None:
                    allowed[self._rows] = given

    def _where(self, row: int) -> str:
        return self.environments._where(row - self._first)
