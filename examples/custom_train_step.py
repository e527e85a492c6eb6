"""Your own learning rule: subclass an agent and override `train_step`, as with any Keras model.

Here: Q-learning towards a softened maximum (Asadi & Littman 2017, arXiv:1612.05628, eq. 2), in 20 lines.

    python examples/custom_train_step.py --steps 20000
"""

import argparse

import keras
import numpy as np
import tensorflow as tf

import kagent


@keras.saving.register_keras_serializable("examples")
class MellowDQN(kagent.DQN):
    """DQN whose target takes the mellowmax of the next values in place of their maximum."""

    omega = 10.0

    def train_step(self, batch):
        following = self.target_policy.values(batch["next_observation"])
        choices = float(following.shape[-1])
        best = (tf.reduce_logsumexp(self.omega * following, axis=-1) - np.log(choices)) / self.omega
        target = batch["reward"] + 0.99 * (1.0 - tf.cast(batch["terminated"], tf.float32)) * best
        with tf.GradientTape() as tape:
            values = self.policy.values(batch["observation"])
            taken = tf.gather(values, batch["action"], axis=1, batch_dims=1)
            loss = tf.reduce_mean(keras.losses.huber(target[:, None], taken[:, None]))
        variables = self.policy.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self.optimizer.apply(gradients, variables)
        return {"loss": loss, "q_mean": tf.reduce_mean(taken)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000, help="timesteps of training")
    options = parser.parse_args()
    agent = MellowDQN("CartPole-v1", learning_rate=1e-3, target_update_period=500, start=500, seed=0)
    agent.fit("CartPole-v1", steps=options.steps)
    print("return:", agent.evaluate("CartPole-v1", episodes=10)["episode_return"])
