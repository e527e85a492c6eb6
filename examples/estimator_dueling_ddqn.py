"""Polyaxon's quick start for Keras 3: a dueling double Q-network, given by a model function, that learns CartPole.

python examples/estimator_dueling_ddqn.py
"""

import argparse

import keras

from kagent import schedules
from kagent.estimators import Agent, GymEnvironment, Memory, RunConfig, explorations, models

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=30_000, help="updates to train (default: %(default)s)")
parser.add_argument("--episodes", type=int, default=100, help="greedy episodes at the end (default: %(default)s)")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--model-dir", help="where checkpoints and summaries go, and where training goes on from")


class StopWhenSolved(keras.callbacks.Callback):
    """Looks every so many episodes (for these hooks, epochs) how the best actions do, and stops where they do."""

    def __init__(self, agent):
        super().__init__()
        self.agent = agent

    def on_epoch_end(self, epoch, logs=None):
        if epoch % 10 == 9 and logs["episode_return"] > 200:
            found = self.agent.evaluate("CartPole-v1", episodes=30)
            self.model.stop_training = found["episode_return"] >= 495


def model_fn(features, labels, mode, params):
    model = models.DDQN(
        num_actions=2,
        graph_fn=models.mlp([128, 128]),
        dueling="mean",
        discount=0.99,
        loss="mean_squared_error",  # values are up to 100: Huber's loss would let the few falls be outvoted
        learning_rate=schedules.Linear(1e-3, 1e-5, steps=params["steps"], unit="updates"),
        clip_gradients=10.0,
        target_update_frequency=50,
        exploration=explorations.decay(1.0, decay_steps=8_000, min_exploration_rate=0.1),
    )
    return model(features, labels, mode)


def main() -> None:
    args = parser.parse_args()
    env = GymEnvironment("CartPole-v1")
    agent = Agent(
        model_fn,
        memory=Memory(size=100_000, batch_size=128),
        model_dir=args.model_dir,
        config=RunConfig(seed=args.seed),
        params={"steps": args.steps},
    )
    agent.train(env, first_update=1_000, update_frequency=2, steps=args.steps, hooks=[StopWhenSolved(agent)])
    print(f"{agent.global_step} updates, {agent.global_timestep} timesteps, {agent.global_episode} episodes")
    result = agent.evaluate(env, episodes=args.episodes)
    print(f"mean return of {args.episodes} episodes: {result['episode_return']:.1f}")


if __name__ == "__main__":
    main()
