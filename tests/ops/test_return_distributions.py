import numpy as np
import pytest
import tensorflow as tf

from kagent.ops import fraction_cosines, greedy_index, project, quantile_huber, select_atoms, truncate

NVEC = (2, 3)
VALUES = np.float32([[1.0, 5.0, 2.0, 9.0, 4.0], [3.0, -1.0, 0.0, -2.0, -4.0]])
MASK = np.array([[True, False, True, False, True], [False, True, False, True, True]])


def test_greedy_index(mode):
    np.testing.assert_array_equal(mode(lambda q: greedy_index(q, NVEC))(VALUES), [[1, 1], [0, 0]])
    np.testing.assert_array_equal(mode(lambda q, m: greedy_index(q, NVEC, m))(VALUES, MASK), [[0, 2], [1, 1]])


def test_select_atoms(mode):
    table = np.arange(20, dtype=np.float32).reshape(2, 5, 2)
    found = mode(lambda x: select_atoms(x, [[1, 0], [0, 2]], NVEC))(table)
    np.testing.assert_array_equal(found, [[[2, 3], [4, 5]], [[10, 11], [18, 19]]])


def test_quantile_huber_by_hand(mode):
    # tau is 1/4 and 3/4. Of quantile 0: errors 1, 4 with Huber's 0.5, 3.5, a quarter of each. Of quantile 2: errors -1, 2
    # with 0.5, 1.5; the first is below 0 and has weight |3/4 - 1|.
    found = mode(quantile_huber)(np.float32([[0.0, 2.0]]), np.float32([[1.0, 4.0]]))
    np.testing.assert_allclose(found, [[(0.5 + 3.5) / 4 / 2, (0.5 / 4 + 1.5 * 3 / 4) / 2]])


def test_other_kappas_by_hand(mode):
    # Errors 1 and -3 of the only quantile, whose weights are a half.
    one, two = np.float32([[2.0]]), np.float32([[3.0, -1.0]])
    for kappa, sizes in ((0.0, (1, 3)), (2.0, (0.5, 2 * (3 - 1)))):
        found = mode(lambda q, t, kappa=kappa: quantile_huber(q, t, kappa))(one, two)
        np.testing.assert_allclose(found, [[sum(sizes) / 2 / 2]])


def test_quantile_huber_of_given_fractions_by_hand(mode):
    # Of quantile 0 at 0.1: errors 1 and 4 with Huber's 0.5 and 3.5, a tenth of each. Of quantile 2 at 0.9: errors -1 and 2 with
    # 0.5 and 1.5, the first with the weight 0.1, the second with 0.9.
    quantiles, targets, fractions = np.float32([[0.0, 2.0]]), np.float32([[1.0, 4.0]]), np.float32([[0.1, 0.9]])
    found = mode(lambda q, t, f: quantile_huber(q, t, fractions=f))(quantiles, targets, fractions)
    np.testing.assert_allclose(found, [[(0.05 + 0.35) / 2, (0.05 + 1.35) / 2]], rtol=1e-6)
    middle = mode(lambda q, t: quantile_huber(q, t, fractions=[0.25, 0.75]))(quantiles, targets)
    np.testing.assert_array_equal(middle, mode(quantile_huber)(quantiles, targets))


def test_cosines_of_fractions_by_hand(mode):
    found = mode(lambda x: fraction_cosines(x, 4))(np.float32([[0.0, 0.5], [1 / 3, 1.0]]))
    expected = [[[1, 1, 1, 1], [1, 0, -1, 0]], [[1, 0.5, -0.5, -1], [1, -1, 1, -1]]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_without_huber_the_minimum_is_the_quantile():
    targets = np.float32([np.arange(101)])
    where = tf.constant([[24.6, 74.6]])  # between samples 24 and 25 the quarter lies, below 25.25
    with tf.GradientTape() as tape:
        tape.watch(where)
        loss = tf.reduce_sum(quantile_huber(where, targets, 0.0))
    # 25 of 101 targets lie below 24.6, and 75 below 74.6: a step of each across one target brings the slope to 0.
    np.testing.assert_allclose(tape.gradient(loss, where), [[25 / 101 - 0.25, 75 / 101 - 0.75]], atol=1e-6)


def test_pairs_of_leading_axes(mode):
    found = mode(quantile_huber)(np.float32([[[0.0], [3.0]]]), np.float32([[[1.0, 2.0]]]))
    np.testing.assert_allclose(found, [[[(0.25 + 0.75) / 2], [(0.75 + 0.25) / 2]]])


@pytest.mark.parametrize(
    "returns, probabilities, expected",
    [
        ([0, 1, 2], [0.2, 0.3, 0.5], [0.2, 0.3, 0.5]),  # on the atoms
        ([0.5, 1.5, 2.5], [0.2, 0.3, 0.5], [0.1, 0.25, 0.65]),  # half and half; what is beyond 2 counts as 2
        ([1.25, 1.25, 1.25], [0.2, 0.3, 0.5], [0, 0.75, 0.25]),  # behind a terminal state: one return
        ([-3, -1, 0.25], [0.5, 0.25, 0.25], [0.9375, 0.0625, 0]),  # below 0 counts as 0
    ],
)
def test_projection(mode, returns, probabilities, expected):
    found = mode(lambda r, p: project(r, p, 0.0, 2.0))(np.float32([returns]), np.float32([probabilities]))
    np.testing.assert_allclose(found, [expected], atol=1e-6)


def test_projection_between_other_bounds(mode):
    # Atoms -1, 1, 3: 0 lies half way between the first two, 2.5 at three quarters between the others.
    found = mode(lambda r, p: project(r, p, -1.0, 3.0))(np.float32([[0, 2.5, 9]]), np.float32([[0.4, 0.4, 0.2]]))
    np.testing.assert_allclose(found, [[0.2, 0.2 + 0.1, 0.3 + 0.2]], atol=1e-6)


def test_truncation_by_hand(mode):
    # The largest of all, whichever critic they are of.
    pooled = np.float32([[1.0, 7.0, 9.0, 2.0, 3.0, 4.0], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]])
    np.testing.assert_array_equal(mode(lambda x: truncate(x, 2))(pooled), [[1, 2, 3, 4], [1, 2, 3, 4]])
    np.testing.assert_array_equal(mode(lambda x: truncate(x, 0))(pooled[:1]), [[1, 2, 3, 4, 7, 9]])
