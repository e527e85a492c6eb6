"""Intrinsic rewards' equations, with numbers worked out by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kagent.preprocessing import novelty_equations as novelty

TWO = [  # 2 inputs, 2 hidden units, 1 feature
    (np.array([[1.0, -1.0], [2.0, 0.5]]), np.array([0.0, 0.25])),
    (np.array([[3.0], [4.0]]), np.array([-1.0])),
]


def test_features_by_hand():
    # Hidden: (1 + 2, -1 + 0.5 + 0.25) = (3, -0.25), after ReLU (3, 0); feature: 9 - 1.
    inputs, hidden, feature = novelty.features(np.array([[1.0, 1.0]]), TWO)
    assert inputs.tolist() == [[1.0, 1.0]]
    assert hidden.tolist() == [[3.0, 0.0]]
    assert feature.tolist() == [[8.0]]


def test_error_is_the_mean_over_features_and_one_for_each_observation():
    error = novelty.distillation_error(np.array([[1.0, 3.0], [0.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 2.0]]))
    assert error.tolist() == [2.5, 2.0]


def test_gradients_by_hand():
    # d error / d feature = 2 (8 - 6) = 4. Kernel 2: 4 (3, 0). Into the hidden units: 4 (3, 4), of which the second is cut off.
    found = novelty.features(np.array([[1.0, 1.0]]), TWO)
    first, second = novelty.distillation_gradients(found, np.array([[6.0]]), TWO)
    assert second[0].tolist() == [[12.0], [0.0]] and second[1].tolist() == [4.0]
    assert first[0].tolist() == [[12.0, 0.0], [12.0, 0.0]] and first[1].tolist() == [12.0, 0.0]


@given(st.integers(0, 10**6), st.integers(1, 4), st.lists(st.integers(1, 5), max_size=3))
def test_gradients_are_the_slopes_of_the_error(seed, count, units):
    rng = np.random.default_rng(seed)
    sizes = (3, *units, 2)
    weights = [(rng.normal(size=pair), rng.normal(size=pair[1])) for pair in itertools.pairwise(sizes)]
    x, target = rng.normal(size=(count, 3)), rng.normal(size=(count, 2))

    def error():
        return novelty.distillation_error(novelty.features(x, weights)[-1], target).mean()

    gradients = novelty.distillation_gradients(novelty.features(x, weights), target, weights)
    for pair, slopes in zip(weights, gradients):
        for array, slope in zip(pair, slopes):
            where = tuple(rng.integers(size) for size in array.shape)
            before, change = array[where], 1e-6
            array[where] = before + change
            above = error()
            array[where] = before - change
            below = error()
            array[where] = before
            # Where ReLU has its corner between the two, the slope is one of both sides: not with these draws.
            assert slope[where] == pytest.approx((above - below) / (2 * change), rel=1e-4, abs=1e-4)


def test_two_steps_of_adam_by_hand():
    first, second, step = novelty.adam_step(np.zeros(1), np.zeros(1), np.array([2.0]), 1, 0.1)
    assert (first[0], second[0]) == (pytest.approx(0.2), pytest.approx(0.004))
    assert step[0] == pytest.approx(-0.1)
    first, second, step = novelty.adam_step(first, second, np.array([0.0]), 2, 0.1)
    assert (first[0], second[0]) == (pytest.approx(0.18), pytest.approx(0.003996))
    # 0.18 / (1 - 0.81) over sqrt(0.003996 / (1 - 0.998001)).
    assert step[0] == pytest.approx(-0.1 * 0.9473684 / 1.4138601, rel=1e-6)
