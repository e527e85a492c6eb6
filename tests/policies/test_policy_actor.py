"""The actor computes what the policy computes, in NumPy where it can, and says which."""

import gymnasium
import keras
import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces
from keras import layers

import kagent

BOX = spaces.Box(-2, 2, (4,))
NESTED = spaces.Dict(
    position=spaces.Box(-3, 3, (2, 2)),
    kind=spaces.Tuple((spaces.Discrete(3, start=1), spaces.MultiBinary(2), spaces.MultiDiscrete([2, 4]))),
    count=spaces.Box(0, 200, (2,), np.uint8),
)
IMAGE = spaces.Box(0, 255, (12, 12, 3), np.uint8)
DISCRETE = spaces.Discrete(3, start=-1)
MIXED = spaces.Tuple((spaces.Discrete(3, start=2), spaces.Box(-1, 3, (2,)), spaces.MultiBinary(2)))
TORQUE = spaces.Box(np.array([-2, 0], np.float32), np.array([2, 5], np.float32))


@keras.saving.register_keras_serializable("actors_test")
class Doubled(layers.Layer):
    """A user's layer, unknown to NumPy."""

    def call(self, inputs):
        return 2 * keras.ops.reshape(inputs, (-1, 4))


def sequential():
    return keras.Sequential([layers.Dense(8, "tanh"), layers.LayerNormalization(), layers.Dense(5, "relu")])


def residual():
    x = keras.Input((4,))
    y = layers.Dense(4, "gelu")(x)
    return keras.Model(x, layers.Concatenate()([layers.Add()([x, y]), layers.Multiply()([x, y])]))


NUMPY = {
    "mlp": {"type": "mlp", "units": [16, 8]},
    "elu": {"type": "mlp", "units": [8], "activation": "elu"},
    "sequential": sequential,
    "residual": residual,
}


def preset(kind, observation, action, network, **arguments):
    made = network() if callable(network) else network
    cls = {"dqn": kagent.DQN, "ppo": kagent.PPO, "sac": kagent.SAC}[kind]
    agent = cls(observation_space=observation, action_space=action, network=made, seed=0, **arguments)
    generator = np.random.default_rng(0)
    for variable in agent.policy.variables:  # heads begin near 0, which would hide differences
        if variable.dtype == "float32":
            variable.assign(variable + 0.3 * generator.normal(size=variable.shape))
    agent.actor.refresh()
    return agent


def same(left, right, **tolerance):
    pairs = zip(tf.nest.flatten(left), tf.nest.flatten(right), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(np.asarray(one, np.float64), np.asarray(other, np.float64), **tolerance)


def check(agent, count=20):
    """act, agent(batch), predict and the policy's own heads agree on `count` observations."""
    space = agent.observation_space
    space.seed(1)
    observations = [space.sample() for _ in range(count)]
    batch = tf.nest.map_structure(lambda *parts: np.stack(parts), *observations)
    called = agent(batch)
    predicted = agent.predict(batch, verbose=0)
    for row, observation in enumerate(observations):
        action = agent.act(observation, deterministic=True)
        assert agent.action_space.contains(action)
        for batched in (called, predicted):
            same(tf.nest.map_structure(lambda x: np.asarray(x)[row], batched), action, atol=1e-4)  # noqa: B023
    leaves = [leaf.encode(part) for leaf, part in zip(agent._observation.leaves, agent._observation.flatten(batch))]
    heads = agent.actor.forward(leaves)
    result = agent.policy.model(leaves)
    same(heads, result if isinstance(result, list | tuple) else [result], rtol=1e-5, atol=1e-5)


@pytest.mark.sensitive
@pytest.mark.parametrize(
    ("kind", "action", "name"),
    [("dqn", DISCRETE, "mlp"), ("ppo", MIXED, "elu"), ("sac", TORQUE, "sequential"), ("dqn", DISCRETE, "residual")],
    ids=["mlp", "elu", "sequential", "residual"],
)
def test_numpy_and_keras_agree(kind, action, name):
    agent = preset(kind, BOX, action, NUMPY[name])
    assert agent.actor.is_numpy
    check(agent)


@pytest.mark.sensitive
@pytest.mark.parametrize(
    ("kind", "action"), [("dqn", DISCRETE), ("ppo", MIXED), ("sac", TORQUE)], ids=["dqn", "ppo", "sac"]
)
def test_nested_observations_agree(kind, action):
    agent = preset(kind, NESTED, action, {"type": "mlp", "units": [16]})
    assert agent.actor.is_numpy
    check(agent)


def test_convolutions_act_through_tensorflow():
    small = {"type": "cnn", "filters": [4], "kernels": [3], "strides": [2], "units": [8]}
    agent = preset("ppo", IMAGE, MIXED, small)
    assert not agent.actor.is_numpy and "tf.function" in repr(agent.actor)
    check(agent, 4)


def test_a_users_layer_acts_through_tensorflow_and_sees_new_weights():
    network = lambda: keras.Sequential([Doubled(), layers.Dense(6)])  # noqa: E731
    agent = preset("dqn", BOX, DISCRETE, network, start=8, batch_size=8, memory=100, learning_rate=0.05)
    assert not agent.actor.is_numpy and "tf.function" in repr(agent.actor)
    agent.compile(jit_compile=False)
    before = agent.actor.forward([np.ones((1, 4), np.float32)])[0].copy()
    agent.fit(lambda: Steps(), steps=32, verbose=0)
    assert agent.updates > 0
    assert not np.allclose(before, agent.actor.forward([np.ones((1, 4), np.float32)])[0])
    check(agent, 4)


@pytest.mark.thorough
def test_training_hands_its_weights_to_the_actor():
    for jit in (False, True):
        agent = preset("dqn", BOX, DISCRETE, {"type": "mlp", "units": [8]}, start=8, batch_size=8, memory=100)
        agent.compile(jit_compile=jit)
        before = agent.actor.program.weights.copy()
        agent.fit(lambda: Steps(), steps=32, verbose=0)
        assert not np.array_equal(before, agent.actor.program.weights)
        check(agent, 4)


def test_the_actor_follows_weights_set_by_hand():
    agent = preset("ppo", BOX, DISCRETE, {"type": "mlp", "units": [8]})
    agent.set_weights([np.zeros_like(w) for w in agent.get_weights()])
    check(agent, 4)
    assert not np.any(agent.actor.program.weights)


@pytest.mark.sensitive
def test_a_sample_follows_the_policys_probabilities():
    agent = preset("ppo", BOX, DISCRETE, {"type": "mlp", "units": [8]})
    observation = np.ones(4, np.float32)
    logits = agent.policy.parameters_of([observation[None]])[0].numpy()[0]
    probability = np.exp(logits) / np.exp(logits).sum()
    drawn = np.array([agent.act(observation, independent=True) for _ in range(4000)]) + 1
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 4000, probability, atol=0.05)  # six deviations


class Steps(gymnasium.Env):
    """Random observations, short episodes."""

    observation_space, action_space = BOX, DISCRETE

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self.np_random.uniform(-1, 1, 4).astype(np.float32), {}

    def step(self, action):
        self.time += 1
        return self.np_random.uniform(-1, 1, 4).astype(np.float32), float(action), self.time >= 5, False, {}


def test_an_actor_that_is_saved_before_it_acts_has_the_agents_weights(tmp_path):
    agent, other = (
        kagent.DQN("CartPole-v1", memory=100, network={"type": "mlp", "units": [4]}, seed=seed) for seed in (0, 1)
    )
    other.set_weights(agent.get_weights())
    for name, one in (("a", agent), ("b", other)):
        one.actor.save(tmp_path / name)
    agent.policy.trainable_variables[0].assign_add(np.ones((4, 4), np.float32))  # by hand, without a word to the actor
    agent.actor.save(tmp_path / "c")
    a, b, c = (kagent.acting.load(tmp_path / name).program.weights for name in "abc")
    assert np.array_equal(a, b) and np.abs(a).max() > 0.1 and np.isclose((c - a).sum(), 16.0)
