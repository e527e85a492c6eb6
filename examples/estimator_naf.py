"""Q-learning of continuous actions by normalized advantage functions, given by a model function, on Pendulum.

python examples/estimator_naf.py
"""

import argparse

from kagent.estimators import Agent, RunConfig, explorations, memories, models
from kagent.estimators.environments import GymEnvironment

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=20_000, help="updates to train (default: %(default)s)")
parser.add_argument("--model-dir", help="where checkpoints and summaries go, and where training goes on from")


def model_fn(features, labels, mode):
    model = models.NAF(
        num_actions=1,
        graph_fn=models.mlp([128, 128]),
        action_bound=2.0,
        discount=0.98,
        learning_rate=1e-3,
        clip_gradients=10.0,
        target_update_frequency=100,
        exploration=explorations.ornstein_uhlenbeck(num_actions=1, sigma=0.3),
    )
    return model(features, labels, mode)


def main() -> None:
    args = parser.parse_args()
    env = GymEnvironment("Pendulum-v1")
    agent = Agent(model_fn, memory=memories.Memory(size=50_000, batch_size=64), model_dir=args.model_dir,
                  config=RunConfig(seed=0))  # fmt: skip
    agent.train(env, first_update=1_000, update_frequency=1, steps=args.steps)
    print(f"{agent.global_step} updates, {agent.global_timestep} timesteps, {agent.global_episode} episodes")
    print(f"mean return of 100 episodes: {agent.evaluate(env, episodes=100)['episode_return']:.1f}")


if __name__ == "__main__":
    main()
