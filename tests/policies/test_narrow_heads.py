"""Dense layers of heads with few outputs."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import kagent
from kagent.acting import compile_model
from kagent.policies import role


def applied(units, activation=None):
    inputs = keras.Input((3,))
    return keras.Model(inputs, role.head(inputs, units, activation, "head", "fan_in", 1.0, lambda: 0))


@pytest.mark.parametrize(("units", "own"), [(1, False), (2, True), (4, True), (5, False)])
def test_few_outputs_have_it(units, own):
    assert (type(applied(units).get_layer("head")) is role.Dense) is own


@pytest.mark.parametrize("activation", [None, "tanh"])
def test_it_computes_as_keras_layer(activation):
    model, x = applied(2, activation), np.array([[1.0, -2.0, 0.5]], np.float32)
    expected = model(x).numpy()
    with role.xla(True):
        np.testing.assert_allclose(model(x), expected, rtol=1e-6)
    config, variables = compile_model(model)
    assert [node["op"] for node in config["nodes"]][-1] == "dense" and len(variables) == 2


def test_programs_of_xla_contain_sums_in_place_of_the_narrow_products():
    layer = role.Dense(2)
    layer.build((None, 3))

    def products(compiles):
        def gradient(x):
            with role.xla(compiles), tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(layer(x) ** 2)
            return tape.gradient(y, [x, layer.kernel.value])

        graph = tf.function(gradient).get_concrete_function(tf.TensorSpec((5, 3))).graph
        return sum(operation.type == "MatMul" for operation in graph.get_operations())

    assert (products(False), products(True)) == (3, 1)


def test_a_subclass_with_another_call_has_no_numpy_form_by_itself():
    class Doubled(role.Dense):
        def call(self, inputs, training=None):
            return 2.0 * super().call(inputs)

    model = keras.Sequential([keras.Input((3,)), Doubled(2)])
    with pytest.raises(kagent.acting.UnsupportedLayer):
        compile_model(model)


def test_files_of_weights_name_it_as_keras_layer(tmp_path):
    ours, theirs = applied(2), keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    theirs.save_weights(tmp_path / "a.weights.h5")
    ours.load_weights(tmp_path / "a.weights.h5")
    x = np.array([[1.0, -2.0, 0.5]], np.float32)
    np.testing.assert_array_equal(ours(x), theirs(x))
