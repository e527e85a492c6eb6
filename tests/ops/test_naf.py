"""Normalized advantage functions: numbers by hand, the shape of Q, and no exponential off the diagonal."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent import ops


def test_one_action_by_hand(mode):
    # L = exp(0) = 1, mu = 0.5, u = 2, V = 3: 3 - 1.5**2 / 2
    def value(entries, action, mean, value):
        return ops.naf_value(action, mean, ops.lower_triangular(entries, 1), value)

    found = mode(value)(*(tf.constant([[x]]) for x in (0.0, 2.0, 0.5, 3.0)))
    np.testing.assert_array_equal(found, [1.875])


def test_two_actions_by_hand(mode):
    # Row by row: L = [[e**0, 0], [2, e**log 3]], so that P = [[1, 2], [2, 13]].
    lower = mode(lambda x: ops.lower_triangular(x, 2))(tf.constant([[0.0, 2.0, np.log(3.0)]]))
    np.testing.assert_allclose(lower, [[[1.0, 0.0], [2.0, 3.0]]], rtol=1e-6)
    np.testing.assert_allclose(mode(ops.precision)(lower), [[[1.0, 2.0], [2.0, 13.0]]], rtol=1e-6)
    # d = (1, -1): d' P d = 1 - 4 + 13 = 10
    found = mode(ops.quadratic_advantage)(tf.constant([[3.0, 1.0]]), tf.constant([[2.0, 2.0]]), lower)
    np.testing.assert_allclose(found, [-5.0], rtol=1e-6)


def test_zeros_stay_zeros_above_the_diagonal():
    lower = ops.lower_triangular(tf.zeros((2, 6)), 3).numpy()
    np.testing.assert_array_equal(lower, [np.eye(3)] * 2)
    lower = ops.lower_triangular(tf.constant([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]), 3).numpy()[0]
    np.testing.assert_allclose(lower, [[np.e, 0, 0], [2, np.exp(3), 0], [4, 5, np.exp(6)]], rtol=1e-6)


def test_large_entries_have_gradients():
    entries = tf.Variable([[0.0, 200.0, 0.0]])  # whose exponential float32 does not hold
    with tf.GradientTape() as tape:
        value = ops.quadratic_advantage([[1.0, 0.01]], [[0.0, 0.0]], ops.lower_triangular(entries, 2))
    assert np.isfinite(value).all() and np.isfinite(tape.gradient(value, entries)).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 1000))
def test_nothing_is_better_than_the_mean(size, count, seed):
    rng = np.random.default_rng(seed)
    entries, mean, action = (
        rng.normal(size=(count, n)).astype(np.float32) for n in (size * (size + 1) // 2, size, size)
    )
    value = rng.normal(size=(count, 1)).astype(np.float32)
    lower = ops.lower_triangular(entries, size)
    p = ops.precision(lower).numpy()
    assert (np.linalg.eigvalsh(p.astype(np.float64)) > -1e-4).all()
    distance = action - mean
    expected = value[:, 0] - 0.5 * np.einsum("bi,bij,bj->b", distance, p, distance)
    np.testing.assert_allclose(ops.naf_value(action, mean, lower, value), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(ops.naf_value(mean, mean, lower, value), value[:, 0])


def test_symbolic_tensors_are_taken():
    entries, action, value = keras.Input((3,)), keras.Input((2,)), keras.Input((1,))
    lower = ops.lower_triangular(entries, 2)
    q = ops.naf_value(action, action, lower, value)
    assert lower.shape == (None, 2, 2) and q.shape == (None,)
    model = keras.Model([entries, action, value], [lower, q])
    found = model([tf.constant([[0.0, 2.0, 0.0]]), tf.ones((1, 2)), tf.constant([[7.0]])])
    np.testing.assert_array_equal(found[0], [[[1.0, 0.0], [2.0, 1.0]]])
    np.testing.assert_array_equal(found[1], [7.0])


def test_a_wrong_number_of_entries():
    with pytest.raises(ValueError, match=r"`entries` must be \(B, 3\) for size=2. Received: shape \(1, 4\)"):
        ops.lower_triangular(tf.zeros((1, 4)), 2)


@pytest.mark.parametrize(
    "aggregator, expected", [("mean", [9.0, 10.0, 11.0]), ("max", [8.0, 9.0, 10.0]), ("naive", [11.0, 12.0, 13.0])]
)
def test_dueling_streams_by_hand(mode, aggregator, expected):
    found = mode(lambda v, a: ops.dueling(v, a, aggregator=aggregator))(
        tf.constant([[10.0]]), tf.constant([[1.0, 2, 3]])
    )
    np.testing.assert_array_equal(found, [expected])


def test_dueling_streams_of_components():
    value, advantage = tf.constant([[10.0]]), tf.constant([[1.0, 3.0, 5.0]])
    np.testing.assert_array_equal(ops.dueling(value, advantage, [2, 1]), [[9.0, 11.0, 10.0]])
    np.testing.assert_array_equal(ops.dueling(value, advantage, [2, 1], "max"), [[8.0, 10.0, 10.0]])
    np.testing.assert_array_equal(ops.dueling(value, advantage, [2, 1], "naive"), [[11.0, 13.0, 15.0]])


@pytest.mark.parametrize("wrong", ["foo", "Mean", None, True, 1])
def test_unknown_aggregators(wrong):
    with pytest.raises(ValueError, match="`aggregator` must be one of"):
        ops.dueling([[1.0]], [[1.0]], aggregator=wrong)


def test_every_row_is_its_own():
    rng = np.random.default_rng(0)
    value, advantage = rng.normal(size=(5, 1)).astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32)
    for aggregator, order in itertools.product(("mean", "max", "naive"), ([4, 2, 0, 1, 3], [1, 0, 3, 2, 4])):
        whole = ops.dueling(value, advantage, aggregator=aggregator).numpy()
        found = ops.dueling(value[order], advantage[order], aggregator=aggregator)
        np.testing.assert_allclose(found, whole[order], rtol=1e-5, atol=1e-6)  # rows may be added in other orders
