"""Adam's equation, by hand."""

import numpy as np
import pytest

from kagent import ops


def test_two_steps_by_hand():
    """g = 2, then -1, with betas of 0.5 and 0.75 and a rate of 0.1."""
    first = ops.adam([2.0], [0.0], [0.0], 1, 0.1, 0.5, 0.75, 0.5)
    # m = 1, v = 1; rate * sqrt(0.25) / 0.5 = 0.1; 0.1 * 1 / (1 + 0.5)
    np.testing.assert_allclose(first.momentum, [1.0])
    np.testing.assert_allclose(first.velocity, [1.0])
    np.testing.assert_allclose(first.change, [0.1 / 1.5], rtol=1e-6)
    second = ops.adam([-1.0], first.momentum, first.velocity, 2, 0.1, 0.5, 0.75, 0.5)
    # m = 1 + (-1 - 1) / 2 = 0, v = 1 + (1 - 1) / 4 = 1
    assert second.momentum.numpy().tolist() == [0.0] and second.change.numpy().tolist() == [0.0]
    third = ops.adam([4.0], second.momentum, second.velocity, 3, 0.1, 0.5, 0.75, 0.5)
    # m = 2, v = 1 + 15 / 4 = 4.75; 0.1 * sqrt(1 - 0.421875) / 0.875 * 2 / (sqrt(4.75) + 0.5)
    np.testing.assert_allclose(third.momentum, [2.0])
    np.testing.assert_allclose(third.velocity, [4.75])
    np.testing.assert_allclose(third.change, [0.0868966 * 2 / 2.6794495], rtol=1e-5)


@pytest.mark.parametrize("gradient", [3.0, -1e-3, 1e4])
def test_the_first_step_is_as_long_as_the_rate(gradient):
    np.testing.assert_allclose(
        ops.adam([gradient], [0.0], [0.0], 1, 0.5, epsilon=0.0).change, [np.sign(gradient) * 0.5], rtol=1e-5
    )


def test_no_gradient_no_change():
    found = ops.adam([0.0], [0.0], [0.0], 1, 0.5)
    assert [x.numpy().tolist() for x in found] == [[0.0]] * 3
