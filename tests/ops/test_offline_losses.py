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


def test_an_expectile_by_hand():
    np.testing.assert_allclose(ops.expectile_loss([2.0, -2.0, 0.0], 0.75), [0.75 * 4, 0.25 * 4, 0.0])
    np.testing.assert_allclose(ops.expectile_loss([[3.0], [-3.0]], 0.5), [[4.5], [4.5]])
    # Of the values 0 and 1 the least loss of expectile 0.75 is at e with 0.25 * e = 0.75 * (1 - e).
    grid = np.linspace(0, 1, 401)
    losses = [float(tf.reduce_sum(ops.expectile_loss([0.0 - e, 1.0 - e], 0.75))) for e in grid]
    assert grid[np.argmin(losses)] == pytest.approx(0.75)


def test_weights_of_advantages_by_hand():
    found = ops.advantage_weights([0.0, 1.0, -1.0, 1000.0, -1000.0], 2.0, 50.0).numpy()
    np.testing.assert_allclose(found, [1.0, np.exp(2.0), np.exp(-2.0), 50.0, 0.0], rtol=1e-5)
    np.testing.assert_allclose(ops.advantage_weights([5.0, -5.0], 0.0, 50.0), [1.0, 1.0])
    advantage = tf.constant([1.0])
    with tf.GradientTape() as tape:
        tape.watch(advantage)
        weights = ops.advantage_weights(advantage, 2.0, 50.0)
    assert tape.gradient(weights, advantage) is None


def test_the_conservative_gap_by_hand():
    found = ops.conservative_gap([[np.log(1.0), np.log(3.0)], [1000.0, 1000.0]], [np.log(2.0), 1000.0])
    np.testing.assert_allclose(found, [np.log(2.0), np.log(2.0)], rtol=1e-3)  # 1000.69 as float32
