import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kagent.ops import weighted_mean


def test_plain_mean(mode):
    assert float(mode(weighted_mean)(tf.constant([[1.0, 2.0], [3.0, 6.0]]))) == 3.0


def test_weighted_mean(mode):
    # (2 * 1 + 1 * 4) / 3
    assert float(mode(weighted_mean)(tf.constant([1.0, 4.0]), tf.constant([2.0, 1.0]))) == 2.0


def test_weight_of_leading_axes_spreads(mode):
    values, weight = tf.constant([[1.0, 3.0], [100.0, 200.0], [5.0, 7.0]]), tf.constant([1.0, 0.0, 1.0])
    assert float(mode(weighted_mean)(values, weight)) == 4.0  # (1 + 3 + 5 + 7) / 4


def test_nothing_of_weight_zero_enters(mode):
    mean = mode(weighted_mean)
    weight = tf.constant([1.0, 0.0, 1.0])
    for padding in (0.0, 1e30, math.nan, math.inf):
        assert float(mean(tf.constant([2.0, padding, 4.0]), weight)) == 3.0


def test_no_weight_at_all_is_zero(mode):
    assert float(mode(weighted_mean)(tf.constant([2.0, 4.0]), tf.zeros(2))) == 0.0


def test_gradient_is_the_weight(mode):
    @mode
    def gradient(values, weight):
        with tf.GradientTape() as tape:
            tape.watch(values)
            mean = weighted_mean(values, weight)
        return tape.gradient(mean, values)

    result = gradient(tf.constant([1.0, 2.0, 3.0]), tf.constant([1.0, 0.0, 3.0]))
    np.testing.assert_allclose(result, [0.25, 0.0, 0.75])


def test_bool_and_half_precision_are_cast():
    result = weighted_mean(tf.constant([True, False, True]), tf.constant([1, 1, 0], tf.float16))
    assert result.dtype == tf.float32 and float(result) == 0.5


def test_weight_of_higher_rank_is_refused():
    with pytest.raises(ValueError, match=r"`weight` must have the leading axes.*\(3,\).*\(3, 1\)"):
        weighted_mean(tf.zeros(3), tf.zeros((3, 1)))


@given(
    hnp.arrays(np.float32, 7, elements=st.floats(-100, 100, width=32)),
    hnp.arrays(np.float32, 7, elements=st.floats(0, 4, width=32).filter(lambda w: w == 0 or w > 1e-3)),
)
def test_equals_numpy_average(values, weight):
    expected = np.average(values.astype(float), weights=weight) if weight.any() else 0.0
    np.testing.assert_allclose(weighted_mean(values, weight), expected, rtol=1e-5, atol=1e-4)
