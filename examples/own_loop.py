"""A program that owns its loop (a robot, a simulator, a service) and lets an agent act and learn in it.

    python examples/own_loop.py --steps 10000
"""

import argparse

import gymnasium

import kagent

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=10_000, help="timesteps of training")
options = parser.parse_args()

env = gymnasium.make("CartPole-v1")
agent = kagent.DQN(env, learning_rate=1e-3, target_update_period=500, start=500, exploration=0.1, seed=0)
observation, info = env.reset(seed=0)
episode_return, returns = 0.0, []
for _ in range(options.steps):
    action = agent.act(observation)
    observation, reward, terminated, truncated, info = env.step(action)
    logs = agent.observe(reward, terminated, truncated, observation)
    episode_return += reward
    if terminated or truncated:
        returns.append(episode_return)
        episode_return = 0.0
        observation, info = env.reset()
print(f"{agent.episodes} episodes, {agent.updates} updates, last returns {returns[-5:]}")
