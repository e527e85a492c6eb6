"""Kill it whenever you like and start it again: it ends where the uninterrupted run would have ended.

    python examples/resume.py --steps 50000 --folder backup
"""

import argparse

import keras

import kagent

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=50_000, help="timesteps of the whole run")
parser.add_argument("--folder", default="backup", help="where the state of training is kept")
options = parser.parse_args()

agent = kagent.DQN("CartPole-v1", learning_rate=1e-3, memory=50_000, target_update_period=500, start=500, seed=0)
agent.fit("CartPole-v1", steps=options.steps, callbacks=[keras.callbacks.BackupAndRestore(options.folder)])
total = sum(float(abs(weight).sum()) for weight in agent.get_weights())
print(f"{agent.timesteps} timesteps, {agent.updates} updates, sum of weights {total:.9g}")
