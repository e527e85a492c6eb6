"""Networks spelled out layer by layer."""

import json

import gymnasium
import keras
import numpy as np
import pytest
from toy_envs import Counter

from kagent import DQN, PPO, Agent, networks
from kagent.networks import Layered
from kagent.networks.backbones import Auto


def features(layers, *inputs, names=None):
    """The model of a network on inputs of these shapes."""
    seeds = iter(range(100))
    tensors = [keras.Input(shape) for shape in inputs]
    network = networks.get(layers, Auto())
    return keras.Model(
        tensors if len(tensors) > 1 else tensors[0], network.features(tensors, lambda: next(seeds), names)
    )


def test_layers_follow_one_another():
    model = features([{"type": "dense", "size": 3, "activation": "tanh"}, {"type": "linear", "size": 2}], (4,))
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    first, bias, second, offset = (v.numpy() for v in model.variables)
    expected = np.tanh(x @ first + bias) @ second + offset
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layers", "shape", "x", "expected"),
    [
        (["flatten"], (2, 2), [[[1, 2], [3, 4]]], [[1, 2, 3, 4]]),
        ([{"type": "activation", "nonlinearity": "crelu"}], (2,), [[1, -2]], [[1, 0, 0, 2]]),
        ([{"type": "activation", "nonlinearity": "relu"}], (2,), [[1, -2]], [[1, 0]]),
        ([{"type": "activation", "nonlinearity": "none"}], (2,), [[1, -2]], [[1, -2]]),
        ([{"type": "pooling", "reduction": "mean"}], (2, 2), [[[1, 2], [3, 6]]], [[2, 4]]),
        ([{"type": "pooling"}], (2, 2), [[[1, 6], [3, 2]]], [[3, 6]]),
        ([{"type": "pooling", "reduction": "product"}], (2, 2), [[[1, 6], [3, 2]]], [[3, 12]]),
        ([{"type": "pooling", "reduction": "sum"}], (2, 2), [[[1, 6], [3, 2]]], [[4, 8]]),
        ([{"type": "pooling", "reduction": "concat"}], (2, 2), [[[1, 6], [3, 2]]], [[1, 6, 3, 2]]),
        ([{"type": "pool1d", "reduction": "average"}], (2, 1), [[[1], [3]]], [[2]]),
        ([{"type": "reshape", "shape": [4]}], (2, 2), [[[1, 2], [3, 4]]], [[1, 2, 3, 4]]),
        ([{"type": "dropout", "rate": 0.5}], (2,), [[1, 2]], [[1, 2]]),
    ],
)
def test_layers_by_hand(layers, shape, x, expected):
    np.testing.assert_allclose(features(layers, shape)(np.asarray(x, np.float32)), expected)


def test_convolutions_and_embeddings():
    model = features([{"type": "conv2d", "size": 5, "stride": 2}, {"type": "pooling", "reduction": "max"}], (6, 6, 3))
    assert model.output_shape == (None, 5) and model.variables[0].shape == (3, 3, 3, 5)
    model = features([{"type": "conv1d", "size": 4, "padding": "valid", "activation": "crelu"}], (6, 2))
    assert model.output_shape == (None, 4 * 8)
    model = features([{"type": "embedding", "size": 4, "num_embeddings": 10}], (2,))
    assert model.output_shape == (None, 8)


def test_tensors_have_names():
    layers = [
        {"type": "retrieve", "tensors": "eye"}, {"type": "linear", "size": 2}, {"type": "register", "tensor": "seen"},
        {"type": "retrieve", "tensors": ["seen", "arm"], "aggregation": "sum"},
    ]  # fmt: skip
    model = features(layers, (3,), (2,), names=["eye", "arm"])
    eye, arm = np.ones((1, 3), np.float32), np.asarray([[10.0, 20.0]], np.float32)
    kernel = model.variables[0].numpy()
    np.testing.assert_allclose(model([eye, arm]), eye @ kernel + arm, rtol=1e-5)
    nested = [[{"type": "retrieve", "tensors": "eye"}, {"type": "linear", "size": 2}], [layers[2], layers[3]]]
    assert features(nested, (3,), (2,), names=["eye", "arm"]).output_shape == (None, 2)


def test_states_have_names_in_agents():
    space = gymnasium.spaces.Dict({"eye": gymnasium.spaces.Box(-1, 1, (3,)), "arm": gymnasium.spaces.Box(-1, 1, (2,))})
    network = [{"type": "retrieve", "tensors": ["arm", "eye"], "aggregation": "concat"}, {"type": "dense", "size": 4}]
    agent = PPO(observation_space=space, action_space=gymnasium.spaces.Discrete(2), network=network)
    assert agent.policy.trainable_variables[0].shape == (5, 4)


def test_agents_with_layers_learn_are_saved_and_copied(tmp_path):
    network = [{"type": "dense", "size": 8}, "layer_normalization", {"type": "dropout", "rate": 0.1}]
    agent = DQN(Counter(), network=network, start=4, batch_size=4, frequency=1, seed=1)
    agent.compile(jit_compile=False)
    assert agent.actor.is_numpy
    agent.fit(Counter(), steps=6, verbose=0)
    assert agent.updates == 3
    config = json.loads(json.dumps(agent.get_config()))
    assert config["policy"]["network"]["layers"][1] == {"type": "layer_normalization"}
    assert Agent.create(config).get_config() == agent.get_config()
    agent.save(tmp_path / "a.keras")
    loaded = keras.saving.load_model(tmp_path / "a.keras")
    for a, b in zip(agent.get_weights(), loaded.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_keras_layers_are_layers_of_each_role():
    network = [keras.layers.Dense(4, name="mine"), {"type": "activation", "nonlinearity": "tanh"}]
    agent = PPO(Counter(), network=network)
    own = {id(v) for v in agent.policy.trainable_variables}
    assert not own & {id(v) for v in agent.critic.trainable_variables}
    assert agent.get_config()["policy"]["network"]["layers"][0]["class_name"] == "Dense"
    text = json.dumps(agent.get_config())
    assert json.dumps(Agent.create(json.loads(text)).get_config()) == text


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["dens"], r"`network\[0\]` is unknown. Received: 'dens'. Known: activation, conv1d"),
        ([{"type": "dense"}], r"`network\[0\]` dense needs \['size'\]"),
        ([{"type": "dense", "size": 4, "sice": 3}], r"`network\[0\]` dense has no argument \['sice'\]"),
        ([{"type": "dense", "size": 0}], r"`network\[0\].size` must be an integer from 1 to"),
        ([{"type": "dense", "size": 1 << 20}], r"`network\[0\].size` must be an integer from 1 to"),
        (["flatten", "lstm"], r"`network\[1\]` 'lstm' is not supported: .*'internal_lstm'"),
        ([{"type": "function", "function": "x"}], r"'function' is not supported: functions do not come from data"),
        ([3], r"`network\[0\]` must be a name, a dict with 'type', or a Keras layer. Received: 3"),
        ([{"type": "dense", "size": 4, "activation": "nothing"}], "nothing"),
        ([{"type": "retrieve", "tensors": "nothing"}], r"no tensor is called \['nothing'\]. Known: \['state'\]"),
        ([{"type": "pooling", "reduction": "least"}], r"`reduction` must be one of"),
        ([{"type": "reshape", "shape": [3]}], r"`network\[0\]` reshape does not fit what comes before"),
        (["flatten", keras.layers.Conv2D(3, 3)], r"`network\[1\]` Conv2D does not fit what comes before: .*ndim"),
    ],
)
def test_mistakes_are_named(layers, message):
    with pytest.raises((TypeError, ValueError), match=message):
        features(layers, (2, 2), names=["state"])


def test_a_network_without_a_type_is_automatic():
    assert networks.get({"units": [8]}, Auto()) == Auto(units=(8,))
    own = Auto((64, 64), "tanh", "orthogonal")  # of a role; what is not said stays as it is
    for given in ({"units": [8]}, {"type": "auto", "units": [8]}):
        assert networks.get(given, own) == Auto((8,), "tanh", "orthogonal")
    assert networks.get({"activation": "elu"}, own) == Auto((64, 64), "elu", "orthogonal")
    assert networks.get([], Auto()) == Layered(())
