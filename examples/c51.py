"""Add an algorithm: C51, which learns the distribution of returns and not their mean alone. (kagent has it: `kagent.C51`.)

Categorical DQN (Bellemare et al. 2017, arXiv:1707.06887, algorithm 1): a policy with `atoms` logits for each action, an
objective, and a preset that puts them together. Collecting, replaying, targets, compiling and saving are kagent's.

    python examples/c51.py
"""

import argparse
import dataclasses

import gymnasium
import keras
import numpy as np
import tensorflow as tf

import kagent
from kagent import distributions, networks, objectives, ops, policies

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=30_000, help="timesteps to train (default: %(default)s)")
parser.add_argument("--out", default="c51.keras", help="where the agent is saved (default: %(default)s)")


def project(returns, probabilities, low, high):
    """Probabilities of any returns as probabilities of evenly spaced atoms: each is shared by the two atoms around it.

    Args:
        returns, probabilities: float32 `(B, atoms)`; returns beyond `low` and `high` count as these.
        low, high: The first and the last atom.

    Returns:
        float32 `(B, atoms)`, of the same sums.
    """
    atoms = returns.shape[-1]
    place = (tf.clip_by_value(returns, low, high) - low) / (high - low) * (atoms - 1)
    share = tf.maximum(1.0 - tf.abs(place[:, :, None] - tf.range(atoms, dtype=tf.float32)), 0.0)
    return tf.einsum("bi,bij->bj", probabilities, share)


@policies.ROLES.register()
class CategoricalValuePolicy(policies.ValuePolicy):
    """Acts by the mean of each action's distribution of returns, over atoms from `low` to `high`."""

    def __init__(self, network="auto", atoms=51, low=0.0, high=100.0, **arguments):
        super().__init__(network, **arguments)
        self.atoms, self.low, self.high = atoms, float(low), float(high)

    def get_part(self):
        network = networks.serialize(self.network)
        return {
            "type": type(self).__name__,
            "network": network,
            "atoms": self.atoms,
            "low": self.low,
            "high": self.high,
        }

    def make(self, observation, action, seeds, skip):
        if not isinstance(action.space, gymnasium.spaces.Discrete):
            raise ValueError(f"C51 needs a Discrete action space. Received: {action.space}")
        (leaf,) = action.leaves
        self.joint = distributions.Joint([distributions.for_leaf(leaf)])
        self.nvec = [[leaf.num_values]]
        support = keras.initializers.Constant(np.linspace(self.low, self.high, self.atoms)[:, None])

        def heads(features):  # of layers that the NumPy actor knows
            logits = networks.dense(features, leaf.num_values * self.atoms, None, "logits", "fan_in", 1.0, seeds)
            x = keras.layers.Softmax()(keras.layers.Reshape((leaf.num_values, self.atoms))(logits))
            mean = keras.layers.Dense(1, use_bias=False, kernel_initializer=support, trainable=False, name="support")
            return [keras.layers.Reshape((leaf.num_values,))(mean(x))]

        self.model = networks.functional(self.network, observation, heads, seeds, self.name, skip)
        self.logits_model = keras.Model(self.model.inputs, self.model.get_layer("logits").output)

    def logits(self, observation, training=False):
        """Logits of the atoms, `(B, actions, atoms)`."""
        found = self.logits_model(self.leaves(observation), training=training)
        return tf.reshape(tf.cast(found, tf.float32), (-1, self.nvec[0][0], self.atoms))


@objectives.OBJECTIVES.register()
@dataclasses.dataclass(frozen=True)
class CategoricalObjective(objectives.TransitionObjective):
    """Cross-entropy between the projected distribution of `reward + discount * return` and the taken action's."""

    policies = ("CategoricalValuePolicy",)
    targets = ("policy",)

    def check(self, agent):
        agent.reward_estimation.check_transitions(type(self).__name__, agent.memory)

    def terms(self, context, batch):
        policy = context.policy
        support = tf.linspace(policy.low, policy.high, policy.atoms)
        following = tf.nn.softmax(context.target_policy.logits(batch["next_observation"]))
        best = tf.argmax(tf.linalg.matvec(following, support), axis=-1)
        returns = batch["reward"][:, None] + batch["discount"][:, None] * support
        target = project(returns, tf.gather(following, best, batch_dims=1), policy.low, policy.high)

        def errors(batch, training=False):
            logits = tf.gather(policy.logits(batch["observation"], training), batch["action"], batch_dims=1)
            return tf.nn.softmax_cross_entropy_with_logits(batch["target"], logits)

        def loss(batch):
            return ops.weighted_mean(errors(batch, training=True), batch["weight"]), {}

        return [objectives.Term("policy", loss, {**batch, "target": target}, errors=errors)]


@kagent.register_agent("own_c51", summary="the distribution of returns; one Discrete action")
class OwnC51(kagent.DQN):
    """Categorical DQN. Arguments beside those of its distribution are DQN's."""

    def __init__(self, env=None, *, network="auto", atoms=51, low=0.0, high=100.0, **arguments):
        own = {"policy": CategoricalValuePolicy(network, atoms, low, high), "objective": CategoricalObjective()}
        super().__init__(env, **{**own, **arguments})  # a loaded agent is given all its parts


def main() -> None:
    args = parser.parse_args()
    agent = kagent.Agent.create("own_c51", "CartPole-v1", learning_rate=1e-3, target_update_period=500, seed=0)
    agent.fit("CartPole-v1", steps=args.steps)
    agent.save(args.out)
    actor = kagent.acting.load(args.out)  # NumPy alone: a server needs neither TensorFlow nor this file
    observation = np.asarray([0.1, 0.2, -0.1, 0.0], np.float32)
    print(f"of {actor}: {actor.act(observation)}, of the agent: {agent.act(observation, deterministic=True)}")
    result = kagent.load(args.out).evaluate("CartPole-v1")
    print(f"mean return of 10 episodes: {result['episode_return']:.1f}")


if __name__ == "__main__":
    main()
