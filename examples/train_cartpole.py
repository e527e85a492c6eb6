"""Train, measure, save and load an agent: the whole of kagent in ten lines.

python examples/train_cartpole.py
"""

import argparse

import kagent

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=100_000, help="timesteps to train (default: %(default)s)")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", default="cartpole.keras", help="where the agent is saved (default: %(default)s)")


def main() -> None:
    args = parser.parse_args()
    agent = kagent.PPO(
        "CartPole-v1",
        n_envs=8,
        n_steps=32,
        batch_size=256,
        epochs=20,
        learning_rate=kagent.schedules.Linear(1e-3, 0.0),
        clip_range=kagent.schedules.Linear(0.2, 0.0),
        gae_lambda=0.95,
        discount=0.99,
        seed=args.seed,
    )
    agent.summary()
    agent.fit("CartPole-v1", steps=args.steps)
    agent.save(args.out)

    loaded = kagent.load(args.out)
    result = loaded.evaluate("CartPole-v1", episodes=20)
    print(f"mean return of 20 episodes: {result['episode_return']:.1f} +- {result['episode_return_std']:.1f}")


if __name__ == "__main__":
    main()
