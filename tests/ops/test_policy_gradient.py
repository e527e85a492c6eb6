import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kagent import ops

LOG2 = math.log(2.0)


def test_clipped_surrogate(mode):
    # Ratios 1, 2, 2, 1/2, 1/2 with clip range 0.2:
    #   advantage  3 at ratio 1:   -3
    #   advantage  1 at ratio 2:   -min(2, 1.2) = -1.2      (clipped: no gain from going further)
    #   advantage -1 at ratio 2:   -min(-2, -1.2) = 2       (not clipped: a mistake is corrected)
    #   advantage  1 at ratio 1/2: -min(0.5, 0.8) = -0.5
    #   advantage -1 at ratio 1/2: -min(-0.5, -0.8) = 0.8
    log_prob = tf.constant([0.0, LOG2, LOG2, -LOG2, -LOG2])
    loss = mode(ops.clipped_surrogate)(log_prob, tf.zeros(5), tf.constant([3.0, 1.0, -1.0, 1.0, -1.0]), 0.2)
    np.testing.assert_allclose(loss, [-3.0, -1.2, 2.0, -0.5, 0.8], rtol=1e-6)


def test_gradients_of_the_surrogate(mode):

    @mode
    def gradients(log_prob, old, advantage):
        with tf.GradientTape() as tape:
            tape.watch((log_prob, old, advantage))
            total = tf.reduce_sum(ops.clipped_surrogate(log_prob, old, advantage, 0.2))
        return tape.gradient(total, (log_prob, old, advantage), unconnected_gradients="zero")

    log_prob = tf.constant([0.0, LOG2, LOG2, -LOG2, -LOG2])
    of_log_prob, of_old, of_advantage = gradients(log_prob, tf.zeros(5), tf.constant([3.0, 1.0, -1.0, 1.0, -1.0]))
    # -ratio * advantage where the unclipped term is the smaller, else 0.
    np.testing.assert_allclose(of_log_prob, [-3.0, 0.0, 2.0, -0.5, 0.0], rtol=1e-6)
    np.testing.assert_array_equal(of_old, np.zeros(5))
    np.testing.assert_array_equal(of_advantage, np.zeros(5))


def test_surrogate_refuses_shapes_that_would_broadcast():
    with pytest.raises(ValueError, match=r"one shape.*advantage \(3, 1\)"):
        ops.clipped_surrogate(tf.zeros(3), tf.zeros(3), tf.zeros((3, 1)), 0.2)


def test_normalize_advantage(mode):
    # Mean 4; squares 9 + 1 + 1 + 9 = 20, over 3: the unbiased deviation is sqrt(20 / 3).
    result = mode(ops.normalize_advantage)(tf.constant([1.0, 3.0, 5.0, 7.0]))
    np.testing.assert_allclose(result, np.array([-3, -1, 1, 3]) / math.sqrt(20 / 3), rtol=1e-6)


def test_padding_does_not_move_the_normalization(mode):
    normalize = mode(ops.normalize_advantage)
    plain = normalize(tf.constant([1.0, 3.0, 5.0, 7.0]))
    padded = normalize(tf.constant([1.0, 1e6, 3.0, 5.0, -1e6, 7.0]), tf.constant([1.0, 0.0, 1.0, 1.0, 0.0, 1.0]))
    np.testing.assert_allclose(padded.numpy()[[0, 2, 3, 5]], plain, rtol=1e-6)
    assert np.isfinite(padded).all()


def test_a_single_advantage_is_left_alone(mode):
    np.testing.assert_array_equal(mode(ops.normalize_advantage)(tf.constant([5.0])), [5.0])
    one_of_two = mode(ops.normalize_advantage)(tf.constant([5.0, 9.0]), tf.constant([1.0, 0.0]))
    assert float(one_of_two[0]) == 5.0


def test_equal_advantages_become_zero(mode):
    np.testing.assert_array_equal(mode(ops.normalize_advantage)(tf.fill(4, 2.0)), np.zeros(4))


@settings(max_examples=20, deadline=None)
@given(
    hnp.arrays(np.float32, 9, elements=st.floats(-100, 100, width=32)),
    hnp.arrays(bool, 9),
)
def test_normalization_equals_numpy(advantage, valid):
    kept = advantage[valid].astype(float)
    assume(valid.sum() > 1 and kept.std() > 1e-2)
    expected = (kept - kept.mean()) / (kept.std(ddof=1) + 1e-8)
    result = ops.normalize_advantage(advantage, valid).numpy()[valid]
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-3)


def test_approx_kl(mode):
    # (2 - 1 - log 2), (1/2 - 1 + log 2) and a row of padding; mean of two: (1 - 1/2) / 2.
    kl = mode(ops.approx_kl)(tf.constant([LOG2, -LOG2, 9.0]), tf.zeros(3), tf.constant([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(kl, 0.25, rtol=1e-6)
    assert float(mode(ops.approx_kl)(tf.constant([-1.0]), tf.constant([-1.0]))) == 0.0


def test_approx_kl_estimates_the_divergence():
    # KL between N(0, 1), which acts, and N(0.5, 1) is 0.5**2 / 2.
    action = np.random.default_rng(0).normal(size=200_000).astype(np.float32)
    kl = ops.approx_kl(-0.5 * (action - 0.5) ** 2, -0.5 * action**2)
    np.testing.assert_allclose(kl, 0.125, atol=2e-3)


@given(hnp.arrays(np.float32, (2, 5), elements=st.floats(-10, 3, width=32)))
def test_approx_kl_is_never_negative(log_probs):
    assert float(ops.approx_kl(*log_probs)) >= 0.0


def test_clip_fraction(mode):
    # Ratios 1, 1.1, 1.5, 0.5 and a row of padding: two of four are outside 0.2.
    log_prob = tf.math.log([1.0, 1.1, 1.5, 0.5, 9.0])
    fraction = mode(ops.clip_fraction)(log_prob, tf.zeros(5), 0.2, tf.constant([1.0, 1.0, 1.0, 1.0, 0.0]))
    assert float(fraction) == 0.5


def test_explained_variance(mode):
    explained = mode(ops.explained_variance)
    target = tf.constant([1.0, 2.0, 3.0, 6.0])
    assert float(explained(target + 7.0, target)) == 1.0
    assert float(explained(tf.fill(4, 3.0), target)) == 0.0
    # Errors 2, 2, -2, -2 of variance 4; the target's is (4 + 1 + 0 + 9) / 4 = 3.5.
    np.testing.assert_allclose(explained(target - [2.0, 2.0, -2.0, -2.0], target), 1 - 4 / 3.5, rtol=1e-6)


def test_explained_variance_of_padded_and_of_constant_targets(mode):
    explained = mode(ops.explained_variance)
    weight = tf.constant([1.0, 1.0, 0.0])
    assert float(explained(tf.constant([1.0, 2.0, 1e6]), tf.constant([1.0, 2.0, -1e6]), weight)) == 1.0
    assert float(explained(tf.constant([1.0, 2.0, 3.0]), tf.fill(3, 2.0))) == 0.0


@pytest.mark.parametrize("sampling", [False, True])
def test_the_policy_gradient_is_the_same_at_the_reference(mode, sampling):

    @mode
    def loss_and_gradient(log_prob, advantage):
        with tf.GradientTape() as tape:
            tape.watch(log_prob)
            loss = ops.policy_gradient(log_prob, tf.stop_gradient(log_prob), advantage, sampling)
        return loss, tape.gradient(loss, log_prob)

    loss, gradient = loss_and_gradient(tf.constant([-1.0, -0.5]), tf.constant([2.0, -3.0]))
    np.testing.assert_allclose(loss, [-2.0, 3.0] if sampling else [2.0, -1.5])
    np.testing.assert_allclose(gradient, [-2.0, 3.0])


def test_ratios_are_clipped_symmetrically_in_the_logarithm(mode):
    # Ratios 2, 2, 1/2, 1/2 within [1 / 1.2, 1.2] = [5/6, 1.2]: -min(2, 1.2), -min(-2, -1.2), -min(0.5, 5/6), ...
    log_prob = tf.constant([LOG2, LOG2, -LOG2, -LOG2])
    loss = mode(lambda *x: ops.policy_gradient(*x, True, 0.2))(log_prob, tf.zeros(4), tf.constant([1.0, -1, 1, -1]))
    np.testing.assert_allclose(loss, [-1.2, 2.0, -0.5, 5 / 6], rtol=1e-6)


def test_log_probabilities_are_clipped_around_the_old_ones(mode):
    # Old -1, within +- log 2: -0.2 becomes log 2 - 1; -min(-0.2 * 3, (log 2 - 1) * 3) and, for -3, its other sign.
    arguments = (tf.constant([-0.2, -0.2]), tf.constant([-1.0, -1.0]), tf.constant([3.0, -3.0]))
    loss = mode(lambda *x: ops.policy_gradient(*x, False, 1.0))(*arguments)
    np.testing.assert_allclose(loss, [-3 * (LOG2 - 1), -0.6], rtol=1e-6)


def test_hopeless_ratios_stay_finite():
    loss = ops.policy_gradient([100.0, -100.0], [-100.0, 100.0], [1.0, 1.0], importance_sampling=True)
    assert np.isfinite(loss).all() and float(loss[0]) == pytest.approx(-1e6, rel=1e-3)


def test_clipped_values_by_hand(mode):
    """Moved by 2 towards 3, which 0.5 is let count of: 1.5^2. By 0.2: 1.8^2. By -1 away: 3^2 itself, not 2.5^2. To 4: 1, and 1.5^2."""
    value, old, target = np.float32([3.0, 1.2, 0.0, 4.0]), np.ones(4, np.float32), np.full(4, 3.0, np.float32)
    found = mode(lambda *given: ops.clipped_value_loss(*given, 0.5))(value, old, target)
    np.testing.assert_allclose(found, [2.25, 3.24, 9.0, 2.25], rtol=1e-6)


def test_values_beyond_the_clip_range_learn_no_more_where_they_come_nearer():
    value = tf.constant([3.0, 0.0])
    with tf.GradientTape() as tape:
        tape.watch(value)
        total = tf.reduce_sum(ops.clipped_value_loss(value, [1.0, 1.0], [3.5, 3.5], 0.5))
    np.testing.assert_array_equal(tape.gradient(total, value), [0.0, -7.0])
