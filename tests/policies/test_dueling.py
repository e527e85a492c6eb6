"""Action values from a state value and advantages: the layer, the actor's form of it, the policy and its presets."""

import itertools

import gymnasium
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import thorough

import kagent
from kagent.acting import Program
from kagent.networks.layers import Dueling
from kagent.policies.value import ValuePolicy

SPACES = gymnasium.spaces
OBSERVATION = SPACES.Box(-1.0, 1.0, (3,))
NESTED = SPACES.Dict(a=SPACES.Discrete(4), b=SPACES.MultiDiscrete([2, 3]), c=SPACES.MultiBinary(2))


def test_numbers_by_hand():
    layer = Dueling([3])
    found = layer([tf.constant([[10.0]]), tf.constant([[1.0, 2.0, 6.0]])])
    np.testing.assert_array_equal(found, [[8.0, 9.0, 13.0]])  # 10 + (1, 2, 6) - 3
    found = Dueling([2, 1])([tf.constant([[10.0], [0.0]]), tf.constant([[1.0, 2.0, 6.0], [0.0, 4.0, 5.0]])])
    np.testing.assert_array_equal(found, [[9.5, 10.5, 10.0], [-2.0, 2.0, 0.0]])


@pytest.mark.parametrize("aggregator, expected", [("max", [5.0, 6.0, 10.0]), ("naive", [11.0, 12.0, 16.0])])
def test_other_aggregators_by_hand(aggregator, expected):
    layer = Dueling.from_config(Dueling([3], aggregator).get_config())
    found = layer([tf.constant([[10.0]]), tf.constant([[1.0, 2.0, 6.0]])])
    np.testing.assert_array_equal(found, [expected])


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4), st.sampled_from([1, 3]), st.integers(0, 1000),
    st.sampled_from(["mean", "max", "naive"]),
)  # fmt: skip
def test_the_program_computes_what_the_layer_does(nvec, count, seed, aggregator):
    rng = np.random.default_rng(seed)
    value, advantage = (rng.normal(size=(count, width)).astype(np.float32) for width in (1, sum(nvec)))
    config = {
        "inputs": [{"shape": [1], "dtype": "float32"}, {"shape": [sum(nvec)], "dtype": "float32"}], "weights": [],
        "nodes": [{"op": "dueling", "inputs": [0, 1], "nvec": nvec}], "outputs": [2],
    }  # fmt: skip
    config["nodes"][0] |= {} if aggregator == "mean" else {"aggregator": aggregator}
    program, layer = Program(config), Dueling(nvec, aggregator)
    for _ in range(2):  # nothing is left over from the last call
        np.testing.assert_allclose(program([value, advantage])[0], layer([value, advantage]), atol=1e-5)
        value = value + 1.0


@pytest.mark.parametrize(
    "node",
    [
        {},
        {"nvec": []},
        {"nvec": [2]},
        {"nvec": [3, 0]},
        {"nvec": [2.0, 1.0]},
        {"nvec": [4, -1]},
        {"nvec": [3], "aggregator": "foo"},
    ],
)
def test_programs_that_do_not_fit(node):
    config = {
        "inputs": [{"shape": [1], "dtype": "float32"}, {"shape": [3], "dtype": "float32"}], "weights": [],
        "nodes": [{"op": "dueling", "inputs": [0, 1], **node}], "outputs": [2],
    }  # fmt: skip
    with pytest.raises(ValueError, match="dueling"):
        Program(config)


def agent(space, **policy):
    policy = {"type": "value", "dueling": True, **policy}
    return kagent.DQN(observation_space=OBSERVATION, action_space=space, policy=policy, seed=0)


@pytest.mark.parametrize("units", [[], [8]])
@pytest.mark.parametrize("space", [SPACES.Discrete(4), NESTED], ids=["one", "nested"])
def test_values_have_the_mean_of_the_state_value(space, units):
    made = agent(space, stream_units=units)
    observation = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    policy = made.policy
    state = keras.Model(policy.model.inputs, policy.model.get_layer("state_value").output)([observation])
    values = policy.values(observation).numpy()
    ends = np.cumsum([0, *policy.components])
    for begin, end in itertools.pairwise(ends):
        np.testing.assert_allclose(values[:, begin:end].mean(1, keepdims=True), state, atol=1e-5)
    assert np.ptp(values, axis=1).min() > 0.0
    assert made.actor.is_numpy
    np.testing.assert_allclose(np.concatenate(made.actor.forward([observation]), -1), values, atol=1e-5)
    for host, graph in zip(made.actor.decide([observation], deterministic=True), policy.greedy(observation)):
        np.testing.assert_array_equal(host, graph)


def test_what_is_learned_of_one_action_serves_all():
    """A gradient step on one action's value moves the state's, and with it the others; without dueling it does not."""
    network = {"type": "mlp", "units": []}
    moved = []
    for dueling in (True, False):
        policy = ValuePolicy(network=network, dueling=dueling)
        kagent.DQN(observation_space=OBSERVATION, action_space=SPACES.Discrete(3), policy=policy, seed=0)
        with tf.GradientTape() as tape:
            value = policy.values(np.ones((1, 3), np.float32))[0, 1]
        before = policy.values(np.ones((1, 3), np.float32)).numpy()
        for variable, gradient in zip(policy.trainable_variables, tape.gradient(value, policy.trainable_variables)):
            variable.assign_add(0.1 * gradient)
        moved.append(policy.values(np.ones((1, 3), np.float32)).numpy()[0] - before[0])
    # Of 4 inputs (3 and the bias), each of them 1: 0.4 * (1 from the state, plus 2/3 or -1/3 times the same from advantages).
    np.testing.assert_allclose(moved[0], 0.4 * np.array([1 - 1 / 3, 1 + 2 / 3, 1 - 1 / 3]), rtol=1e-4)
    np.testing.assert_allclose(moved[1], [0.0, 0.4, 0.0], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dueling": 1}, TypeError, "`policy.dueling` must be True or False"),
        ({"dueling": True, "stream_units": [0]}, ValueError, "`policy.stream_units` must be"),
        ({"stream_units": [8]}, ValueError, "needs policy.dueling=True"),
    ],
)
def test_refusals(arguments, error, message):
    with pytest.raises(error, match=message):
        ValuePolicy(**arguments)


# Presets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "preset", "dueling"),
    [("ddqn", "DoubleDQN", False), ("dueling-dqn", "DuelingDQN", True), thorough(("double_dqn", "DoubleDQN", False))],
)
def test_presets(name, preset, dueling, tmp_path):
    settings = {"start": 8, "frequency": 4, "batch_size": 8, "target_update_period": 16, "learning_rate": 1e-2}
    made = kagent.Agent.create({"agent": name, **settings}, "CartPole-v1", seed=0)
    made.compile(jit_compile=False)
    assert type(made) is getattr(kagent, preset)
    assert made.objective.double and made.policy.dueling is dueling
    before = [variable.numpy().copy() for variable in made.policy.trainable_variables]
    made.fit("CartPole-v1", steps=64, verbose=0)
    assert made.updates > 0
    for variable, old in zip(made.policy.trainable_variables, before):
        assert not np.array_equal(variable, old)  # no dead weights
    made.save(tmp_path / "agent.keras")
    again = kagent.load(tmp_path / "agent.keras")
    assert type(again) is type(made) and again.get_config() == made.get_config()
    observations = np.random.default_rng(0).uniform(-1, 1, (30, 4)).astype(np.float32)
    actor = kagent.acting.load(tmp_path / "agent.keras")
    for observation in observations:
        action = made.act(observation, deterministic=True)
        assert action == again.act(observation, deterministic=True) == actor.act(observation)


def test_streams_of_the_preset():
    made = kagent.DuelingDQN("CartPole-v1", network={"type": "mlp", "units": [16]}, stream_units=[8], seed=0)
    names = [layer.name for layer in made.policy.model.layers if isinstance(layer, keras.layers.Dense)]
    assert sorted(names) == ["advantage_0", "advantage_dense_0", "dense_0", "state_dense_0", "state_value"]
    assert not kagent.DoubleDQN("CartPole-v1", double=False, seed=0).objective.double
