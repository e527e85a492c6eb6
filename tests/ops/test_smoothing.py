import numpy as np
import pytest
import tensorflow as tf

from kagent.ops import smoothed_action

ACTION = np.float32([[0.0, 0.75, -0.5, 0.25]])


def test_numbers_by_hand(mode):
    # Noise 0.25 * (1, 4, -4, 0): 0.25; 1 cut to 0.5, and 1.25 to 1; -1 cut to -0.5, which leads to -1; nothing.
    found = mode(lambda a, draw: smoothed_action(a, draw, 0.25, 0.5))(ACTION, np.float32([[1, 4, -4, 0]]))
    np.testing.assert_array_equal(found, [[0.25, 1.0, -1.0, 0.25]])


@pytest.mark.parametrize("deviation, limit", [(0.0, 0.5), (0.2, 0.0)])
def test_no_noise_leaves_the_action(deviation, limit):
    np.testing.assert_array_equal(smoothed_action(ACTION, 9 * np.ones((1, 4), np.float32), deviation, limit), ACTION)


def test_a_gradient_flows_where_nothing_is_cut():
    action = tf.constant(ACTION)
    with tf.GradientTape() as tape:
        tape.watch(action)
        total = tf.reduce_sum(smoothed_action(action, np.float32([[1, 4, 1, 0]]), 0.25, 0.5))
    np.testing.assert_array_equal(tape.gradient(total, action), [[1, 0, 1, 1]])
