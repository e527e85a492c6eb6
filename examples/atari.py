"""An Atari game from its pixels, with the settings that are shipped for all games.

pip install 'kagent[atari]'
python examples/atari.py --game ALE/Pong-v5 --steps 1000000
"""

import argparse

import kagent

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--game", default="ALE/Pong-v5", help="an id of ale-py (default: %(default)s)")
parser.add_argument("--steps", type=int, default=1_000_000, help="timesteps to train (default: %(default)s)")
parser.add_argument("--episodes", type=int, default=5, help="greedy episodes at the end (default: %(default)s)")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", default="atari.keras", help="where the agent is saved (default: %(default)s)")


def main() -> None:
    args = parser.parse_args()
    settings = kagent.tuned.load("dqn", args.game) or {}
    settings.pop("fit", None)
    # A memory holds no more than the run makes, and learning begins after a tenth of it at the latest.
    settings["memory"] = min(settings["memory"], args.steps)
    settings["start"] = min(settings["start"], args.steps // 10)

    # Four grey frames of 84 x 84 pixels each; the memory keeps every frame once. The agent learns from the signs of rewards
    # and shows the game's own.
    agent = kagent.DQN(args.game, **settings, seed=args.seed)
    agent.fit(args.game, steps=args.steps)
    agent.save(args.out)
    result = agent.evaluate(args.game, episodes=args.episodes)
    print(f"mean return of {args.episodes} episodes: {result['episode_return']:.1f}")


if __name__ == "__main__":
    main()
