"""Observations of a `SyncVectorEnv`'s environments, kept from being overwritten by them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv


class Copies:
    """Has each environment of a `SyncVectorEnv` give copies of its observations where gymnasium would lose them.

    gymnasium puts the observations of all environments together at the end of a step. An environment that writes into the
    array it gave before has by then overwritten, with autoreset mode SAME_STEP, an episode's last observation by the next
    one's first; and environments that share an array, each other's. Other vector environments are left alone.

    Args:
        env: The innermost vector environment.
    """

    def __init__(self, env: Any):
        known = isinstance(env, SyncVectorEnv) and all(isinstance(one, gymnasium.Env) for one in env.envs)
        self._env = env if known else None
        self._copying: list[_Copying] = []
        if self._env is not None:
            at_ends = self._env.autoreset_mode is AutoresetMode.SAME_STEP
            self._copying = [_Copying(one, at_ends) for one in self._env.envs]

    @contextlib.contextmanager
    def of_reset(self) -> Iterator[None]:
        """Within it, resets give copies; afterwards it is known whether steps must."""
        with self._in_place():
            yield
        addresses = [address for one in self._copying for address in {_address(x) for x in _arrays(one.given)}]
        for one in self._copying:
            one.always, one.given = one.always or len(set(addresses)) < len(addresses), None

    def of_step(self) -> contextlib.AbstractContextManager[None]:
        """Within it, steps give copies where they must."""
        needed = self._copying and (self._copying[0].always or self._copying[0].at_ends)
        return self._in_place() if needed else _NOTHING

    @contextlib.contextmanager
    def _in_place(self) -> Iterator[None]:
        # The user's own environments are back where they were whenever the user may look.
        if self._env is None:
            yield
            return
        before, self._env.envs = self._env.envs, self._copying
        try:
            yield
        finally:
            self._env.envs = before


class _Copying(gymnasium.Wrapper):
    def __init__(self, env: gymnasium.Env, at_ends: bool):
        super().__init__(env)
        self.at_ends, self.always = at_ends, False
        self.given: Any = None  # by the last reset; while all are there, no two have one address by chance

    def reset(self, **kwargs: Any) -> Any:
        result = self.env.reset(**kwargs)
        if not isinstance(result, tuple) or len(result) != 2:
            return result  # gymnasium says what is wrong with it
        observation, info = result
        self.given = observation
        return copy.deepcopy(observation), info

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        whole = isinstance(result, tuple) and len(result) == 5
        if whole and (self.always or (self.at_ends and (result[2] or result[3]))):
            return (copy.deepcopy(result[0]), *result[1:])
        return result


_NOTHING = contextlib.nullcontext()


def _address(array: np.ndarray) -> int:
    result: int = array.__array_interface__["data"][0]
    return result


def _arrays(observation: Any) -> Iterator[np.ndarray]:
    if isinstance(observation, np.ndarray) and observation.size:
        yield observation
    elif isinstance(observation, dict | tuple):
        for part in observation.values() if isinstance(observation, dict) else observation:
            yield from _arrays(part)
