"""A task that needs memory: a sign at the beginning of a corridor says which way to turn at its end.

    python examples/recurrent.py

The observation at the end is the same whatever the sign was, so that an agent which goes by it alone is right in half of the
episodes at best. An LSTM carries the sign along: its state is reset where an episode ends, and belongs to each environment.
"""

import argparse

import gymnasium
import numpy as np

import kagent

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=120_000, help="timesteps to train each (default: %(default)s)")


class TMaze(gymnasium.Env):
    """A corridor with a sign at its beginning and a junction at its end (Bakker 2001, "Reinforcement Learning with Long
    Short-Term Memory").

    Observation: the sign, -1 or 1 at the first timestep and 0 later, and whether this is the junction. Actions: forward, left,
    right. The reward is 1 for the turn that the sign showed. An episode is cut off after four times the corridor's length.

    Args:
        corridor: Steps from the sign to the junction.
    """

    def __init__(self, corridor=10):
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(3)
        self.corridor = corridor

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.timestep = 0
        self.sign = int(self.np_random.choice([-1, 1]))
        return np.array([self.sign, 0], np.float32), {}

    def step(self, action):
        self.timestep += 1
        turned, right = action > 0 and self.place == self.corridor, {1: -1, 2: 1}.get(int(action)) == self.sign
        self.place = min(self.place + (action == 0), self.corridor)
        observation = np.array([0, self.place == self.corridor], np.float32)
        return observation, float(turned and right), turned, self.timestep >= 4 * self.corridor, {}


def make(network, seed=0):
    """An agent for the maze."""
    return kagent.PPO(
        TMaze,
        network=network,
        critic="shared",
        n_envs=16,
        n_steps=64,
        batch_size=256,
        epochs=4,
        learning_rate={"type": "linear", "initial": 3e-3, "final": 0.0},
        entropy_coefficient=0.02,
        seed=seed,
    )


def main() -> None:
    args = parser.parse_args()
    for name, network in (("feed-forward", {"units": [32]}), ("recurrent", {"units": [32], "rnn": 32})):
        agent = make(network)
        agent.fit(TMaze, steps=args.steps)
        print(f"{name}: mean return of 100 episodes: {agent.evaluate(TMaze, episodes=100)['episode_return']:.2f}")


if __name__ == "__main__":
    main()
