"""Heads: shapes, numbers by hand, and what they say of actions."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from kagent.estimators import heads

X = np.asarray([[1.0, -1.0], [0.5, 2.0]], np.float32)


def model_of(head):
    features = keras.Input((2,))
    return keras.Model(features, head.predict(lambda: features))


def set_bias(model, name, bias):
    layer = model.get_layer(name)
    layer.set_weights([np.zeros_like(layer.get_weights()[0]), np.asarray(bias, np.float32)])


@pytest.mark.parametrize(
    "dueling, q", [("mean", [9, 10, 11]), ("max", [8, 9, 10]), ("naive", [11, 12, 13]), (True, [1, 2, 3]), (None, [1, 2, 3])]
)  # fmt: skip
def test_values(dueling, q):
    head = heads.Values(3, dueling)
    model = model_of(head)
    set_bias(model, "a", [1.0, 2.0, 3.0])
    if dueling is not None:
        set_bias(model, "v", [10.0])
    found = model(X)
    np.testing.assert_allclose(found["q"], [q] * 2)
    np.testing.assert_allclose(found["a"], [[1.0, 2.0, 3.0]] * 2)
    assert found["results"].numpy().tolist() == [2, 2] and found["results"].dtype == "int32"
    assert ("v" in found) == (dueling is not None) and ("v" not in found or found["v"].numpy().tolist() == [10.0, 10.0])
    assert head.value(np.asarray([0, 2]), found).numpy().tolist() == [q[0], q[2]]


def test_normalized_advantage():
    head = heads.NormalizedAdvantage(2, action_bound=3.0)
    model = model_of(head)
    assert np.abs(model(X)["results"]).max() < 3.0 * 3e-3 * 3.0  # it begins near 0
    set_bias(model, "mu", [0.0, 100.0])
    set_bias(model, "l", [0.0, 2.0, math.log(3.0)])
    set_bias(model, "v", [7.0])
    found = model(X)
    np.testing.assert_allclose(found["results"], [[0.0, 3.0]] * 2)
    np.testing.assert_allclose(found["lower"], [[[1.0, 0.0], [2.0, 3.0]]] * 2, rtol=1e-6)
    assert found["v"].numpy().tolist() == [7.0, 7.0]
    # With d = (1, -1): L'd = (1 * 1 + 2 * -1, 3 * -1) = (-1, -3), and 7 - (1 + 9) / 2 = 2.
    action = np.asarray([[1.0, 2.0], [0.0, 3.0]], np.float32)
    np.testing.assert_allclose(head.value(action, found), [2.0, 7.0], rtol=1e-6)
    free = model_of(heads.NormalizedAdvantage(2))
    set_bias(free, "mu", [-50.0, 100.0])
    np.testing.assert_allclose(free(X)["results"], [[-50.0, 100.0]] * 2)


def test_torsos_of_the_three():
    calls = []
    features = keras.Input((2,))
    for shared, expected in ((True, 1), (False, 3)):
        calls.clear()
        heads.NormalizedAdvantage(2, shared_torso=shared).predict(lambda: calls.append(0) or features)
        assert len(calls) == expected


def test_logits():
    head = heads.Logits(2)
    model = model_of(head)
    set_bias(model, "logits", [0.0, math.log(3.0)])
    found = model(X)
    assert found["results"].numpy().tolist() == [1, 1]
    np.testing.assert_allclose(head.log_prob(np.asarray([0, 1]), found), np.log([0.25, 0.75]), rtol=1e-6)


def test_normal():
    head = heads.Normal(2, log_std=math.log(0.5))
    model = model_of(head)
    found = model(np.zeros((1, 2), np.float32))
    np.testing.assert_allclose(found["scale"], [[0.5, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(found["loc"], [[0.0, 0.0]], atol=1e-7)
    np.testing.assert_array_equal(found["results"], found["loc"])
    assert (model(X)["scale"].numpy() > 0.0).all()
    # One standard deviation away, and none: -0.5 - 2 log 0.5 - log 2 pi.
    log_prob = head.log_prob(np.asarray([[0.5, 0.0]], np.float32), found)
    np.testing.assert_allclose(log_prob, [-0.951583], rtol=1e-5)


def test_a_deviation_that_underflows_has_a_logarithm():
    np.testing.assert_allclose(
        heads.log_scale(np.asarray([0.0, 1.0, 0.5], np.float32)), [-20, 0, math.log(0.5)], atol=1e-5
    )


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: heads.Values(0), ValueError, "`num_actions` must be an integer >= 1"),
        (lambda: heads.Values(2, "median"), ValueError, r"`dueling` must be one of .*'median'"),
        (lambda: heads.Values(2, False), ValueError, r"`dueling` must be one of .*False"),
        (lambda: heads.NormalizedAdvantage(2.0), ValueError, "`num_actions` must be"),
        (lambda: heads.NormalizedAdvantage(1, 0.0), ValueError, "`action_bound` must be"),
        (lambda: heads.NormalizedAdvantage(1, None, 1), TypeError, "`shared_torso` must be"),
        (lambda: heads.Logits(True), ValueError, "`num_actions` must be"),
        (lambda: heads.Normal(1, math.inf), ValueError, "`log_std` must be"),
        (lambda: heads.Normal(1, "0"), TypeError, "`log_std`"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
