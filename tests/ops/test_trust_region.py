import numpy as np
import pytest
import tensorflow as tf

from kagent import ops

# A = [[4, 1], [1, 3]], b = [1, 2], from 0: the textbook example. First step: |b|^2 / b'Ab = 5 / 20.
A = np.array([[4.0, 1.0], [1.0, 3.0]], np.float32)
B = np.array([1.0, 2.0], np.float32)


@pytest.mark.parametrize("iterations, expected", [(1, [0.25, 0.5]), (2, [1 / 11, 7 / 11]), (10, [1 / 11, 7 / 11])])
def test_conjugate_gradient_by_hand(mode, iterations, expected):
    found = mode(lambda b: ops.conjugate_gradient(lambda v: tf.linalg.matvec(A, v), b, iterations))(B)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_it_solves_larger_systems(mode):
    generator = np.random.default_rng(0)
    root = generator.normal(size=(12, 12))
    matrix, b = (root @ root.T + np.eye(12)).astype(np.float32), generator.normal(size=12).astype(np.float32)
    found = mode(lambda b: ops.conjugate_gradient(lambda v: tf.linalg.matvec(matrix, v), b, 40))(b)
    np.testing.assert_allclose(found, np.linalg.solve(matrix.astype(np.float64), b), atol=2e-4)


def test_it_ends_where_there_is_nothing_to_do(mode):
    zero = np.zeros(2, np.float32)
    solve = mode(lambda b, a: ops.conjugate_gradient(lambda v: tf.linalg.matvec(a, v), b, 5))
    np.testing.assert_array_equal(solve(zero, A), zero)
    np.testing.assert_array_equal(solve(B, np.zeros((2, 2), np.float32)), zero)  # flat in every direction
    np.testing.assert_array_equal(solve(B, -A), zero)


def test_products_are_counted():
    calls = []

    def product(vector):
        calls.append(1)
        return 2.0 * vector

    np.testing.assert_allclose(ops.conjugate_gradient(product, B, 10), B / 2)
    assert len(calls) == 1  # exact after the first, and it saw that


@pytest.mark.parametrize(
    "curvature, radius, expected",
    [(8.0, 1.0, 0.5), (0.02, 0.01, 1.0), (2.0, 0.0, 0.0), (0.0, 0.01, 0.0), (-1.0, 0.01, 0.0), (np.nan, 0.01, 0.0),
     (np.inf, 0.01, 0.0)],
)  # fmt: skip
def test_lengths(mode, curvature, radius, expected):
    found = mode(ops.trust_region_length)(np.float32(curvature), np.float32(radius))
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_line_search_by_hand(mode):
    # From 1 the whole step leads to -3 and half of it to -1, which are no better; a quarter of it leads to 0.
    search = mode(lambda start: ops.line_search(lambda x: x * x, start, -4.0, 8.0))
    improved, x = search(tf.constant(1.0))
    assert bool(improved) and float(x) == 0.0
    improved, x = search(tf.constant(0.0))  # there is nothing better
    assert not bool(improved) and float(x) == 0.0
    search = mode(lambda start: ops.line_search(lambda x: x * x, start, -4.0, 8.0, max_backtracks=2))
    improved, x = search(tf.constant(1.0))
    assert not bool(improved) and float(x) == 1.0


def test_line_search_wants_enough(mode):
    # A quarter of the step makes x*x smaller by 1 where 2 were expected: a ratio of one half.
    search = mode(lambda ratio: ops.line_search(tf.square, 1.0, -4.0, 8.0, accept_ratio=ratio))
    for ratio, expected in ((0.49, 0.0), (0.51, 0.5)):
        improved, x = search(tf.constant(ratio))
        assert bool(improved) and float(x) == expected, ratio
    improved, x = ops.line_search(lambda x: tf.reduce_sum(x * x), [1.0, 2.0], [-1.0, -2.0], 10.0)
    assert bool(improved) and x.numpy().tolist() == [0.0, 0.0]


def test_line_search_within_limits(mode):
    # Whatever makes x smaller, where it is not below -0.6: the shares 1, 1/2 and 1/4 of a step of -2 lead to -1, 0 ...
    search = mode(lambda start: ops.line_search(lambda x: x, start, -2.0, before=start, within=lambda x: x >= -0.6))
    improved, x = search(tf.constant(1.0))
    assert bool(improved) and float(x) == 0.0
    improved, x = search(tf.constant(-0.55))
    assert bool(improved) and float(x) == pytest.approx(-0.55 - 2.0 / 64)
    improved, x = search(tf.constant(-0.7))
    assert not bool(improved) and float(x) == np.float32(-0.7)
