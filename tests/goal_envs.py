"""Goal environments whose right answers are known: that of the example, a walk on a line, and a point that reaches places."""

from __future__ import annotations

import importlib.util
import pathlib
import sys

import gymnasium
import numpy as np
from gymnasium import spaces

_PATH = pathlib.Path(__file__).parent.parent / "examples" / "goals.py"
_SPEC = importlib.util.spec_from_file_location("goals_example", _PATH)
example = importlib.util.module_from_spec(_SPEC)
sys.modules["goals_example"] = example
_SPEC.loader.exec_module(example)
BitFlipping = example.BitFlipping


class Walk(gymnasium.Env):
    """Walks on a line: action 0 stays, 1 goes one place on. Episode e begins at `100 * e` and has `lengths[e]` steps.

    The observation is the place, so that a transition of one episode is never taken for that of another. The reward is minus the
    distance to the goal, 3 places from the beginning, where the episode terminates.

    Args:
        lengths: Steps at which episodes are truncated, in turn.
        pays: What rewards are multiplied by, as by a wrapper.
    """

    def __init__(self, lengths=(5, 2, 4), pays=1.0):
        line = spaces.Box(0, 1e6, (1,), np.float32)
        self.observation_space = spaces.Dict(observation=line, achieved_goal=line, desired_goal=line)
        self.action_space = spaces.Discrete(2)
        self.lengths, self.pays, self.episode, self.calls = lengths, pays, -1, []

    def compute_reward(self, achieved_goal, desired_goal, info):
        self.calls.append(np.shape(achieved_goal))
        return -np.abs(achieved_goal - desired_goal).sum(-1)

    def compute_terminated(self, achieved_goal, desired_goal, info):
        return (achieved_goal == desired_goal).all(-1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode += 1
        self.place = 100.0 * self.episode
        self.goal, self.time = self.place + 3, 0
        return self._observe(), {}

    def step(self, action):
        self.place += int(action)
        self.time += 1
        over = self.time >= self.lengths[self.episode % len(self.lengths)]
        return self._observe(), -self.pays * abs(self.place - self.goal), self.place == self.goal, over, {}

    def _observe(self):
        here, goal = np.float32([self.place]), np.float32([self.goal])
        return {"observation": here, "achieved_goal": here.copy(), "desired_goal": goal}


class Reach(gymnasium.Env):
    """A point in a square goes up to 0.2 per step along each axis, and has to be within 0.1 of a goal.

    Every step costs 1 until it is there. An episode has 25 steps; it goes on at the goal.
    """

    def __init__(self):
        place = spaces.Box(-1, 1, (2,), np.float32)
        self.observation_space = spaces.Dict(observation=place, achieved_goal=place, desired_goal=place)
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)

    def compute_reward(self, achieved_goal, desired_goal, info):
        return -(np.linalg.norm(achieved_goal - desired_goal, axis=-1) > 0.1).astype(np.float64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.goal = self.np_random.uniform(-1, 1, (2, 2)).astype(np.float32)
        self.time = 0
        return self._observe(), {}

    def step(self, action):
        self.place = np.clip(self.place + 0.2 * np.clip(action, -1, 1), -1, 1).astype(np.float32)
        self.time += 1
        return self._observe(), float(self.compute_reward(self.place, self.goal, {})), False, self.time >= 25, {}

    def _observe(self):
        return {"observation": self.place.copy(), "achieved_goal": self.place.copy(), "desired_goal": self.goal.copy()}
