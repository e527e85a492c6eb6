"""Products of matrices in pieces for one thread."""

from __future__ import annotations

import numpy as np
import pytest

from kagent.acting import products


def made(x_shape, columns):
    random = np.random.default_rng(0)
    x = random.normal(size=x_shape).astype(np.float32)
    kernel = random.normal(size=(x_shape[-1], columns)).astype(np.float32)
    out = np.full((*x_shape[:-1], columns), np.nan, np.float32)
    return x, kernel, out, products.steps(x, kernel, out)


@pytest.mark.parametrize(
    "x_shape, columns, pieces",
    [
        ((64,), 64, 1),
        ((64, 64), 64, 1),  # 2^18 multiplications, the most of one piece
        ((65, 64), 64, 2),
        ((400, 256), 32, 13),  # pieces of 32 rows
        ((81, 512), 64, 11),  # of 8
        ((3136,), 512, 7),  # of 512 inputs
        ((1, 3136), 512, 7),
        ((3, 1024), 512, 6),  # a row in two pieces
        ((1024, 64), 64, 16),
        ((1025, 64), 64, 1),  # large enough for all threads
        ((4096,), 4096, 1),
        ((0, 64), 64, 1),
    ],
)
def test_pieces(x_shape, columns, pieces):
    x, kernel, out, steps = made(x_shape, columns)
    parts = [step for step in steps if step.func is not np.add]
    assert len(parts) == pieces
    if pieces > 1:
        assert all(len(np.atleast_2d(step.func.__self__)) * step.args[0].size <= 2**18 for step in parts)
    for step in steps:
        step()
    np.testing.assert_allclose(out, x.astype(np.float64) @ kernel, rtol=1e-4, atol=1e-3)


def test_values_are_read_when_called():
    x, kernel, out, steps = made((400, 256), 32)
    x[:], kernel[:] = 1.0, 0.5
    for step in steps:
        step()
    np.testing.assert_array_equal(out, np.full((400, 32), 128.0))
    x[1], kernel[0] = 2.0, 1.5  # 2 * (1.5 + 255 * 0.5) = 258, and 1.5 + 255 * 0.5 = 129
    for step in steps:
        step()
    np.testing.assert_array_equal(out[:3, 0], [129.0, 258.0, 129.0])
