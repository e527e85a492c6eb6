"""Factorised noise, with numbers worked out by hand."""

import numpy as np
import pytest

from kagent import ops


def test_scaled_noise():
    np.testing.assert_array_equal(ops.scaled_noise([4.0, -9.0, 0.0, 0.25]), [2.0, -3.0, 0.0, 0.5])


def test_a_noisy_layer():
    # Kernel [[1, 2], [3, 4]] and noise [[1 * 2, 1 * -1], [3 * 2, 3 * -1]] times deviations [[1, 2], [0.5, 1]]: [[3, 0], [6, 1]].
    # Bias [1, 1] and noise [2, -1] times deviations [0.5, 2]: [2, -1].
    given = ([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0], [[1.0, 2.0], [0.5, 1.0]], [0.5, 2.0], [1.0, 3.0], [2.0, -1.0])
    found = ops.noisy_linear([[1.0, 0.0], [2.0, 1.0]], *given)
    np.testing.assert_allclose(found, [[3 + 2, 0 - 1], [6 + 6 + 2, 0 + 1 - 1]])


@pytest.mark.parametrize("noise", [([0.0, 0.0], [2.0, -1.0]), ([1.0, 3.0], [0.0, 0.0])])
def test_without_one_factor_the_kernel_has_no_noise(noise):
    given = ([[1.0, 2.0], [3.0, 4.0]], [0.0, 0.0], [[1.0, 2.0], [0.5, 1.0]], [0.0, 0.0])
    np.testing.assert_allclose(ops.noisy_linear([[1.0, 1.0]], *given, *noise), [[4.0, 6.0]])
