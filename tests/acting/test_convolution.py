"""Convolutions and pools in NumPy: numbers by hand, what Keras computes, and agents of images served."""

import json
import math

import gymnasium
import keras
import numpy as np
import pytest

import kagent
from kagent.acting import Program, UnsupportedLayer, compile_model

L = keras.layers


def test_a_convolution_by_hand():
    """The kernel [1, 10] over [1, 2, 3, 4]: 1 + 20, 2 + 30, 3 + 40, and half of it more as bias; then relu of what is less 30."""
    kernel, bias = np.array([[[1.0]], [[10.0]]]), np.array([-30.0])
    node = {
        "op": "convolution",
        "inputs": [0],
        "weights": [0, 1],
        "strides": [1],
        "padding": "valid",
        "activation": "relu",
    }
    config = {
        "inputs": [{"shape": [4, 1], "dtype": "float32"}],
        "weights": [[2, 1, 1], [1]],
        "nodes": [node],
        "outputs": [1],
    }
    rows = np.array([[[1.0], [2.0], [3.0], [4.0]]], np.float32)
    assert Program(config, [kernel, bias])([rows])[0].ravel().tolist() == [0.0, 2.0, 13.0]
    # "same": one zero behind; every second position begins a window.
    same = {**config, "nodes": [{**node, "strides": [2], "padding": "same", "activation": "linear"}]}
    assert Program(same, [kernel, bias])([rows])[0].ravel().tolist() == [-9.0, 13.0]


def test_pools_by_hand():
    rows = np.array([[[1.0], [5.0], [3.0]]], np.float32)
    node = {"op": "pool", "inputs": [0], "kind": "max", "window": [2], "strides": [2], "padding": "same"}
    config = {"inputs": [{"shape": [3, 1], "dtype": "float32"}], "weights": [], "nodes": [node], "outputs": [1]}
    assert Program(config)([rows])[0].ravel().tolist() == [5.0, 3.0]
    average = {**config, "nodes": [{**node, "kind": "average"}]}
    assert Program(average)([rows])[0].ravel().tolist() == [3.0, 3.0]  # the mean of 3 alone is 3
    negative = Program(config)([-rows])[0].ravel().tolist()
    assert negative == [-1.0, -3.0]  # what is padded is never the largest


LAYERS = {
    "valid": (L.Conv2D(4, 3, activation="relu"), (7, 6, 3)),
    "strides": (L.Conv2D(4, (3, 2), strides=(2, 3)), (9, 8, 2)),
    "same": (L.Conv2D(3, 3, strides=2, padding="same", use_bias=False), (8, 7, 2)),
    "wide": (L.Conv2D(2, 5, padding="same", activation="tanh"), (4, 3, 1)),
    "one": (L.Conv1D(3, 3, strides=2, padding="same"), (7, 4)),
    "max": (L.MaxPooling2D(2), (5, 6, 3)),
    "max same": (L.MaxPooling2D(3, 2, padding="same"), (5, 6, 3)),
    "average": (L.AveragePooling2D((2, 3), 1), (5, 6, 3)),
    "average same": (L.AveragePooling2D(3, 2, padding="same"), (5, 6, 2)),
    "pool of a sequence": (L.AveragePooling1D(2), (6, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_keras_computes_the_same(name):
    layer, shape = LAYERS[name]
    model = keras.Sequential([keras.Input(shape), layer, L.Flatten()])
    rng = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(rng.normal(0.0, 0.5, variable.shape))
    config, variables = compile_model(model)
    program = Program(json.loads(json.dumps(config)), [variable.numpy() for variable in variables])
    for count in (1, 3):
        rows = rng.normal(0.0, 1.0, (count, *shape)).astype(np.float32)
        np.testing.assert_allclose(program([rows])[0], np.asarray(model(rows)), rtol=1e-5, atol=1e-5)


def test_a_large_batch_goes_in_parts(monkeypatch):
    """A row lays out 4 * 9 = 36 numbers; with room for 80 two rows go at a time."""
    monkeypatch.setattr("kagent.acting.convolution._GATHERED", 80)
    model = keras.Sequential([keras.Input((4, 4, 1)), L.Conv2D(2, 3)])
    config, variables = compile_model(model)
    rows = np.random.default_rng(0).normal(0.0, 1.0, (5, 4, 4, 1)).astype(np.float32)
    found = Program(config, [variable.numpy() for variable in variables])([rows])[0]
    np.testing.assert_allclose(found, np.asarray(model(rows)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        L.Conv2D(4, 3, groups=2),
        L.Conv2D(2, 2, dilation_rate=2),
        L.SeparableConv2D(2, 2),
        L.MaxPooling2D(2, data_format="channels_first"),
    ],
)
def test_others_are_refused_by_name(layer):
    model = keras.Sequential([keras.Input((8, 8, 2)), layer])
    with pytest.raises(UnsupportedLayer, match=type(layer).__name__):
        compile_model(model)


BAD = {
    "strides": {"strides": [0, 1]},
    "rank": {"strides": [1]},
    "padding": {"padding": "causal"},
    "window": {"weights": [0, 1], "shape": [9, 9, 1, 2]},
    "channels": {"weights": [0, 1], "shape": [2, 2, 3, 2]},
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_lies_is_refused(name):
    given = dict(BAD[name])
    shape = given.pop("shape", [2, 2, 1, 2])
    node = {"op": "convolution", "inputs": [0], "weights": [0, 1], "strides": [1, 1], "padding": "valid", **given}
    config = {
        "inputs": [{"shape": [4, 4, 1], "dtype": "float32"}],
        "weights": [shape, [2]],
        "nodes": [node],
        "outputs": [1],
    }
    with pytest.raises(ValueError, match="Node 'convolution'"):
        Program(config)


def test_what_would_be_laid_out_is_bounded():
    size = 1 << 10
    node = {"op": "convolution", "inputs": [0], "weights": [0], "strides": [1, 1], "padding": "same"}
    config = {
        "inputs": [{"shape": [size, size, 1], "dtype": "float32"}],
        "weights": [[128, 128, 1, 1]],
        "nodes": [node],
        "outputs": [1],
    }
    assert math.prod((size, size, 128, 128)) > 1 << 27
    with pytest.raises(ValueError, match="lays out more than"):
        Program(config)


class Screen(gymnasium.Env):
    """Shows noise; three actions."""

    observation_space = gymnasium.spaces.Box(0, 255, (24, 24, 4), np.uint8)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


@pytest.mark.parametrize(
    ("layers", "suited"),
    [
        ([{"type": "conv2d", "size": 2, "window": 4, "stride": 4}], True),
        (
            [{"type": "conv2d", "size": 2, "window": 4, "stride": 4}, {"type": "pool2d", "window": 2, "stride": 2}],
            False,
        ),
        ([{"type": "conv2d", "size": 600, "window": 9, "stride": 1}], False),  # 50 million products
    ],
)
def test_one_image_is_acted_on_by_numpy_with_the_newest_weights(layers, suited):
    agent = kagent.DQN(Screen(), network=[*layers, "flatten"], memory=100, batch_size=4, start=4, frequency=4, seed=0)
    program, images = agent.actor._serving, np.random.default_rng(0).integers(0, 256, (2, 24, 24, 4)).astype(np.uint8)
    first = agent.policy.model.layers[-1].weights  # of the head
    calls = []
    program.run = lambda leaves: calls.append(len(leaves[0])) or type(program).run(program, leaves)

    def agree():
        for rows in (images[:1], images):
            expected = agent.policy.values([rows]).numpy()
            np.testing.assert_allclose(agent.actor.forward([rows])[0], expected, rtol=1e-4, atol=1e-4)
        found, calls[:] = list(calls), []
        assert found == ([1] if suited else [])

    agree()
    before = [weight.numpy() for weight in first]
    with agent.actor.perturbed(0.5, np.random.default_rng(0)):
        agree()
    agree()
    agent.compile(jit_compile=False)
    agent.fit(Screen(), steps=8, verbose=0)
    calls.clear()
    assert agent.updates and any((one != other.numpy()).any() for one, other in zip(before, first))
    agree()
    agent.set_weights([weight * 2 for weight in agent.get_weights()])
    agree()


def test_products_of_convolutions_are_counted():
    """Nature's: 20 x 20 places of 256 numbers to 32, 9 x 9 of 512 to 64, and 7 x 7 of 576 to 64."""
    space = gymnasium.spaces.Box(0, 255, (84, 84, 4), np.uint8)
    agent = kagent.DQN(observation_space=space, action_space=gymnasium.spaces.Discrete(2), network="cnn", memory=100)
    found = agent.actor._serving.products
    assert found == 400 * 256 * 32 + 81 * 512 * 64 + 49 * 576 * 64 == 7_737_344


def test_an_agent_of_images_is_served_by_numpy(tmp_path):
    """It acts by TensorFlow itself, and its file by NumPy: the same actions."""
    network = {"type": "cnn", "filters": [4, 8], "kernels": [4, 3], "strides": [2, 1], "units": [16]}
    agent = kagent.DQN(Screen(), network=network, memory=100, batch_size=4, start=1000, seed=0)
    assert not agent.actor.is_numpy and agent.actor.is_servable
    rng = np.random.default_rng(0)
    for weight in agent.policy.weights:
        weight.assign(rng.normal(0.0, 0.3, weight.shape))
    agent.actor.expire()
    agent.save(tmp_path / "agent.keras")
    actor = kagent.acting.load(tmp_path / "agent.keras")
    screens = rng.integers(0, 256, (20, 24, 24, 4), np.uint8)
    expected = [agent.act(screen, deterministic=True) for screen in screens]
    assert [actor.act(screen) for screen in screens] == expected and len(set(expected)) > 1
    assert kagent.inspect(tmp_path / "agent.keras").served
