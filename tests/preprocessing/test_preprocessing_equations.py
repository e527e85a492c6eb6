"""Equations of preprocessing, against numbers worked out by hand and against TensorFlow's own resizing."""

import numpy as np
import pytest
import tensorflow as tf

from kagent.preprocessing.equations import (
    linear_normalization,
    luminance,
    merged_moments,
    resize_bilinear,
    running_return,
    standardize,
)


def test_linear_normalization_goes_from_minus_two_to_two():
    low, high = [0.0, -1.0, -np.inf, 0.0], [10.0, 3.0, 5.0, np.inf]
    found = linear_normalization([[0.0, 3.0, 7.0, -4.0], [7.5, 0.0, 1.0, 2.0]], low, high)
    assert found.tolist() == [[-2.0, 2.0, 7.0, -4.0], [1.0, -1.0, 1.0, 2.0]]


def test_linear_normalization_of_a_fixed_component_and_of_all_there_is():
    largest = np.finfo(np.float64).max
    low, high = [1.0, -largest, 0.0], [1.0, largest, 5e-324]
    found = linear_normalization([[1.0, 0.0, 0.0], [3.0, largest, 5e-324], [1.0, -largest / 2, 0.0]], low, high)
    assert found.tolist() == [[0.0, 0.0, -2.0], [0.0, 2.0, 2.0], [0.0, -1.0, -2.0]]


def test_merged_moments_are_those_of_all_numbers():
    # {1, 3}: mean 2, variance 1; {5, 5, 8}: mean 6, variance 2. Together: 1, 3, 5, 5, 8: mean 22/5, variance 27.2/5.
    weight, mean, variance = merged_moments(2.0, [2.0], [1.0], 3.0, [6.0], [2.0])
    assert weight == 5.0
    np.testing.assert_allclose([mean, variance], [[4.4], [5.44]], rtol=1e-14)


def test_merged_with_nothing_is_the_other():
    weight, mean, variance = merged_moments(0.0, np.zeros(2), np.ones(2), 1.0, [3.0, 4.0], [0.0, 2.0])
    assert (weight, mean.tolist(), variance.tolist()) == (1.0, [3.0, 4.0], [0.0, 2.0])


def test_merged_nothing_with_nothing_stays():
    weight, mean, variance = merged_moments(0.0, np.zeros(2), np.ones(2), 0.0, [3.0, 4.0], [0.0, 2.0])
    assert (weight, mean.tolist(), variance.tolist()) == (0.0, [0.0, 0.0], [1.0, 1.0])


def test_standardize():
    assert standardize([[1.0, 2.0]], [0.0, 1.0], [0.25, 0.0], floor=0.04).tolist() == [[2.0, 5.0]]
    assert standardize(3.0, 1.0, 3.0, epsilon=1.0).tolist() == 1.0


def test_luminance_of_red_green_and_blue():
    np.testing.assert_allclose(luminance(np.eye(3)), [[0.2989], [0.587], [0.114]])


def test_resizing_up_by_hand():
    # Centres of 2 pixels at 0.25 and 0.75, of 4 at 0.125, 0.375, 0.625, 0.875.
    found = resize_bilinear(np.array([0.0, 4.0]).reshape(1, 2, 1, 1), 4, 1)
    assert found.ravel().tolist() == [0.0, 1.0, 3.0, 4.0]


@pytest.mark.parametrize("size", [(7, 5), (3, 11), (84, 84), (13, 5), (1, 1)])
@pytest.mark.parametrize("source", [(13, 5), (210, 160), (2, 3)])
def test_resizing_is_tensorflows(source, size):
    x = np.random.default_rng(0).uniform(-5, 5, (2, *source, 3)).astype(np.float32)
    theirs = tf.image.resize(x, size, method="bilinear", antialias=False).numpy()
    np.testing.assert_allclose(resize_bilinear(x, *size), theirs, atol=2e-4)


def test_the_running_return_forgets_what_came_before_an_episode():
    """0.5 * 4 + 3 = 5; where an episode begins it is the reward."""
    assert running_return([4.0, 4.0], [3.0, 3.0], 0.5, [False, True]).tolist() == [5.0, 3.0]
    sums = [0.0]
    for reward in (1.0, 2.0, 3.0):
        sums = running_return(sums, [reward], 0.5, [False])
    assert sums.tolist() == [0.25 * 1.0 + 0.5 * 2.0 + 3.0]
