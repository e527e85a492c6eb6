"""Heads: shapes, numbers by hand, and what belongs to whom."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from kagent.networks import heads

X = np.asarray([[1.0, -1.0], [0.5, 2.0]], np.float32)


def model_of(make):
    features = keras.Input((2,))
    return keras.Model(features, make(features))


def set_bias(model, name, bias):
    layer = model.get_layer(name)
    layer.set_weights([np.zeros_like(layer.get_weights()[0]), np.asarray(bias, np.float32)])


@pytest.mark.parametrize(
    "aggregator, q", [("mean", [9, 10, 11]), ("max", [8, 9, 10]), ("naive", [11, 12, 13]), (None, [1, 2, 3])]
)
def test_dueling(aggregator, q):
    model = model_of(lambda x: heads.dueling(x, 3, aggregator))
    set_bias(model, "a", [1.0, 2.0, 3.0])
    set_bias(model, "v", [10.0])
    found = model(X)
    np.testing.assert_allclose(found["q"], [q] * 2)
    np.testing.assert_allclose(found["a"], [[1.0, 2.0, 3.0]] * 2)
    assert found["v"].numpy().tolist() == [10.0, 10.0]


def test_normalized_advantage():
    model = model_of(lambda x: heads.normalized_advantage(lambda: x, 2, bound=3.0))
    assert np.abs(model(X)["mean"]).max() < 3.0 * 3e-3 * 3.0  # it begins near 0
    set_bias(model, "mu", [0.0, 100.0])
    set_bias(model, "l", [0.0, 2.0, math.log(3.0)])
    set_bias(model, "v", [7.0])
    found = model(X)
    np.testing.assert_allclose(found["mean"], [[0.0, 3.0]] * 2)
    np.testing.assert_allclose(found["lower"], [[[1.0, 0.0], [2.0, 3.0]]] * 2, rtol=1e-6)
    assert found["v"].numpy().tolist() == [7.0, 7.0]
    free = model_of(lambda x: heads.normalized_advantage(lambda: x, 2))
    set_bias(free, "mu", [-50.0, 100.0])
    np.testing.assert_allclose(free(X)["mean"], [[-50.0, 100.0]] * 2)


def test_normal():
    model = model_of(lambda x: heads.normal(x, 2, log_std=math.log(0.5)))
    found = model(np.zeros((1, 2), np.float32))
    np.testing.assert_allclose(found["scale"], [[0.5, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(found["loc"], [[0.0, 0.0]], atol=1e-7)
    assert (model(X)["scale"].numpy() > 0.0).all()
