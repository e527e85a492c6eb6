import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kagent.ops import discount_factor, greedy_value, huber, q_learning, select, weighted_mean
from kagent.ops.td import select as select_of_td

NVEC = (2, 3)
#                  component 0 | component 1
Q = np.float32([[1.0, 5.0, 2.0, 9.0, 4.0], [3.0, -1.0, 0.0, -2.0, -4.0]])
ONLINE = np.float32([[7.0, 6.0, 0.0, 1.0, 2.0], [0.0, 1.0, 5.0, 6.0, 4.0]])
MASK = np.array([[True, False, True, False, True], [True, True, False, True, True]])


def test_greedy_value(mode):
    np.testing.assert_array_equal(mode(lambda q: greedy_value(q, NVEC))(Q), [[5.0, 9.0], [3.0, 0.0]])


def test_greedy_value_of_allowed_actions_only(mode):
    value = mode(lambda q, mask: greedy_value(q, NVEC, mask=mask))(Q, MASK)
    np.testing.assert_array_equal(value, [[1.0, 4.0], [3.0, -2.0]])


def test_double_q_learning_takes_the_other_networks_choice(mode):
    # Chosen by ONLINE: row 0 (0, 2), row 1 (1, 1); valued by Q.
    value = mode(lambda q, online: greedy_value(q, NVEC, selector=online))(Q, ONLINE)
    np.testing.assert_array_equal(value, [[1.0, 4.0], [-1.0, -2.0]])


def test_double_q_learning_chooses_among_allowed_actions(mode):
    value = mode(lambda q, mask, online: greedy_value(q, NVEC, mask, online))(Q, MASK, -ONLINE)
    # Chosen by -ONLINE among the allowed: row 0 (0 | 0, 2) 0 | 0, row 1 (0, 1 | 1, 2) 0 | 2.
    np.testing.assert_array_equal(value, [[1.0, 2.0], [3.0, -4.0]])


def test_a_row_that_allows_nothing_is_removed_by_the_discount(mode):
    @mode
    def target(q, mask, reward, discount):
        return q_learning(tf.zeros((1, 2)), reward, discount, greedy_value(q, NVEC, mask, q))[1]

    discount = discount_factor(0.9, [True])
    assert float(target(Q[:1], np.zeros((1, 5), bool), np.float32([2.0]), discount)[0]) == 2.0


def test_q_learning_of_one_component(mode):
    # Targets: 1 + 0.5 * 4 = 3, and 2 where the episode terminated.
    error, target = mode(q_learning)(
        tf.constant([[1.0], [5.0]]),
        tf.constant([1.0, 2.0]),
        tf.constant([0.5, 0.0]),
        tf.constant([[4.0], [9.0]]),
    )
    np.testing.assert_array_equal(target, [3.0, 2.0])
    np.testing.assert_array_equal(error, [[2.0], [-3.0]])


def test_components_share_the_target_of_the_mean(mode):
    # 1 + 0.5 * (4 + 8 + 0) / 3 = 3
    error, target = mode(q_learning)(
        tf.constant([[1.0, 2.0, 3.0]]), tf.constant([1.0]), tf.constant([0.5]), tf.constant([[4.0, 8.0, 0.0]])
    )
    np.testing.assert_array_equal(target, [3.0])
    np.testing.assert_array_equal(error, [[2.0, 1.0, 0.0]])


def test_columns_do_not_become_matrices():
    column = tf.constant([[1.0], [2.0]])
    error, target = q_learning(tf.zeros((2, 3)), column, column, column)
    np.testing.assert_array_equal(target, [2.0, 6.0])
    np.testing.assert_array_equal(error, [[2.0] * 3, [6.0] * 3])
    error, target = q_learning(tf.zeros(2), [1.0, 2.0], [1.0, 2.0], [1.0, 2.0])
    np.testing.assert_array_equal(error, [2.0, 6.0])
    with pytest.raises(ValueError, match=r"`reward`.*one shape.*reward \(3,\).*q_next_value \(2,\)"):
        q_learning(tf.zeros((2, 1)), tf.zeros(3), tf.zeros(3), column)


def test_no_gradient_flows_through_the_target(mode):
    @mode
    def gradients(q, q_next):
        with tf.GradientTape() as tape:
            tape.watch((q, q_next))
            taken = select_of_td(q, tf.constant([[1, 2], [0, 0]]), NVEC)
            error, _ = q_learning(taken, [0.75, 1.0], [0.5, 0.5], greedy_value(q_next, NVEC))
            loss = weighted_mean(huber(error), [1.0, 0.0])
        return tape.gradient(loss, (q, q_next), unconnected_gradients="zero")

    of_q, of_next = gradients(tf.constant(Q), tf.constant(Q))
    # Row 0: target 0.75 + 0.5 * (5 + 9) / 2 = 4.25; errors -0.75 and 0.25, each with half the weight.
    # Row 1: padding.
    np.testing.assert_allclose(of_q, [[0.0, 0.375, 0.0, 0.0, -0.125], [0.0] * 5])
    np.testing.assert_array_equal(of_next, np.zeros((2, 5)))


def test_huber(mode):
    error = tf.constant([-3.0, -1.0, -0.5, 0.0, 0.5, 2.0])
    # Inside: e**2 / 2; outside: |e| - 1/2.
    np.testing.assert_allclose(mode(huber)(error), [2.5, 0.5, 0.125, 0.0, 0.125, 1.5])
    # delta 2: |e| = 3 gives 2 * (3 - 1).
    np.testing.assert_allclose(mode(lambda e: huber(e, 2.0))(error), [4.0, 0.5, 0.125, 0.0, 0.125, 2.0])


def test_gradient_of_huber_is_the_clipped_error(mode):
    @mode
    def gradient(error):
        with tf.GradientTape() as tape:
            tape.watch(error)
            total = tf.reduce_sum(huber(error))
        return tape.gradient(total, error)

    error = tf.constant([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(gradient(error), np.clip(error, -1, 1))


@settings(max_examples=20, deadline=None)
@given(
    hnp.arrays(np.float32, (4, 5), elements=st.integers(-20, 20)),
    hnp.arrays(np.float32, (4, 5), elements=st.integers(-20, 20)),
    hnp.arrays(bool, (4, 5)),
)
def test_greedy_value_equals_a_loop(q, online, mask):
    mask[:, [0, 2]] = True  # something is allowed in every component
    expected = np.empty((4, 2), np.float32)
    for row in range(4):
        for component, values in enumerate((range(0, 2), range(2, 5))):
            allowed = [i for i in values if mask[row, i]]
            expected[row, component] = q[row, max(allowed, key=lambda i: online[row, i])]
    np.testing.assert_array_equal(greedy_value(q, NVEC, mask, online), expected)
    assert select is select_of_td
