import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import kagent
from kagent.ops import clip_by_global_norm, global_norm, sum_of_squares


def test_sum_of_squares(mode):
    assert float(mode(sum_of_squares)(tf.constant([[1.0, -2.0], [3.0, 4.0]]))) == 30.0
    assert float(mode(sum_of_squares)(tf.constant(3.0))) == 9.0
    # 1 + 4 + ... + 1000**2 = 1000 * 1001 * 2001 / 6, above what one fold leaves
    assert float(mode(sum_of_squares)(tf.range(1001.0))) == pytest.approx(333_833_500, rel=1e-6)


@given(st.lists(st.integers(1, 70), max_size=3), st.integers(0, 2**32 - 1))
def test_every_entry_counts_once(shape, seed):
    x = np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)  # exact in float32
    assert float(sum_of_squares(tf.constant(x))) == float(np.square(x.astype(np.float64)).sum())


def test_folding_keeps_the_last_digits():
    # One number after the other would lose them: 1e8 + 1 is 1e8 in float32.
    x = tf.concat([[1e4], tf.ones((65_536,))], axis=0)
    assert float(sum_of_squares(x)) == pytest.approx(1e8 + 65_536, rel=1e-6)


def test_clip_by_global_norm(mode):
    clip = mode(lambda a, b, limit: clip_by_global_norm([a, b], limit))
    # Norm sqrt(9 + 16) = 5, halved to 2.5.
    halved = clip(tf.constant([3.0]), tf.constant([[0.0, 4.0]]), 2.5)
    assert [g.numpy().tolist() for g in halved] == [[1.5], [[0.0, 2.0]]]
    kept = clip(tf.constant([3.0]), tf.constant([[0.0, 4.0]]), 6.0)
    assert [g.numpy().tolist() for g in kept] == [[3.0], [[0.0, 4.0]]]
    assert [g.numpy().tolist() for g in clip(tf.constant([0.0]), tf.constant([[0.0]]), 1.0)] == [[0.0], [[0.0]]]
    # A norm that is known takes the place of theirs.
    known = mode(lambda a, norm: clip_by_global_norm([a], 1.0, norm))(tf.constant([8.0]), tf.constant(2.0))
    assert known[0].numpy().tolist() == [4.0]


def test_global_norm(mode):
    norm = mode(lambda a, b: global_norm([a, b]))
    assert float(norm(tf.constant([3.0]), tf.constant([[0.0, 4.0]]))) == 5.0


def test_huge_gradients_are_scaled_only_where_they_are_too_long(mode):
    clip = mode(lambda a, b, limit: clip_by_global_norm([a, b], limit))
    a, b = tf.fill((1024, 1024), 3.0 / 1024.0), tf.constant([4.0])  # norms 3 and 4, together 5
    for limit, factor in ((2.5, 0.5), (6.0, 1.0)):
        for found, gradient in zip(clip(a, b, limit), (a, b)):
            np.testing.assert_allclose(found, gradient * factor, rtol=1e-5)
    assert np.isnan(clip(a, tf.constant([math.nan]), 6.0)[0]).all()


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_does_not_pass_unseen(mode, bad):
    for g in mode(lambda a, b: clip_by_global_norm([a, b], 1.0))(tf.constant([bad, 1.0]), tf.constant([2.0])):
        assert np.isnan(g.numpy()).all()


@pytest.mark.parametrize("optimizer", ["Adam", "RMSprop"])
def test_it_takes_the_place_of_kerass_own(optimizer):
    def trained(step):
        variables = [keras.Variable(np.full((20, 20), 0.5, np.float32)), keras.Variable(np.ones(3, np.float32))]
        made = getattr(keras.optimizers, optimizer)(0.1, global_clipnorm=0.7)
        for number in range(3):
            gradients = [tf.fill((20, 20), 0.3 + number), tf.constant([1.0, -2.0, 3.0])]
            step(made, gradients, variables)
        assert made.global_clipnorm == 0.7 and made.get_config()["global_clipnorm"] == 0.7
        return [v.numpy() for v in variables]

    keras_own = trained(lambda made, gradients, variables: made.apply(gradients, variables))
    ours = trained(kagent.optimizers.apply)
    for first, second in zip(keras_own, ours):
        np.testing.assert_allclose(first, second, rtol=1e-5)
