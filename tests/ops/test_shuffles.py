"""Random orders are those of a stable sort."""

import hypothesis.strategies as st
import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from kagent import ops

NUMBERS = st.one_of(st.floats(0, 1, width=32, allow_subnormal=False), st.sampled_from([0.0, -0.0, 0.5, 0.75, 1.0]))


@settings(max_examples=40)
@given(arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 20)), elements=NUMBERS))
def test_it_is_the_order_of_a_stable_sort(keys):
    expected = np.argsort(keys, axis=-1, kind="stable")
    assert ops.order_of(tf.constant(keys)).numpy().tolist() == expected.tolist()


def test_a_program_of_xla_has_the_same():
    keys = tf.random.stateless_uniform((2, 300), (1, 2))
    found = tf.function(ops.order_of, jit_compile=True)(keys)
    assert found.dtype == tf.int32 and found.numpy().tolist() == np.argsort(keys, axis=-1, kind="stable").tolist()
