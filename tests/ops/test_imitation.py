import math

import numpy as np
import pytest
import tensorflow as tf

from kagent import ops

LOG2, LOG3 = math.log(2.0), math.log(3.0)


def test_cross_entropy(mode):
    # Components of 2 and 3 values. Row 0: weights 1 : 1 and 1 : 2 : 3, of which 1/2 and 2/6 are taken: log 2 + log 3.
    # Row 1: weights 3 : 1 and 1 : 1 : 1, of which 3/4 and 1/3 are taken: log 4/3 + log 3 = log 4.
    table = tf.constant([[5.0, 5.0, 0.0, LOG2, LOG3], [LOG3, 0.0, -7.0, -7.0, -7.0]])
    loss = mode(lambda t, a: ops.cross_entropy(t, a, [2, 3]))(table, tf.constant([[1, 1], [0, 2]]))
    np.testing.assert_allclose(loss, [LOG2 + LOG3, 2 * LOG2], rtol=1e-6)


def test_what_is_forbidden_takes_no_part(mode):
    # Without the second value, weights 1 and 3 are left: -log 3/4; without both others, the last is certain.
    table, mask = tf.constant([[0.0, 99.0, LOG3]] * 2), tf.constant([[True, False, True], [False, False, True]])

    @mode
    def both(table):
        with tf.GradientTape() as tape:
            tape.watch(table)
            loss = ops.cross_entropy(table, tf.constant([2, 2]), [3], mask)
        return loss, tape.gradient(loss, table)

    loss, gradient = both(table)
    np.testing.assert_allclose(loss, [math.log(4 / 3), 0.0], rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0.25, 0.0, -0.25], [0.0, 0.0, 0.0]], atol=1e-6)


def test_a_forbidden_action_is_finite(mode):
    loss = mode(lambda t: ops.cross_entropy(t, tf.constant([0]), [2], tf.constant([[False, True]])))(tf.zeros((1, 2)))
    assert np.isfinite(loss.numpy()).all() and loss.numpy()[0] > 1e8


@pytest.mark.parametrize("shape", [(4, 2), (4, 1, 2)])
def test_actions_of_any_shape(shape):
    table = tf.random.stateless_normal((4, 5), (0, 1))
    action = tf.constant([[0, 2], [1, 0], [1, 1], [0, 0]])
    expected = ops.cross_entropy(table, action, [2, 3])
    np.testing.assert_array_equal(ops.cross_entropy(table, tf.reshape(action, shape), [2, 3]), expected)
    assert expected.dtype == tf.float32 and expected.shape == (4,)
