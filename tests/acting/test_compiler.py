"""Every supported layer and activation computes what Keras computes; all others are refused by name."""

import json

import keras
import numpy as np
import pytest
from gymnasium import spaces as S
from hypothesis import given, settings
from hypothesis import strategies as st

import kagent
from kagent.acting import Compiler, Program, UnsupportedLayer, compile_model
from kagent.acting.activations import PARAMETERS

L = keras.layers
pytestmark = pytest.mark.sensitive

TOLERANCE = 1e-5


def outputs(model, leaves):
    result = model(leaves[0] if len(leaves) == 1 else leaves, training=False)
    return [np.asarray(value) for value in (result if isinstance(result, list | tuple) else [result])]


def scramble(model, seed=0):
    """Weights away from their initial zeros and ones; variances stay positive."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if "float" in str(variable.dtype):
            value = rng.normal(0.0, 0.6, variable.shape)
            variable.assign(np.abs(value) + 0.2 if "variance" in variable.path else value)


def close(received, expected):
    """Equal but for rounding, which grows with the size of what is added."""
    size = np.max(np.abs(expected), initial=1.0, where=np.isfinite(expected))
    np.testing.assert_allclose(received, expected, rtol=TOLERANCE, atol=TOLERANCE * size)


def assert_equal(model, leaves, batches=(1, 3, 40)):
    config, variables = compile_model(model)
    program = Program(json.loads(json.dumps(config)), [variable.numpy() for variable in variables])
    for count in batches:
        rows = [np.resize(leaf, (count, *leaf.shape[1:])) for leaf in leaves]
        expected, received = outputs(model, rows), program(rows)
        assert len(expected) == len(received)
        for one, other in zip(expected, received):
            assert other.dtype == np.float32
            close(other, one)
    return config


def floats(*shape, seed=1):
    return np.random.default_rng(seed).normal(0.0, 2.0, shape).astype(np.float32)


def sequential(*layers, shape, dtype="float32"):
    model = keras.Sequential([keras.Input(shape, dtype=dtype), *layers])
    scramble(model)
    return model


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_activation(name):
    model = sequential(L.Dense(7, activation=name), L.Activation(name), L.Dense(3), shape=(5,))
    # exp(exp(x)) leaves float32 early
    assert_equal(model, [floats(40, 5) * (0.1 if name == "exponential" else 1.0)])


def test_activations_at_the_ends():
    # where a careless formula overflows or cancels
    ends = np.array([[-80.0, -30.0, -5.0, -1e-4, -0.0, 0.0, 1e-4, 5.0, 30.0, 80.0]], np.float32)
    with np.errstate(all="raise", under="ignore"):
        for name in sorted(set(PARAMETERS) - {"exponential"}):
            assert_equal(sequential(L.Activation(name), shape=(10,)), [ends], batches=(1, 2))


LAYERS = {
    "dense_no_bias": ((5,), [L.Dense(4, use_bias=False)]),
    "dense_rank_2": ((3, 5), [L.Dense(4, "tanh"), L.Dense(2)]),
    "dense_wide": ((300,), [L.Dense(300, "relu"), L.Dense(9)]),
    "dense_layer_activation": ((5,), [L.Dense(4, activation=L.LeakyReLU(0.3))]),
    "relu": ((5,), [L.ReLU()]),
    "relu_parameters": ((5,), [L.ReLU(max_value=1.5, negative_slope=0.1)]),
    "leaky_relu": ((5,), [L.LeakyReLU(0.25)]),
    "leaky_relu_steep": ((5,), [L.LeakyReLU(1.5)]),
    "elu": ((5,), [L.ELU(0.7)]),
    "prelu": ((5,), [L.PReLU()]),
    "prelu_shared": ((3, 5), [L.PReLU(shared_axes=[1])]),
    "softmax": ((3, 5), [L.Softmax()]),
    "softmax_positive_axis": ((3, 5), [L.Softmax(axis=2)]),
    "flatten": ((2, 3, 4), [L.Flatten(), L.Dense(3)]),
    "flatten_scalar": ((), [L.Flatten(), L.Dense(3)]),
    "reshape": ((2, 6), [L.Reshape((3, 4)), L.Dense(2), L.Reshape((-1,)), L.Dense(2)]),
    "permute": ((2, 3, 4), [L.Permute((2, 3, 1)), L.Flatten(), L.Dense(3)]),
    "rescaling": ((5,), [L.Rescaling(0.1, offset=-3.0), L.Dense(2)]),
    "rescaling_vectors": ((2,), [L.Rescaling([0.1, 2.0], offset=[1.0, 0.0])]),
    "rescaling_nothing": ((2,), [L.Rescaling(1.0)]),
    "layer_normalization": ((5,), [L.LayerNormalization()]),
    "layer_normalization_bare": ((5,), [L.LayerNormalization(center=False, scale=False, epsilon=1e-6)]),
    "layer_normalization_term": ((5,), [L.LayerNormalization(scale=False)]),
    "layer_normalization_axes": ((3, 5), [L.LayerNormalization(axis=(1, 2))]),
    "layer_normalization_last": ((3, 5), [L.LayerNormalization(axis=-1)]),
    "rms_normalization": ((5,), [L.RMSNormalization()]),
    "batch_normalization": ((5,), [L.BatchNormalization()]),
    "batch_normalization_bare": ((3, 5), [L.BatchNormalization(center=False, scale=False)]),
    "batch_normalization_axis": ((3, 5), [L.BatchNormalization(axis=1)]),
    "normalization_constants": ((3,), [L.Normalization(mean=[1.0, -2.0, 0.5], variance=[0.1, 4.0, 0.0])]),
    "normalization_scalar": ((3,), [L.Normalization(axis=None, mean=1.0, variance=2.0)]),
    "inference_identities": (
        (5,),
        [
            L.Dropout(0.5),
            L.GaussianNoise(1.0),
            L.GaussianDropout(0.3),
            L.AlphaDropout(0.3),
            L.ActivityRegularization(0.1),
            L.Identity(),
            L.Dense(2),
        ],
    ),
}


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_layer(name):
    shape, layers = LAYERS[name]
    layers = [layer.__class__.from_config(layer.get_config()) for layer in layers]
    assert_equal(sequential(*layers, shape=shape), [floats(40, *shape)])


@pytest.mark.parametrize("axis", [-1, None, (1, 2)])
def test_adapted_normalization(axis):
    layer = L.Normalization(axis=axis)
    layer.adapt(floats(200, 3, 4, seed=5) * 3.0 + 100.0)
    model = keras.Sequential([keras.Input((3, 4)), layer, L.Dense(2)])
    assert_equal(model, [floats(40, 3, 4) + 100.0])


@pytest.mark.parametrize("merge", [L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum])
def test_merge(merge):
    a, b = keras.Input((4,)), keras.Input((4,))
    assert_equal(keras.Model([a, b], merge()([a, b])), [floats(40, 4), floats(40, 4, seed=2)])


@pytest.mark.parametrize("merge", [L.Add, L.Average, L.Maximum])
def test_merge_of_different_shapes(merge):
    a, b, c = keras.Input((3, 4)), keras.Input((4,)), keras.Input((3, 1))
    leaves = [floats(40, 3, 4), floats(40, 4, seed=2), floats(40, 3, 1, seed=3)]
    assert_equal(keras.Model([a, b, c], merge()([a, b, c])), leaves)


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_concatenate(axis):
    a, b = keras.Input((3, 3)), keras.Input((3, 3))
    assert_equal(keras.Model([a, b], L.Concatenate(axis=axis)([a, b])), [floats(40, 3, 3), floats(40, 3, 3, seed=2)])


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_integer_inputs(dtype):
    model = sequential(L.Flatten(), L.Rescaling(1 / 255), L.Dense(3), shape=(2, 3), dtype=dtype)
    assert_equal(model, [np.random.default_rng(0).integers(0, 200, (40, 2, 3)).astype(dtype)])


@keras.saving.register_keras_serializable("tests")
class Clipped(L.Layer):
    def call(self, x):
        return keras.ops.clip(2.0 * x + 1.0, -1.0, 3.0)

    def actor_node(self):
        return [{"op": "rescaling", "scale": 2.0, "offset": 1.0}, {"op": "clip", "low": -1.0, "high": 3.0}]


@keras.saving.register_keras_serializable("tests")
class Vector(L.Layer):
    def build(self, shape):
        self.value = self.add_weight(shape=(3,), initializer="ones", name="value")

    def call(self, x):
        return keras.ops.zeros_like(x[:, :1]) + self.value

    def actor_node(self):
        return {"op": "broadcast", "variables": [self.value]}


@keras.saving.register_keras_serializable("tests")
class OneHots(L.Layer):
    def __init__(self, nvec, **kwargs):
        super().__init__(**kwargs)
        self.nvec = nvec

    def call(self, x):
        x = keras.ops.reshape(x, (-1, len(self.nvec)))
        return keras.ops.concatenate([keras.ops.one_hot(x[:, i], n) for i, n in enumerate(self.nvec)], -1)

    def get_config(self):
        return {**super().get_config(), "nvec": self.nvec}

    def actor_node(self):
        return {"op": "one_hot", "nvec": self.nvec}


@keras.saving.register_keras_serializable("tests")
class Overridden(Clipped):
    def call(self, x):
        return x


def test_nested_models_several_inputs_and_heads():
    box, discrete, multi = (
        keras.Input((4,), name="z_box"),
        keras.Input((), dtype="int32", name="discrete"),
        keras.Input((2, 2), dtype="int32", name="multi"),
    )
    trunk = keras.Sequential([keras.Input((14,)), L.Dense(8, "tanh"), L.LayerNormalization()], name="trunk")
    inner = keras.Input((8,))
    residual = keras.Model(inner, L.Add()([inner, L.Dense(8, "relu")(inner)]), name="residual")
    x = L.Concatenate()([Clipped()(box), L.Embedding(5, 2)(discrete), OneHots([2, 2, 2, 2])(multi)])
    x = residual(residual(trunk(x)))  # shared: called twice
    heads = [L.Dense(3, name="logits")(x), L.Dense(2)(x), Vector()(x)]
    model = keras.Model([box, discrete, multi], heads)
    scramble(model)
    rng = np.random.default_rng(0)
    leaves = [floats(40, 4), rng.integers(0, 5, 40).astype(np.int32), rng.integers(0, 2, (40, 2, 2)).astype(np.int32)]
    config = assert_equal(model, leaves)
    names = [node["op"] for node in config["nodes"]]
    assert names.count("add") == 2 and len(config["weights"]) == len(model.variables)


def test_a_layer_that_another_model_shares():
    shared, a, b = L.Dense(4, "relu"), keras.Input((4,)), keras.Input((4,))
    keras.Model(b, shared(b))
    model = keras.Model(a, L.Dense(2)(shared(shared(a))))
    scramble(model)
    assert_equal(model, [floats(40, 4)])


def test_nested_inputs_in_the_order_of_model_inputs():
    inputs = {"b": keras.Input((2,), name="b"), "a": keras.Input((3,), name="a")}
    model = keras.Model(inputs, {"y": L.Dense(2)(inputs["a"]), "x": L.Dense(3)(inputs["b"])})
    scramble(model)
    config, variables = compile_model(model)
    leaves = [floats(5, *tensor.shape[1:]) for tensor in model.inputs]
    program = Program(config, [variable.numpy() for variable in variables])
    expected = model(dict(zip(sorted(inputs), leaves)))
    for key, value in zip(sorted(expected), program(leaves)):
        close(value, expected[key])


def test_an_input_that_nothing_reads():
    a, b = keras.Input((3,)), keras.Input((2,), dtype="int8")
    model = keras.Model([a, b], L.Dense(2)(a))
    assert_equal(model, [floats(40, 3), np.zeros((40, 2), np.int8)])


def test_new_weights_reach_every_batch_size():
    model = sequential(L.BatchNormalization(), L.Dense(4, "relu"), L.LayerNormalization(), Vector(), shape=(5,))
    config, variables = compile_model(model)
    program = Program(config, [variable.numpy() for variable in variables])
    for seed in range(3):
        scramble(model, seed)
        program.set_weights(np.concatenate([np.ravel(variable.numpy()) for variable in variables]))
        for count in (1, 2, 40):
            x = floats(count, 5)
            close(program([x])[0], outputs(model, [x])[0])


@settings(max_examples=15, deadline=None)
@given(
    widths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    names=st.lists(st.sampled_from(sorted(set(PARAMETERS) - {"exponential"})), min_size=4, max_size=4),
    inputs=st.integers(1, 20),
    count=st.integers(1, 20),
    bias=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_random_mlps(widths, names, inputs, count, bias, seed):
    layers = [L.Dense(width, name, use_bias=bias) for width, name in zip(widths, names)]
    model = keras.Sequential([keras.Input((inputs,)), *layers])
    config, variables = compile_model(model)
    x = floats(count, inputs, seed=seed)
    received = Program(config, [variable.numpy() for variable in variables])([x])[0]
    close(received, outputs(model, [x])[0])


class Custom(L.Layer):
    def call(self, x):
        return x


class MyDense(L.Dense):
    def call(self, x):
        return super().call(x) + 1.0


def half(x):
    return 0.5 * x


UNSUPPORTED = {
    "SeparableConv1D": ((4, 2), lambda: [L.SeparableConv1D(2, 2)]),
    "GRU": ((4, 2), lambda: [L.GRU(2)]),
    "Custom": ((4,), lambda: [Custom()]),
    "MyDense": ((4,), lambda: [MyDense(2)]),
    "Overridden": ((4,), lambda: [Overridden()]),
    "Activation": ((4,), lambda: [L.Activation(half)]),
    "Dense": ((4,), lambda: [L.Dense(2, dtype="mixed_float16")]),
    "LayerNormalization": ((4,), lambda: [L.LayerNormalization(dtype="float64")]),
    "ReLU": ((4,), lambda: [L.ReLU(threshold=1.0)]),
    "Softmax": ((4, 2), lambda: [L.Softmax(axis=1)]),
    "Embedding": ((4,), lambda: [L.Embedding(3, 2, mask_zero=True)]),
    "Masking": ((4, 2), lambda: [L.Masking()]),
    "Lambda": ((4,), lambda: [L.Lambda(half)]),
}


@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
def test_unsupported_layers_are_named(name):
    shape, make = UNSUPPORTED[name]
    with pytest.raises(UnsupportedLayer, match=name):
        compile_model(keras.Sequential([keras.Input(shape), L.Identity(), *make()]))


def test_unsupported_graphs():
    x = keras.Input((4,))
    with pytest.raises(UnsupportedLayer, match="operation, not a layer"):
        compile_model(keras.Model(x, L.Dense(2)(x) + 1.0))
    with pytest.raises(UnsupportedLayer, match="training"):
        compile_model(keras.Model(x, L.Dropout(0.5)(x, training=True)))
    with pytest.raises(UnsupportedLayer, match="unknown dimension"):
        y = keras.Input((None, 4))
        compile_model(keras.Model(y, L.Dense(2)(y)))

    class Branching(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(UnsupportedLayer, match="Branching"):
        compile_model(Branching(x, L.Dense(2)(x)))
    with pytest.raises(UnsupportedLayer, match="Custom"):
        compile_model(keras.Model(x, keras.Sequential([Custom()])(x)))


def test_a_model_that_is_not_built():
    with pytest.raises(ValueError, match="built"):
        compile_model(keras.Sequential([L.Dense(2)]))


def test_compiling_by_hand():
    layer = L.Dense(3)
    layer.build((None, 4))
    builder = Compiler()
    x = builder.input((4,), "float32")
    (y,) = builder.call(layer, [x])
    tail = builder.add("slice", [y], start=1, stop=3)
    config, variables = builder.finish([builder.add("multiply", [tail, tail])])
    assert builder.shape(tail) == (2,) and variables == [layer.kernel, layer.bias]
    rows = floats(6, 4)
    expected = np.asarray(layer(rows))[:, 1:] ** 2
    np.testing.assert_allclose(Program(config, [v.numpy() for v in variables])([rows])[0], expected, atol=1e-4)
    with pytest.raises(ValueError, match="before nodes"):
        builder.input((1,), "float32")
    with pytest.raises(ValueError, match="Unknown operation"):
        builder.add("eval", [0])


def test_programs_are_of_pythons_own_kinds():
    """Keras replaces lists of layers, such as `nvec` and `axis`, by a class of its own, whose pickles cannot be read."""

    def kinds(value):
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return {type(value)}.union(*map(kinds, inner))

    network = keras.Sequential([keras.layers.LayerNormalization(axis=[-1]), keras.layers.Dense(4)])
    agent = kagent.DuelingDQN(
        observation_space=S.MultiDiscrete([3, 2]), action_space=S.MultiDiscrete([2, 3]), network=network, seed=0
    )
    config = agent.actor.to_config()
    assert {"one_hot", "dueling"} <= {node["op"] for node in config["program"]["nodes"]}
    assert kinds(config) <= {dict, list, str, int, float, bool, type(None)}
