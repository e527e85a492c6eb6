import numpy as np
import pytest
import tensorflow as tf

from kagent import ops


def test_soft_target(mode):
    # 1 + 0.5 * (min(4, 6) - 0.5 * -2) = 3.5; min the other way: 1 + 0.5 * (2 - 0.5 * 4) = 1; terminated: 7.
    target = mode(ops.soft_target)(
        tf.constant([1.0, 1.0, 7.0]),
        tf.constant([0.5, 0.5, 0.0]),
        tf.constant([4.0, 9.0, 5.0]),
        tf.constant([6.0, 2.0, 5.0]),
        tf.constant([-2.0, 4.0, 3.0]),
        0.5,
    )
    np.testing.assert_allclose(target, [3.5, 1.0, 7.0])


def test_no_gradient_flows_through_the_soft_target(mode):
    @mode
    def gradients(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.reduce_sum(ops.soft_target(*inputs))
        return tape.gradient(total, inputs, unconnected_gradients="zero")

    inputs = [tf.constant([1.0])] * 5 + [tf.constant(0.5)]
    assert [float(tf.reduce_sum(g)) for g in gradients(*inputs)] == [0.0] * 6


def test_soft_target_refuses_shapes_that_would_broadcast():
    with pytest.raises(ValueError, match=r"one shape.*q1_next \(2, 1\)"):
        ops.soft_target(tf.zeros(2), tf.zeros(2), tf.zeros((2, 1)), tf.zeros(2), tf.zeros(2), 0.1)


def test_soft_policy_loss(mode):
    loss = mode(ops.soft_policy_loss)(tf.constant([-1.0, 2.0]), tf.constant([3.0, 4.0]), 0.5)
    np.testing.assert_allclose(loss, [-3.5, -3.0])


def test_the_policy_loss_moves_policy_and_action_not_the_temperature(mode):
    @mode
    def gradients(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.reduce_sum(ops.soft_policy_loss(*inputs))
        return tape.gradient(total, inputs, unconnected_gradients="zero")

    of_log_prob, of_q, of_temperature = gradients(tf.constant([2.0]), tf.constant([3.0]), tf.constant(0.5))
    assert (float(of_log_prob[0]), float(of_q[0]), float(of_temperature)) == (0.5, -1.0, 0.0)


def test_temperature_loss_and_its_gradient(mode):
    @mode
    def loss_and_gradients(log_temperature, log_prob):
        with tf.GradientTape() as tape:
            tape.watch((log_temperature, log_prob))
            loss = ops.temperature_loss(log_temperature, log_prob, -3.0)
        return loss, tape.gradient(loss, (log_temperature, log_prob), unconnected_gradients="zero")

    # Entropy -log_prob = -5 is 2 below the target -3: the temperature must rise, so its gradient is negative.
    loss, (of_temperature, of_log_prob) = loss_and_gradients(tf.constant(0.5), tf.constant([5.0]))
    assert (float(loss[0]), float(of_temperature), float(of_log_prob[0])) == (-1.0, -2.0, 0.0)


def test_polyak(mode):
    polyak = mode(ops.polyak)
    target, source = tf.constant([0.1, 1e8]), tf.constant([0.3, 1.0])
    np.testing.assert_allclose(polyak(target, source, 0.25), [0.15, 75000000.25])
    np.testing.assert_array_equal(polyak(target, source, 0.0), target)
    np.testing.assert_array_equal(polyak(target, source, 1.0), source)


def test_the_smallest_of_the_drawn_critics(mode):
    # The second and the fourth critic have the smallest draws; of one, the fourth alone.
    values = tf.constant([[0.0, 0.0], [5.0, 2.0], [1.0, 1.0], [3.0, 4.0]])
    draws = tf.constant([0.9, 0.2, 0.5, 0.1])
    np.testing.assert_array_equal(mode(lambda v, d: ops.subset_minimum(v, d, 2))(values, draws), [3.0, 2.0])
    np.testing.assert_array_equal(mode(lambda v, d: ops.subset_minimum(v, d, 1))(values, draws), [3.0, 4.0])
    np.testing.assert_array_equal(mode(lambda v, d: ops.subset_minimum(v, d, 4))(values, draws), [0.0, 0.0])
