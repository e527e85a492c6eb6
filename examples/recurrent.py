"""A task that needs memory: a sign at the beginning of a corridor says which way to turn at its end.

    python examples/recurrent.py

The observation at the end is the same whatever the sign was, so that an agent which goes by it alone is right in half of the
episodes at best. An LSTM carries the sign along: its state is reset where an episode ends, and belongs to each environment.
"""

import argparse

import kagent
from kagent.environments.partial import TMaze

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=120_000, help="timesteps to train each (default: %(default)s)")


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
