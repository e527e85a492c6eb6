"""Algorithms for continuous actions on one task: train one with its shipped settings, measure it, serve it by NumPy.

python examples/continuous_control.py --algorithm td3
"""

import argparse
from typing import Any

import gymnasium

import kagent

ALGORITHMS: dict[str, Any] = {
    "sac": kagent.SAC,
    "td3": kagent.TD3,
    "tqc": kagent.TQC,
    "crossq": kagent.CrossQ,
    "ddpg": kagent.DDPG,
    "naf": kagent.NAF,
}
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--algorithm", choices=sorted(ALGORITHMS), default="sac", help="default: %(default)s")
parser.add_argument("--steps", type=int, default=10_000, help="timesteps to train (default: %(default)s)")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", default="pendulum.keras", help="where the agent is saved (default: %(default)s)")


def main() -> None:
    args = parser.parse_args()
    # What is shipped are arguments of the preset, and those of `fit`; where nothing is shipped, the preset's defaults.
    settings = kagent.tuned.load(args.algorithm, "Pendulum-v1") or {}
    settings.pop("fit", None)
    agent = ALGORITHMS[args.algorithm]("Pendulum-v1", **settings, seed=args.seed)
    agent.fit("Pendulum-v1", steps=args.steps)
    agent.save(args.out)

    result = agent.evaluate("Pendulum-v1", episodes=20)
    print(f"mean return of 20 episodes: {result['episode_return']:.1f} +- {result['episode_return_std']:.1f}")

    served = kagent.acting.load(args.out)  # NumPy alone: no TensorFlow, no Keras
    env = gymnasium.make("Pendulum-v1")
    (observation, _), over, total = env.reset(seed=args.seed), False, 0.0
    while not over:
        observation, reward, terminated, truncated, _ = env.step(served.act(observation))
        over, total = terminated or truncated, total + float(reward)
    print(f"return of one episode, served: {total:.1f}")


if __name__ == "__main__":
    main()
