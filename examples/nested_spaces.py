"""Observations and actions of several parts, mixed and nested; no wrapper flattens them.

python examples/nested_spaces.py
"""

import argparse

import gymnasium
import numpy as np
from gymnasium import spaces

import kagent

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=60_000, help="timesteps to train (default: %(default)s)")


class Workshop(gymnasium.Env):
    """Move a hand to the part on the bench and use the tool that fits it.

    The action is a pair: which tool, and how far to move. The right tool pays 1, every unit of distance costs 1, so
    that the best return of an episode is just under its 20 steps.
    """

    def __init__(self):
        self.observation_space = spaces.Dict(
            part=spaces.Discrete(3),
            place=spaces.Box(-1.0, 1.0, (2,)),
            hand=spaces.Box(-1.0, 1.0, (2,)),
        )
        self.action_space = spaces.Tuple((spaces.Discrete(3), spaces.Box(-0.5, 0.5, (2,))))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.hand = 0, np.zeros(2, np.float32)
        self._lay_out()
        return self._observation(), {}

    def step(self, action):
        tool, move = action
        self.hand = np.clip(self.hand + move, -1.0, 1.0).astype(np.float32)
        distance = float(np.linalg.norm(self.hand - self.place))
        reward = float(tool == self.part) - distance
        self.time += 1
        if self.time % 5 == 0:
            self._lay_out()
        return self._observation(), reward, False, self.time == 20, {}

    def _lay_out(self):
        self.part = int(self.np_random.integers(3))
        self.place = self.np_random.uniform(-0.8, 0.8, 2).astype(np.float32)

    def _observation(self):
        return {"part": self.part, "place": self.place, "hand": self.hand}


def main() -> None:
    args = parser.parse_args()
    agent = kagent.PPO(Workshop, n_envs=8, n_steps=64, batch_size=128, learning_rate=1e-3, discount=0.9, seed=0)
    before = agent.evaluate(Workshop, episodes=20)["episode_return"]
    agent.fit(Workshop, steps=args.steps)
    after = agent.evaluate(Workshop, episodes=20)["episode_return"]
    print(f"mean return of 20 episodes: {before:.1f} untrained, {after:.1f} trained")
    observation, _ = Workshop().reset(seed=1)
    print(f"{observation} -> {agent.act(observation, deterministic=True)}")


if __name__ == "__main__":
    main()
