import numpy as np
import pytest
import tensorflow as tf

from kagent.ops import batch_renormalization

X = np.float32([[1.0], [3.0]])  # mean 2, variance 1


@pytest.mark.parametrize(
    "mean, variance, limits, expected",
    [
        (0.0, 4.0, (3, 5), [0.5, 1.5]),  # r = 1/2 and d = 1: what the moving statistics make of x
        (0.0, 1 / 64, (3, 5), [2.0, 8.0]),  # r = 8, cut to 3; d = 16, cut to 5
        (6.0, 1 / 4, (3, 5), [-7.0, -3.0]),  # r = 2; d = -8, cut to -5
        (0.0, 100.0, (3, 5), [0.2 - 1 / 3, 0.2 + 1 / 3]),  # r = 1/10, cut to 1/3; d = 1/5
        (7.0, 9.0, (1, 0), [-1.0, 1.0]),  # batch normalization
    ],
)
def test_numbers_by_hand(mode, mean, variance, limits, expected):
    found = mode(lambda x, m, v: batch_renormalization(x, m, v, *limits, epsilon=0.0))(
        X, np.float32([mean]), np.float32([variance])
    )
    np.testing.assert_allclose(found[0][:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose([found[1][0], found[2][0]], [2.0, 1.0], rtol=1e-6)


def test_epsilon_is_in_both_deviations():
    # Deviations sqrt(1 + 3) and sqrt(13 + 3): r = 1/2, d = 2/4.
    found, _, _ = batch_renormalization(X, [0.0], [13.0], epsilon=3.0)
    np.testing.assert_allclose(found[:, 0], [-0.5 * 0.5 + 0.5, 0.5 * 0.5 + 0.5], rtol=1e-6)


def test_statistics_are_over_all_axes_but_the_last():
    x = np.float32([[[1, 10], [3, 10]], [[5, 10], [7, 18]]])
    _, mean, variance = batch_renormalization(x, [0.0, 0.0], [1.0, 1.0])
    np.testing.assert_allclose(mean, [4, 12], rtol=1e-6)
    np.testing.assert_allclose(variance, [5, 12], rtol=1e-6)


def test_the_gradient_is_that_of_batch_normalization():
    """Two numbers are always normalized to -1 and 1. The correction, which no gradient flows through, is only a factor."""
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        first = batch_renormalization(x, [0.0], [4.0], epsilon=0.0)[0][0, 0]
    np.testing.assert_allclose(tape.gradient(first, x), [[0], [0]], atol=1e-6)


def test_moving_statistics_of_one_shape():
    with pytest.raises(ValueError, match=r"`moving_mean`, `moving_variance` must have one shape"):
        batch_renormalization(X, [0.0], [1.0, 1.0])
