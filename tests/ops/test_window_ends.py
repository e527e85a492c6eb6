"""Where windows end, against a slow walk."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent import ops


def test_by_hand():
    ended = np.array([[0, 1, 0, 0, 0]]).T.astype(bool)
    for further, expected in ((0, [0, 1, 2, 3, 4]), (1, [1, 1, 3, 4, 4]), (9, [1, 1, 4, 4, 4])):
        assert ops.window_ends(ended, further).numpy().ravel().tolist() == expected
        assert ops.window_ends(ended, tf.constant(further)).numpy().ravel().tolist() == expected


@settings(max_examples=30, deadline=None)
@given(steps=st.integers(1, 20), further=st.integers(0, 22), seed=st.integers(0, 99))
def test_a_slow_walk_ends_there_too(steps, further, seed):
    ended = np.random.default_rng(seed).random((steps, 3)) < 0.2
    found = ops.window_ends(ended, further).numpy()
    for t, n in np.ndindex(steps, 3):
        end = t
        while end < min(t + further, steps - 1) and not ended[end, n]:
            end += 1
        assert found[t, n] == end


@pytest.mark.parametrize("jit", [False, True])
def test_compiled(jit):
    ended = np.random.default_rng(1).random((50, 2)) < 0.1
    compiled = tf.function(ops.window_ends, jit_compile=jit)(tf.constant(ended), tf.constant(4))
    np.testing.assert_array_equal(compiled, ops.window_ends(ended, 4))
