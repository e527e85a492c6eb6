"""Train, look, evaluate, save, serve: the whole life of an agent in a screen.

    python examples/train_cartpole.py --steps 50000
"""

import argparse

import kagent

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=50_000, help="timesteps of training")
parser.add_argument("--out", default="cartpole.keras", help="where the agent goes")
options = parser.parse_args()

agent = kagent.PPO("CartPole-v1", n_envs=8, n_steps=32, batch_size=256, learning_rate=1e-3, discount=0.98, seed=0)
agent.summary()
agent.fit("CartPole-v1", steps=options.steps)
print("return:", agent.evaluate("CartPole-v1", episodes=20)["episode_return"])
agent.save(options.out)

actor = kagent.acting.load(options.out)  # NumPy alone: this line works where TensorFlow is not installed
print("action:", actor.act([0.0, 0.0, 0.1, 0.0]))
