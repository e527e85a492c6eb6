import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent.ops import MASKED, by_component, mask_values, select

# Components of 2, 2, 3 and 1 values, side by side.
NVEC = (2, 2, 3, 1)
TABLE = np.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0]])


def test_by_component(mode):
    rows = mode(lambda table: by_component(table, NVEC, fill=-1.0))(tf.constant(TABLE, tf.float32))
    expected = [[0, 1, -1], [2, 3, -1], [4, 5, 6], [7, -1, -1]]
    np.testing.assert_array_equal(rows[0], expected)
    np.testing.assert_array_equal(rows[1], [[10, 11, -1], [12, 13, -1], [14, 15, 16], [17, -1, -1]])


def test_equal_sizes_are_a_reshape(mode):
    rows = mode(lambda table: by_component(table, (4, 4)))(tf.constant(TABLE, tf.float32))
    np.testing.assert_array_equal(rows, TABLE.reshape(2, 2, 4))


def test_wrong_width_is_refused():
    with pytest.raises(ValueError, match=r"\(batch, 8\).*Received: shape \(1, 7\)"):
        by_component(tf.zeros((1, 7)), NVEC)
    with pytest.raises(ValueError, match=r"Received: shape \(8,\)"):
        by_component(tf.zeros(8), NVEC)


def test_select(mode):
    action = tf.constant([[1, 0, 2, 0], [0, 1, 1, 0]])
    chosen = mode(lambda table, action: select(table, action, NVEC))(tf.constant(TABLE, tf.float32), action)
    np.testing.assert_array_equal(chosen, [[1, 2, 6, 7], [10, 13, 15, 17]])


def test_select_of_a_scalar_action_and_of_a_matrix(mode):
    table = tf.constant(TABLE, tf.float32)
    chosen = mode(lambda table, action: select(table, action, [8]))(table, tf.constant([3, 7]))
    np.testing.assert_array_equal(chosen, [[3], [17]])
    action = tf.constant([[[1, 0], [2, 0]], [[0, 1], [1, 0]]])
    chosen = mode(lambda table, action: select(table, action, NVEC))(table, action)
    np.testing.assert_array_equal(chosen, [[1, 2, 6, 7], [10, 13, 15, 17]])


def test_gradient_of_select_reaches_the_chosen_only(mode):
    @mode
    def gradient(table, action):
        with tf.GradientTape() as tape:
            tape.watch(table)
            total = tf.reduce_sum(select(table, action, NVEC) * [[1.0, 2.0, 3.0, 4.0]])
        return tape.gradient(total, table)

    result = gradient(tf.constant(TABLE[:1], tf.float32), tf.constant([[1, 0, 2, 0]]))
    np.testing.assert_array_equal(result, [[0, 1, 2, 0, 0, 0, 3, 4]])


def test_mask_values(mode):
    mask = tf.constant([[True, False, True]])
    masked = mode(mask_values)(tf.constant([[1.0, 2.0, 3.0]]), mask)
    np.testing.assert_array_equal(masked, [[1.0, MASKED, 3.0]])
    assert mask_values(tf.constant([[1.0]], tf.float16)).dtype == tf.float32


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_select_equals_a_loop(nvec, random):
    action = [[random.randrange(n) for n in nvec] for _ in range(3)]
    table = np.arange(3.0 * sum(nvec), dtype=np.float32).reshape(3, -1)
    starts = np.cumsum([0, *nvec])
    expected = [[table[b, starts[i] + action[b][i]] for i in range(len(nvec))] for b in range(3)]
    np.testing.assert_array_equal(select(table, np.array(action, np.int32), nvec), expected)
