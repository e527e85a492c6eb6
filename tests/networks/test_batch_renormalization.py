"""The layer: when it corrects, what moves, and what the NumPy actor makes of it."""

import keras
import numpy as np
import pytest
from gymnasium import spaces

import kagent
from kagent.acting.compiler import compile_model
from kagent.acting.program import Program
from kagent.networks import MLP, Auto, BatchRenormalization, get

X = np.float32([[1.0], [3.0]])  # mean 2, variance 1


def layer_of(**arguments):
    layer = BatchRenormalization(momentum=0.75, epsilon=1e-9, **arguments)
    layer.build((None, 1))
    return layer


def state(layer):
    return [float(np.squeeze(v)) for v in (layer.moving_mean, layer.moving_variance, layer.steps)]


def test_it_is_batch_normalization_until_it_is_warm():
    layer = layer_of(warmup_steps=2)
    for number in range(2):
        np.testing.assert_allclose(layer(X, training=True)[:, 0], [-1, 1], rtol=1e-6)
        # A quarter of the way from 0 to 2, twice; the variance is 1 from the start.
        assert state(layer) == pytest.approx([[0.5, 0.875][number], 1.0, number + 1])
    # Now r = 1 and d = 2 - 0.875.
    np.testing.assert_allclose(layer(X, training=True)[:, 0], [0.125, 2.125], rtol=1e-6)
    np.testing.assert_allclose(layer(X)[:, 0], [1 - 1.15625, 3 - 1.15625], rtol=1e-6)


def test_scale_and_offset_come_last():
    layer = layer_of()
    layer.gamma.assign([2.0])
    layer.beta.assign([5.0])
    np.testing.assert_allclose(layer(X, training=True)[:, 0], [3, 7], rtol=1e-6)


def test_inference_and_frozen_layers_move_nothing():
    layer = layer_of(warmup_steps=0)
    layer.moving_mean.assign([1.0])
    layer.moving_variance.assign([4.0])
    np.testing.assert_allclose(layer(X)[:, 0], [0, 1], rtol=1e-6)
    layer.trainable = False
    np.testing.assert_allclose(layer(X, training=True)[:, 0], [0, 1], rtol=1e-6)
    assert state(layer) == [1.0, 4.0, 0.0]


def test_numpy_acts_by_the_moving_statistics():
    model = keras.Sequential([keras.Input((3,)), BatchRenormalization(), keras.layers.Dense(2)])
    for number, variable in enumerate(model.layers[0].variables):
        variable.assign(keras.ops.ones_like(variable) * (number + 1))
    config, variables = compile_model(model)
    program = Program(config, [variable.numpy() for variable in variables])
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(program([x])[0], model(x), rtol=1e-5, atol=1e-6)


def test_it_is_serialized():
    layer = BatchRenormalization(0.5, 0.25, 2.0, 1.0, 7)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert (again.momentum, again.epsilon, again.r_max, again.d_max, again.warmup_steps) == (0.5, 0.25, 2.0, 1.0, 7)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"momentum": 1.0}, r"`momentum` must be a number in \[0, 1\). Received: 1.0"),
        ({"epsilon": 0}, "`epsilon` must be a number > 0. Received: 0"),
        ({"r_max": 0.5}, "`r_max` must be a number >= 1. Received: 0.5"),
        ({"d_max": float("nan")}, "`d_max` must be a number >= 0. Received: nan"),
        ({"warmup_steps": -1}, "`warmup_steps` must be an integer >= 0. Received: -1"),
    ],
)
def test_arguments_outside_their_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        BatchRenormalization(**arguments)


def kinds(model):
    return [type(layer).__name__ for layer in model.layers if type(layer).__name__ in ("Dense", "BatchRenormalization")]


def test_dense_networks_have_it_in_front_of_the_first_layer_and_behind_each():
    said = {"type": "batch_renormalization", "warmup_steps": 7}
    network = {"type": "mlp", "units": [4, 5], "normalization": said}
    agent = kagent.DQN("CartPole-v1", network=network, memory=300, seed=0)
    assert kinds(agent.policy.model) == [*["BatchRenormalization", "Dense"] * 2, "BatchRenormalization", "Dense"]
    layers = [layer for layer in agent.policy.model.layers if isinstance(layer, BatchRenormalization)]
    assert {layer.warmup_steps for layer in layers} == {7} and [layer.gamma.shape[0] for layer in layers] == [4, 4, 5]
    assert agent.get_config()["policy"]["network"]["normalization"] == said


def test_every_component_has_it():
    space = spaces.Dict({"a": spaces.Box(-1, 1, (2,)), "b": spaces.Discrete(3)})
    agent = kagent.DQN(
        observation_space=space, action_space=spaces.Discrete(2), memory=300,
        network={"units": [4, 5], "normalization": "batch_renormalization"},
    )  # fmt: skip
    widths = [layer.gamma.shape[0] for layer in agent.policy.model.layers if isinstance(layer, BatchRenormalization)]
    assert sorted(widths) == [2, 3, 4, 4, 5]


def test_what_is_no_normalization_is_refused():
    for wrong in ("layer", 3, {"type": "batch"}, {}):
        with pytest.raises(
            ValueError, match=r"normalization` must be None, 'layer_normalization', 'batch_renormalization', or a"
        ):
            MLP(normalization=wrong)
    with pytest.raises(ValueError, match=r"`network.normalization` has no argument \['warmup'\]"):
        get({"normalization": {"type": "batch_renormalization", "warmup": 3}}, Auto())
    image = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    with pytest.raises(ValueError, match="normalization` 'batch_renormalization' is of dense layers"):
        kagent.CrossQ(observation_space=image, action_space=spaces.Box(-1, 1, (1,)), memory=300)
