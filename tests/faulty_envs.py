"""An environment that does one thing wrong at one step. Imports NumPy and gymnasium only."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Faulty(gymnasium.Env):
    """Behaves until step `at` of its episode number `episode`, then does what `fault` says.

    Args:
        fault: A key of `FAULTS`, or `"raise"`, `"reset_only_observation"`, `"reset_raise"`, `"exit"` (kills
            the process).
        at: The step, counted from 1; 0 is the reset.
        nested: Whether the observation is `{"camera": {"left": Box, "right": Box}, "speed": Box}`.
    """

    FAULTS: dict[str, Any] = {
        "nan": lambda o: (_poison(o, np.nan), 1.0, False, False, {}),
        "nan_at_end": lambda o: (_poison(o, np.nan), 1.0, True, False, {}),
        "inf": lambda o: (_poison(o, np.inf), 1.0, False, False, {}),
        "huge": lambda o: (_poison(o, 1e300), 1.0, False, False, {}),
        "shape": lambda o: (_map(o, lambda a: a[:-1]), 1.0, False, False, {}),
        "extra_axis": lambda o: (_map(o, lambda a: a[None]), 1.0, False, False, {}),
        "scalar": lambda o: (0.0, 1.0, False, False, {}),
        "nesting": lambda o: ((o, o), 1.0, False, False, {}),
        "text": lambda o: (_map(o, lambda a: "hello"), 1.0, False, False, {}),
        "object": lambda o: (_map(o, lambda a: [None, [1], 2]), 1.0, False, False, {}),
        "nan_reward": lambda o: (o, np.nan, False, False, {}),
        "inf_reward": lambda o: (o, -np.inf, False, False, {}),
        "huge_reward": lambda o: (o, -1e300, False, False, {}),
        "long_reward": lambda o: (o, 10**400, False, False, {}),
        "none_reward": lambda o: (o, None, False, False, {}),
        "pair_reward": lambda o: (o, np.ones(2), False, False, {}),
        "text_reward": lambda o: (o, "1", False, False, {}),
        "four": lambda o: (o, 1.0, False, {}),
        "only_observation": lambda o: o,
        "none_flag": lambda o: (o, 1.0, None, False, {}),
        "info_as_flag": lambda o: (o, 1.0, False, {"TimeLimit.truncated": True}, {}),
    }

    def __init__(self, fault: str, at: int = 3, nested: bool = False, episode: int = 0):
        self.fault, self.at, self.nested, self.episode = fault, at, nested, episode
        box = spaces.Box(-10, 10, (3,), np.float32)
        self.observation_space = spaces.Dict(camera=spaces.Dict(left=box, right=box), speed=box) if nested else box
        self.action_space = spaces.Discrete(2)
        self.episodes = -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.time = 0
        self.episodes += 1
        if self._due():
            if self.fault == "reset_only_observation":
                return self._observe()
            if self.fault == "reset_raise":
                raise OSError("the simulator is gone")
            return self.FAULTS[self.fault](self._observe())[0], {}
        return self._observe(), {}

    def step(self, action: int):
        self.time += 1
        if self._due():
            if self.fault == "raise":
                raise ZeroDivisionError("the simulator broke")
            if self.fault == "exit":
                import os

                os._exit(7)
            return self.FAULTS[self.fault](self._observe())
        return self._observe(), 1.0, self.time >= 10, False, {}

    def _due(self) -> bool:
        return self.time == self.at and self.episodes == self.episode

    def _observe(self) -> Any:
        array = np.full(3, self.time, np.float32)
        return {"camera": {"left": array, "right": array.copy()}, "speed": array.copy()} if self.nested else array


def _map(observation: Any, function: Any) -> Any:
    # Changes the leaf `camera/right`, or the only one.
    if isinstance(observation, dict):
        camera = observation["camera"]
        return {**observation, "camera": {**camera, "right": function(camera["right"])}}
    return function(observation)


def _poison(observation: Any, value: float) -> Any:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.astype(np.float64)
        array[1] = value
        return array

    return _map(observation, change)
