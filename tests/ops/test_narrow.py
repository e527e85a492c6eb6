"""Products with few columns, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kagent import ops


def test_gradients_by_hand():
    x, kernel = tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([[1.0, 0.0], [0.5, 3.0]])
    slope = tf.constant([[1.0, 10.0], [2.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        y = ops.narrow_product(x, kernel)
    assert y.numpy().tolist() == [[2.0, 6.0], [5.0, 12.0]]
    of_x, of_kernel = tape.gradient(y, [x, kernel], slope)
    assert of_x.numpy().tolist() == [[1.0, 30.5], [2.0, 1.0]]  # 1 * 1 + 10 * 0, 1 * 0.5 + 10 * 3; 2 * 1, 2 * 0.5
    assert of_kernel.numpy().tolist() == [[7.0, 10.0], [10.0, 20.0]]  # 1 * 1 + 3 * 2, 1 * 10; 2 * 1 + 4 * 2, 2 * 10


@pytest.mark.parametrize("columns", [2, 3, 4])
def test_first_and_second_gradients_are_those_of_the_product(columns):
    random = np.random.default_rng(columns)
    x, kernel, slope = (
        tf.constant(random.normal(size=shape).astype(np.float32)) for shape in ((5, 3), (3, columns), (5, columns))
    )

    def gradients(product):
        with tf.GradientTape() as outer:
            outer.watch([x, kernel])
            with tf.GradientTape() as inner:
                inner.watch([x, kernel])
                y = tf.reduce_sum(tf.tanh(product(x, kernel)) * slope)
            first = inner.gradient(y, [x, kernel])
            norm = tf.reduce_sum([tf.reduce_sum(each**2) for each in first])
        return [*first, *outer.gradient(norm, [x, kernel])]

    for ours, theirs in zip(gradients(ops.narrow_product), gradients(tf.matmul)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
