"""Rescaled values, by hand and back again."""

import numpy as np
import pytest

from kagent import ops


def test_by_hand():
    # sqrt(8 + 1) - 1 = 2 and 0.25 * 8 = 2.
    assert ops.rescaled_value([8.0, -8.0, 0.0], 0.25).numpy().tolist() == [4.0, -4.0, 0.0]
    assert ops.restored_value([4.0, -4.0, 0.0], 0.25).numpy().tolist() == [8.0, -8.0, 0.0]


@pytest.mark.parametrize("epsilon", [0.0, 1e-3, 0.1])
def test_there_and_back(epsilon):
    values = np.float32([-1e6, -300.0, -1.0, -1e-3, 0.0, 1e-4, 0.5, 2.0, 1e3, 1e7])
    found = ops.restored_value(ops.rescaled_value(values, epsilon), epsilon).numpy()
    np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-6)
