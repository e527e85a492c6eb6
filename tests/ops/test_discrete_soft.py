import numpy as np
import tensorflow as tf

from kagent.ops import categorical_entropy, soft_value
from kagent.ops.td import MASKED

LOG_PROB = np.log(np.float32([[0.25, 0.75], [0.5, 0.5]]))


def test_soft_value_by_hand(mode):
    # 0.25 * 4 + 0.75 * 8 = 7, and entropy 0.5623 at a temperature of 2; 3, and log 2.
    found = mode(lambda p, q: soft_value(p, q, 2.0))(LOG_PROB, np.float32([[4, 8], [2, 4]]))
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    np.testing.assert_allclose(found, [7 + 2 * entropy, 3 + 2 * np.log(2)], rtol=1e-6)


def test_entropy_by_hand(mode):
    found = mode(categorical_entropy)(LOG_PROB)
    np.testing.assert_allclose(found, [0.5623351, np.log(2)], rtol=1e-6)


def test_forbidden_actions_count_for_nothing(mode):
    logits = np.float32([[1.0, MASKED, 1.0]])

    def both(q):
        log_prob = tf.nn.log_softmax(tf.constant(logits))
        return soft_value(log_prob, q, 1.0), categorical_entropy(log_prob)

    value, entropy = mode(both)(np.float32([[2, 1e6, 4]]))
    np.testing.assert_allclose([value[0], entropy[0]], [3 + np.log(2), np.log(2)], rtol=1e-6)


def test_no_gradient_flows_through_the_temperature():
    log_prob, temperature = tf.constant(LOG_PROB), tf.constant(0.5)
    with tf.GradientTape() as tape:
        tape.watch([log_prob, temperature])
        total = tf.reduce_sum(soft_value(log_prob, tf.constant([[4.0, 8.0], [2.0, 4.0]]), temperature))
    slope, none = tape.gradient(total, [log_prob, temperature])
    assert none is None
    # Of p * (q - t * log p) by log p: p * (q - t * log p - t).
    np.testing.assert_allclose(slope[0, 0], 0.25 * (4 - 0.5 * np.log(0.25) - 0.5), rtol=1e-6)
