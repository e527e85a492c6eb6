"""Nested observations, a mixed action, and a mask: one environment with all of them, learned by PPO.

    python examples/nested_spaces.py --steps 20000
"""

import argparse

import gymnasium
import numpy as np
from gymnasium import spaces

import kagent


class Warehouse(gymnasium.Env):
    """Send the parcel to its own gate, if it is open, with a push as hard as its weight."""

    def __init__(self):
        self.observation_space = spaces.Dict(
            parcel=spaces.Dict(gate=spaces.Discrete(3), weight=spaces.Box(0, 1, (1,))), open=spaces.MultiBinary(3)
        )
        self.action_space = spaces.Tuple((spaces.Discrete(3), spaces.Box(0, 1, (1,))))

    def _observe(self):
        self.open = np.ones(3, np.int8)
        self.open[self.np_random.integers(3)] = 0
        self.gate = int(self.np_random.choice(np.flatnonzero(self.open)))
        self.weight = self.np_random.random(1, dtype=np.float32)
        observation = {"parcel": {"gate": self.gate, "weight": self.weight}, "open": self.open}
        return observation, {"action_mask": (self.open, None)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.parcels = 0
        return self._observe()

    def step(self, action):
        gate, push = action
        assert self.open[gate], "the mask forbids closed gates"
        reward = float(gate == self.gate) + 1.0 - abs(float(push[0]) - float(self.weight[0]))
        self.parcels += 1
        observation, info = self._observe()
        return observation, reward, False, self.parcels == 20, info


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=20_000, help="timesteps of training")
options = parser.parse_args()

agent = kagent.PPO(Warehouse, n_envs=4, n_steps=128, learning_rate=1e-3, discount=0.0, seed=0)
agent.fit(Warehouse, steps=options.steps)
print("return of 40 at best:", agent.evaluate(Warehouse, episodes=10)["episode_return"])
