"""The spaces and the environment that parts are checked with."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from kagent.spaces import Structure

OBSERVATIONS: dict[str, gymnasium.Space] = {
    "Box": spaces.Box(-1, 1, (3,), np.float32),
    "Discrete": spaces.Discrete(4, start=2),
    "Dict": spaces.Dict(eye=spaces.Box(-1, 1, (2,), np.float32), gear=spaces.MultiDiscrete([2, 3])),
}
ACTIONS: dict[str, gymnasium.Space] = {
    "Discrete": spaces.Discrete(3, start=1),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiBinary": spaces.MultiBinary(2),
    "Box": spaces.Box(-1, 2, (2,), np.float32),
    "Dict": spaces.Dict(go=spaces.Discrete(2), look=spaces.MultiDiscrete([2, 3])),
    "Dict with a Box": spaces.Dict(go=spaces.Discrete(2), steer=spaces.Box(-1, 1, (1,), np.float32)),
}
SHORTEST, LONGEST = 3, 7  # timesteps of an episode


class Toy(gymnasium.Env):
    """Episodes of 3 to 7 timesteps in any spaces; one in two ends terminated, the other truncated.

    An episode depends on its seed and nothing else. The reward, from 0 to 2, is the larger the larger the action is.

    Args:
        observation_space, action_space: The spaces.
        masked: Whether `info["action_mask"]` allows about half of the discrete actions.

    Raises:
        ValueError: In `step`, an action outside the space, or one that the mask forbids.
    """

    def __init__(
        self,
        observation_space: gymnasium.Space = OBSERVATIONS["Box"],
        action_space: gymnasium.Space = ACTIONS["Discrete"],
        masked: bool = False,
    ):
        self.observation_space = copy.deepcopy(observation_space)  # whose generators are its own
        self.action_space = copy.deepcopy(action_space)
        self.masked = masked
        self._action = Structure(self.action_space, "action_space") if masked else None
        self._allowed: list[np.ndarray | None] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        self.length = int(self.np_random.integers(SHORTEST, LONGEST + 1))
        self.terminates = bool(self.np_random.integers(2))
        self.time = 0
        return self.observation_space.sample(), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if not self.action_space.contains(action):
            raise ValueError(f"The action is not in the action space {self.action_space}. Received: {action!r}")
        structure = Structure(self.action_space, "action_space")
        parts = [leaf.encode(part) for leaf, part in zip(structure.leaves, structure.flatten(action))]
        for leaf, part, allowed in zip(structure.leaves, parts, self._allowed):
            if allowed is not None and leaf.nvec is not None:
                starts = np.cumsum([0, *leaf.nvec.ravel()[:-1]])
                if not allowed[starts + part.ravel()].all():
                    raise ValueError(f"The mask forbids the action. Received: {action!r}, of mask {allowed.tolist()}")
        self.time += 1
        over = self.time == self.length
        reward = float(np.mean([np.clip(part, 0, 2).mean() for part in parts]))
        ended, cut = over and self.terminates, over and not self.terminates
        return self.observation_space.sample(), reward, ended, cut, self._info()

    def _info(self) -> dict[str, Any]:
        if self._action is None:
            return {}
        self._allowed = [self._draw(leaf.nvec) for leaf in self._action.leaves]
        masks = [None if allowed is None else allowed.astype(np.int8) for allowed in self._allowed]
        if not self._action.is_nested:
            return {"action_mask": masks[0]}
        named = self._action.unflatten(masks)
        return {"action_mask": {name: mask for name, mask in named.items() if mask is not None}}

    def _draw(self, nvec: np.ndarray | None) -> np.ndarray | None:
        if nvec is None:
            return None
        drawn = []
        for count in nvec.ravel():
            allowed = self.np_random.random(count) < 0.5
            allowed[self.np_random.integers(count)] = True
            drawn.append(allowed)
        return np.concatenate(drawn)
