"""A Keras model of your own as the network of an agent.

It maps a batch of observations to features; kagent puts the heads on top, and makes a second one for the critic.

    python examples/own_network.py
"""

import argparse

import keras

import kagent

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=50_000, help="timesteps to train (default: %(default)s)")


def residual_network(width: int = 64, blocks: int = 2) -> keras.Model:
    inputs = keras.Input((4,))
    x = keras.layers.Dense(width)(inputs)
    for _ in range(blocks):
        y = keras.layers.LayerNormalization()(x)
        y = keras.layers.Dense(width, activation="gelu")(y)
        x = keras.layers.Add()([x, keras.layers.Dense(width)(y)])
    return keras.Model(inputs, keras.layers.LayerNormalization()(x))


def main() -> None:
    args = parser.parse_args()
    keras.utils.set_random_seed(0)  # a model of your own has weights of your own: kagent seeds only what it makes
    agent = kagent.PPO("CartPole-v1", network=residual_network(), n_envs=8, n_steps=64, batch_size=128, seed=0)
    agent.policy.model.summary()
    print(f"acts by: {agent.actor}")
    agent.fit("CartPole-v1", steps=args.steps)
    print(f"mean return of 10 episodes: {agent.evaluate('CartPole-v1')['episode_return']:.1f}")


if __name__ == "__main__":
    main()
