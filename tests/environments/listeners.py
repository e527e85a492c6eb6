"""Environments that keep what they are given, action spaces to give them, and actions for these."""

from __future__ import annotations

import copy
import itertools

import gymnasium
import numpy as np
from gymnasium import spaces

from kagent.spaces import Structure


class Listener(gymnasium.Env):
    """Keeps the actions it gets, and spoils them afterwards."""

    def __init__(self, action_space):
        self.action_space, self.observation_space = action_space, spaces.Box(0, 1, (1,))
        self.actions = []

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.actions.append(copy.deepcopy(action))
        for part in Structure(self.action_space).flatten(action):
            if isinstance(part, np.ndarray):
                part[...] = 0
        return np.zeros(1, np.float32), 0.0, False, False, {}


ACTIONS = [
    spaces.Discrete(3),
    spaces.Discrete(3, start=-2),
    spaces.MultiDiscrete([3, 4]),
    spaces.MultiDiscrete([[3, 4], [2, 2]]),
    spaces.MultiBinary(3),
    spaces.MultiBinary((2, 2)),
    spaces.Box(-1, 1, (2,), np.float32),
    spaces.Box(-1, 1, (), np.float64),
    spaces.Box(0, 255, (2, 2), np.uint8),
    spaces.Dict(a=spaces.Discrete(3, start=5), b=spaces.Tuple((spaces.Box(-1, 1, ()), spaces.MultiBinary(2)))),
]


def seeds(start=0):
    return itertools.count(start).__next__


def batch(space, count, random_seed=0):
    """Env-ready batched leaves, and the same actions one by one."""
    space.seed(random_seed)
    samples, structure = [space.sample() for _ in range(count)], Structure(space)
    return [np.stack(parts) for parts in zip(*(structure.flatten(sample) for sample in samples))], samples
