"""Q-learning of continuous actions by normalized advantage functions, given by a model function, on Pendulum.

python examples/estimator_naf.py
"""

import argparse

import gymnasium

from kagent.estimators import Agent, GymEnvironment, Memory, RunConfig, explorations, models

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=10_000, help="updates to train (default: %(default)s)")
parser.add_argument("--episodes", type=int, default=100, help="greedy episodes at the end (default: %(default)s)")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--model-dir", help="where checkpoints and summaries go, and where training goes on from")


def model_fn(features, labels, mode):
    model = models.NAF(
        num_actions=1,
        graph_fn=models.mlp([64, 64]),
        action_bound=2.0,
        shared_torso=False,
        discount=0.98,
        clip_gradients=10.0,
        target_update_frequency=100,
        exploration=explorations.ornstein_uhlenbeck(num_actions=1, sigma=0.3),
    )
    return model(features, labels, mode)


def main() -> None:
    args = parser.parse_args()
    env = GymEnvironment("Pendulum-v1")
    # Rewards of -16 a timestep add up to values that a network takes long to reach.
    scaled = gymnasium.wrappers.TransformReward(env, lambda reward: reward / 10)
    memory = Memory(size=50_000, batch_size=64)
    agent = Agent(model_fn, memory, model_dir=args.model_dir, config=RunConfig(seed=args.seed))
    agent.train(scaled, first_update=1_000, update_frequency=1, steps=args.steps)
    print(f"{agent.global_step} updates, {agent.global_timestep} timesteps, {agent.global_episode} episodes")
    result = agent.evaluate(env, episodes=args.episodes)
    print(f"mean return of {args.episodes} episodes: {result['episode_return']:.1f}")


if __name__ == "__main__":
    main()
