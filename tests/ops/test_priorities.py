"""Shares and importance weights of prioritized transitions, by hand and at the ends of float64."""

import numpy as np
import pytest

from kagent.ops.priorities import importance_weights, sequence_priorities, shares


def test_shares_are_powers():
    assert shares(np.array([4.0, 9.0, 0.25]), 0.5).tolist() == [2.0, 3.0, 0.5]
    assert shares(np.array([4.0, 1e300]), 0.0).tolist() == [1.0, 1.0]


@pytest.mark.filterwarnings("error")
def test_shares_stay_where_sums_of_them_are_finite():
    assert shares(np.array([1e-6, 1e38, 1.0, 5e-324, 1e308]), 1e9).tolist() == [1e-120, 1e120, 1.0, 1e-120, 1e120]
    assert shares(np.array(2.0), 1e308) == 1e120


@pytest.mark.filterwarnings("error")
def test_importance_weights_by_hand():
    # 4 transitions: (4 * P)**-0.5 = 1/sqrt(2), 1, sqrt(2); the largest is 1.
    found = importance_weights(np.array([[0.5, 0.25, 0.125], [0.25, 0.25, 0.25]]), 4, 0.5)
    np.testing.assert_allclose(found, [[0.5, 0.5**0.5, 1.0], [1.0, 1.0, 1.0]], rtol=1e-6)
    assert found.dtype == np.float32
    tiny = float(np.finfo(np.float32).tiny)
    assert importance_weights(np.array([[1.0, 1e-240]]), 10, 1.0).tolist() == [[tiny, 1.0]]
    assert importance_weights(np.array([[1.0, 1e-240]]), 10, 0.0).tolist() == [[1.0, 1.0]]


def test_priorities_of_sequences_by_hand():
    # Largest 3 and mean 2, largest 2 and mean 1: 0.9 * 3 + 0.1 * 2, 0.9 * 2 + 0.1 * 1.
    np.testing.assert_allclose(sequence_priorities(np.array([[1.0, 0.0], [-3.0, 2.0]]), 0.9), [2.9, 1.9])
