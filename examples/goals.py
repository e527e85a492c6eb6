"""Hindsight: learn to reach goals from episodes that missed them.

Every step of the environment costs 1 until all bits are as the goal has them, which chance never meets with many bits. With
`kagent.memories.Hindsight` most transitions are learned from as if the goal had been a state that came later in their episode.

    python examples/goals.py             # 20,000 steps, about half a minute
    python examples/goals.py --plain     # the same without hindsight: nothing is learned

Needs nothing but kagent.
"""

import argparse

import gymnasium
import numpy as np
from gymnasium import spaces

import kagent


class BitFlipping(gymnasium.Env):
    """Flip one bit per step until all are as the goal has them (Andrychowicz et al. 2017, arXiv:1707.01495, section 3.1).

    Args:
        bits: How many bits there are, and how many steps an episode has at most.
    """

    def __init__(self, bits: int = 10):
        self.bits = bits
        word = spaces.Box(0, 1, (bits,), np.int8)
        self.observation_space = spaces.Dict(observation=word, achieved_goal=word, desired_goal=word)
        self.action_space = spaces.Discrete(bits)

    def compute_reward(self, achieved_goal, desired_goal, info):
        """The reward of states `(..., bits)` for goals of that shape: Hindsight calls it for goals of its own."""
        return -np.any(achieved_goal != desired_goal, axis=-1).astype(np.float64)

    def compute_terminated(self, achieved_goal, desired_goal, info):
        """Whether the episode ends in these states."""
        return np.all(achieved_goal == desired_goal, axis=-1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state, self.goal = self.np_random.integers(0, 2, (2, self.bits), np.int8)
        self.time = 0
        return self._observe(), {}

    def step(self, action):
        self.state[action] ^= 1
        self.time += 1
        reward = float(self.compute_reward(self.state, self.goal, {}))
        return self._observe(), reward, bool(reward == 0), self.time >= self.bits, {}

    def _observe(self):
        return {"observation": self.state.copy(), "achieved_goal": self.state.copy(), "desired_goal": self.goal.copy()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--bits", type=int, default=10)
    parser.add_argument("--plain", action="store_true", help="without hindsight")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    def make():
        return BitFlipping(options.bits)

    memory = kagent.memories.Hindsight(100_000, strategy="future", n_sampled_goals=0 if options.plain else 4)
    agent = kagent.DQN(
        make,
        memory=memory,
        network={"type": "mlp", "units": [256]},
        learning_rate=1e-3,
        discount=0.98,
        batch_size=128,
        start=500,
        frequency=2,
        horizon=0,
        target_update_period=500,
        exploration={"type": "EpsilonGreedy", "fraction": 0.5, "final": 0.05},
        seed=options.seed,
    )
    agent.fit(make, steps=options.steps)
    results = agent.evaluate(make, episodes=100)
    reached = np.mean(np.asarray(results["episode_returns"]) > -options.bits)
    print(f"mean return of 100 episodes: {results['episode_return']:.2f}; the goal was reached in {reached:.0%}")


if __name__ == "__main__":
    main()
