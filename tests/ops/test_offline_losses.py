"""Losses of offline learning, by hand."""

import numpy as np
import pytest
import tensorflow as tf

from kagent import ops


def test_the_regularized_loss_by_hand():
    # mean |value| = 3, so that the factor is 6 / 3 = 2; mean of distances 0.5, of values 1.
    assert float(ops.regularized_policy_loss([4.0, -2.0], [1.0, 0.0], alpha=6.0)) == pytest.approx(0.5 - 2 * 1)
    # With weights 3 and 1: mean |value| 3.5, mean of values 2.5, of distances 0.75.
    found = ops.regularized_policy_loss([4.0, -2.0], [1.0, 0.0], alpha=7.0, weight=[3.0, 1.0])
    assert float(found) == pytest.approx(0.75 - 2 * 2.5)
    assert np.isfinite(float(ops.regularized_policy_loss([0.0], [1.0], alpha=2.5)))


def test_the_scale_of_values_is_no_matter_and_gets_no_gradient():
    values = tf.constant([4.0, -2.0])
    with tf.GradientTape() as tape:
        tape.watch(values)
        loss = ops.regularized_policy_loss(values, [1.0, 0.0], alpha=6.0)
    np.testing.assert_allclose(tape.gradient(loss, values), [-1.0, -1.0])  # -factor / 2 each
    large = ops.regularized_policy_loss(100 * values, [1.0, 0.0], alpha=6.0)
    assert float(large) == pytest.approx(float(loss))
