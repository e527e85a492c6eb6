import math

import numpy as np
import pytest
import tensorflow as tf

from kagent.ops import deviation, state_dependent_log_std


def test_deviations_by_hand(mode):
    given = np.float32([-1.0, 0.0, 1.0, math.e - 1.0])
    np.testing.assert_allclose(mode(deviation)(given), [math.exp(-1), 1.0, math.e, math.exp(math.e - 1)], rtol=1e-6)
    # Linear in log(1 + x) above 0: 1 + log 2, and 1 + log e.
    found = mode(lambda x: deviation(x, True))(given)
    np.testing.assert_allclose(found, [math.exp(-1), 1.0, 1.0 + math.log(2), 2.0], rtol=1e-6)


def test_expln_has_finite_gradients_where_exp_has_none():
    log_std = tf.constant([-200.0, 0.0, 99.0])
    with tf.GradientTape() as tape:
        tape.watch(log_std)
        found = deviation(log_std, expln=True)
    np.testing.assert_allclose(tape.gradient(found, log_std), [0.0, 1.0, 0.01], rtol=1e-6)
    np.testing.assert_allclose(found, [0.0, 1.0, 1.0 + math.log(100)], rtol=1e-6)


def test_log_std_by_hand(mode):
    """Features 3 and -4. Deviations 1 and 1: 9 + 16 = 25. Deviations 2 and 1/2: 9 * 4 + 16 / 4 = 40. No features: 1e-6."""
    log_std = np.log(np.float32([[1.0, 2.0], [1.0, 0.5]]))
    found = mode(state_dependent_log_std)(np.float32([[3.0, -4.0], [0.0, 0.0]]), log_std)
    expected = [[0.5 * math.log(25.0), 0.5 * math.log(40.0)], [0.5 * math.log(1e-6)] * 2]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("expln", [False, True])
def test_one_column_is_for_all(expln):
    features, log_std = np.float32([[0.5, 2.0]]), np.float32([[0.3], [-0.4]])
    both = state_dependent_log_std(features, np.repeat(log_std, 2, 1), expln)
    found = state_dependent_log_std(features, log_std, expln)
    assert found.shape == (1, 1)
    np.testing.assert_array_equal(both, np.repeat(found, 2, 1))
