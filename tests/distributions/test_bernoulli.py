"""Distributions of bits."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent.distributions import Bernoulli, Categorical

SEED = tf.constant([7, 11])
PAIR = Bernoulli((2,))


def logits(*probabilities):
    return [tf.constant([scipy.special.logit(probabilities)], tf.float32)]


def test_log_prob(mode):
    log_prob = mode(PAIR.log_prob)
    params = logits(0.25, 0.9)
    np.testing.assert_allclose(log_prob(params, tf.constant([[1, 0]])), [math.log(0.25 * 0.1)], rtol=1e-6)
    np.testing.assert_allclose(log_prob(params, tf.constant([[0, 1]])), [math.log(0.75 * 0.9)], rtol=1e-6)
    assert log_prob(params, tf.constant([[0, 1]])).dtype == tf.float32


def test_entropy_and_divergence(mode):
    entropy, kl = mode(PAIR.entropy), mode(PAIR.kl)
    expected = scipy.stats.entropy([0.25, 0.75]) + scipy.stats.entropy([0.9, 0.1])
    np.testing.assert_allclose(entropy(logits(0.25, 0.9)), [expected], rtol=1e-6)
    np.testing.assert_allclose(entropy(logits(0.5, 0.5)), [2 * math.log(2)], rtol=1e-6)
    expected = scipy.stats.entropy([0.25, 0.75], [0.5, 0.5]) + scipy.stats.entropy([0.9, 0.1], [0.2, 0.8])
    np.testing.assert_allclose(kl(logits(0.25, 0.9), logits(0.5, 0.2)), [expected], rtol=1e-6)
    np.testing.assert_array_equal(kl(logits(0.25, 0.9), logits(0.25, 0.9)), [0.0])


def test_nothing_cancels_where_the_choice_is_almost_certain():
    one = Bernoulli((1,))
    for logit in (-40.0, -20.0, 20.0, 40.0):
        exact = (1 + abs(logit)) * math.exp(-abs(logit))  # to first order in the rarer probability
        np.testing.assert_allclose(one.entropy([tf.constant([[logit]])]), [exact], rtol=1e-5)
        np.testing.assert_allclose(one.log_prob([tf.constant([[logit]])], [[int(logit < 0)]]), [-abs(logit)], rtol=1e-6)


def test_mode_is_one_from_a_half_on(mode):
    action = mode(Bernoulli((3,)).mode)([tf.constant([[0.0, -1e-6, 3.0]])])
    np.testing.assert_array_equal(action, [[1, 0, 1]])
    assert action.dtype == tf.int32


@pytest.mark.sensitive
def test_samples_follow_the_probabilities(mode, seed_shift):
    n = 20_000
    action, log_prob = mode(PAIR.sample_with_log_prob)([tf.repeat(logits(0.3, 0.8)[0], n, axis=0)], SEED + seed_shift)
    counts = np.zeros((2, 2))
    np.add.at(counts, tuple(action.numpy().T), 1)
    assert scipy.stats.chisquare(counts.ravel(), n * np.outer([0.7, 0.3], [0.2, 0.8]).ravel()).pvalue > 1e-5
    probability = np.where(action == 1, [0.3, 0.8], [0.7, 0.2]).prod(-1)
    np.testing.assert_allclose(log_prob, np.log(probability), rtol=1e-5)


def test_gradient_of_log_prob_is_the_difference_from_the_probability(mode):
    @mode
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = PAIR.log_prob([x], tf.constant([[1, 0]]))
        return tape.gradient(value, x)

    np.testing.assert_allclose(gradient(logits(0.25, 0.9)[0]), [[0.75, -0.9]], rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=4),
    st.integers(0, 2**32 - 1),
)
def test_it_is_the_categorical_of_two_values(values, bits):
    """Against another implementation: a logit against one of 0, with masks."""
    size = len(values)
    bernoulli, categorical = Bernoulli((size,)), Categorical([2] * size)
    pairs = np.stack([np.zeros(size), values], -1).reshape(1, -1)
    rng = np.random.default_rng(bits)
    mask = rng.random((1, 2 * size)) < 0.7
    action = tf.constant(rng.integers(0, 2, (1, size)), tf.int32)
    for flags in (None, tf.constant(mask)):
        one = bernoulli.mask([tf.constant([values], tf.float32)], flags)
        two = categorical.mask([tf.constant(pairs, tf.float32)], flags)
        np.testing.assert_allclose(bernoulli.entropy(one), categorical.entropy(two), rtol=1e-4, atol=1e-5)
        allowed = flags is None or mask.reshape(-1, 2)[np.arange(size), action[0]].all()
        if allowed:
            np.testing.assert_allclose(
                bernoulli.log_prob(one, action), categorical.log_prob(two, action), rtol=1e-4, atol=1e-5
            )
        elif mask.reshape(-1, 2).any(-1).all():
            assert bernoulli.log_prob(one, action) < -1e8


def test_masks_force_what_is_left(mode):
    mask = tf.constant([[True, False, False, True, True, True, False, False]])
    params = mode(Bernoulli((4,)).mask)([tf.constant([[9.0, -9.0, 0.5, 7.0]])], mask)
    np.testing.assert_allclose(tf.sigmoid(params[0]), [[0.0, 1.0, scipy.special.expit(0.5), 0.5]], rtol=1e-6)
    np.testing.assert_array_equal(Bernoulli((4,)).mode(params), [[0, 1, 1, 1]])
    expected = scipy.stats.entropy([0.5, 0.5]) + scipy.stats.entropy(
        [scipy.special.expit(0.5), scipy.special.expit(-0.5)]
    )
    np.testing.assert_allclose(Bernoulli((4,)).entropy(params), [expected], rtol=1e-6)
    np.testing.assert_allclose(Bernoulli((4,)).kl(params, params), [0.0])
    assert Bernoulli((4,)).mask(params, None) == params


def test_gradients_under_a_mask_are_finite_and_zero_where_masked(mode):
    mask = tf.constant([[True, False, False, True, True, True]])
    distribution = Bernoulli((3,))

    @mode
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            params = distribution.mask([x], mask)
            value = distribution.log_prob(params, tf.constant([[0, 1, 1]])) + distribution.entropy(params)
        return tape.gradient(value, x)

    found = gradient(tf.constant([[80.0, -3.0, 0.4]])).numpy()
    assert np.isfinite(found).all() and (found[0, :2] == 0.0).all() and found[0, 2] != 0.0


def test_an_empty_shape_is_refused():
    with pytest.raises(ValueError, match="at least one element"):
        Bernoulli((0,))
