"""Your own network: any Keras model or layer from observation to features; kagent adds the heads.

    python examples/own_network.py --steps 20000
"""

import argparse

import keras

import kagent

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=20_000, help="timesteps of training")
options = parser.parse_args()

inputs = keras.Input((4,))
x = keras.layers.Dense(64, activation="relu")(inputs)
x = keras.layers.LayerNormalization()(x)
skip = keras.layers.Dense(64, activation="relu")(x)
network = keras.Model(inputs, keras.layers.Add()([x, skip]))

agent = kagent.PPO("CartPole-v1", network=network, n_envs=4, n_steps=128, learning_rate=1e-3, seed=0)
agent.compile(optimizer=keras.optimizers.AdamW(1e-3, global_clipnorm=0.5))
agent.fit("CartPole-v1", steps=options.steps)
print("acts in NumPy:", agent.actor.is_numpy)
print("return:", agent.evaluate("CartPole-v1", episodes=10)["episode_return"])
