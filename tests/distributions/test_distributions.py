import itertools
import json
import math

import gymnasium
import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kagent.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Deterministic,
    Direct,
    Gaussian,
    Joint,
    SquashedGaussian,
    for_leaf,
)
from kagent.distributions.distribution import uniform
from kagent.spaces import Structure

SEED = tf.constant([7, 11])


def gradients(mode, function, *inputs):
    @mode
    def run(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.reduce_sum(function(*inputs))
        return tape.gradient(total, inputs, unconnected_gradients="zero")

    return [gradient.numpy() for gradient in run(*inputs)]


def logits(*probabilities):
    return tf.math.log(tf.constant([probabilities], tf.float32))


class TestCategorical:
    DISTRIBUTION = Categorical(nvec=(2, 3))
    PARAMS = (logits(0.25, 0.75, 0.5, 0.2, 0.3),)

    def test_log_prob(self, mode):
        log_prob = mode(self.DISTRIBUTION.log_prob)
        np.testing.assert_allclose(log_prob(self.PARAMS, tf.constant([[1, 0]])), [math.log(0.75 * 0.5)], rtol=1e-6)
        np.testing.assert_allclose(log_prob(self.PARAMS, tf.constant([[0, 2]])), [math.log(0.25 * 0.3)], rtol=1e-6)

    def test_entropy(self, mode):
        uniform_of_7 = Categorical(7, ()).entropy([tf.fill((1, 7), 3.0)])
        np.testing.assert_allclose(uniform_of_7, [math.log(7.0)], rtol=1e-6)
        expected = scipy.stats.entropy([0.25, 0.75]) + scipy.stats.entropy([0.5, 0.2, 0.3])
        np.testing.assert_allclose(mode(self.DISTRIBUTION.entropy)(self.PARAMS), [expected], rtol=1e-6)

    def test_kl(self, mode):
        other = (logits(0.5, 0.5, 0.1, 0.8, 0.1),)
        expected = scipy.stats.entropy([0.25, 0.75], [0.5, 0.5])
        expected += scipy.stats.entropy([0.5, 0.2, 0.3], [0.1, 0.8, 0.1])
        kl = mode(self.DISTRIBUTION.kl)
        np.testing.assert_allclose(kl(self.PARAMS, other), [expected], rtol=1e-5)
        np.testing.assert_array_equal(kl(self.PARAMS, self.PARAMS), [0.0])

    def test_mode(self, mode):
        action = mode(self.DISTRIBUTION.mode)(self.PARAMS)
        np.testing.assert_array_equal(action, [[1, 0]])
        assert action.dtype == tf.int32

    def test_actions_have_the_shape_of_the_leaf(self, mode):
        for shape, nvec in [((), 3), ((3,), [2, 3, 4]), ((2, 2), [[2, 3], [2, 2]])]:
            distribution = Categorical(nvec, shape)
            params = [tf.zeros((5, *distribution.head_sizes))]
            action, log_prob = mode(distribution.sample_with_log_prob)(params, SEED)
            assert action.shape == distribution.mode(params).shape == (5, *shape)
            assert action.dtype == tf.int32 and log_prob.shape == (5,)
            np.testing.assert_allclose(log_prob, distribution.log_prob(params, action), rtol=1e-6)
            np.testing.assert_array_equal(distribution.to_env(action), action)

    @pytest.mark.sensitive
    def test_samples_follow_the_probabilities(self, mode, seed_shift):
        n = 20_000
        params = [tf.repeat(self.PARAMS[0], n, axis=0)]
        action = mode(self.DISTRIBUTION.sample)(params, SEED + seed_shift).numpy()
        counts = np.zeros((2, 3))
        np.add.at(counts, tuple(action.T), 1)
        # Of all pairs, so that dependence between the components would show too.
        expected = n * np.outer([0.25, 0.75], [0.5, 0.2, 0.3])
        assert scipy.stats.chisquare(counts.ravel(), expected.ravel()).pvalue > 1e-5

    def test_gradient_of_log_prob(self, mode):
        (gradient,) = gradients(mode, lambda p: self.DISTRIBUTION.log_prob([p], [[1, 0]]), self.PARAMS[0])
        np.testing.assert_allclose(gradient, [[-0.25, 0.25, 0.5, -0.2, -0.3]], rtol=1e-5)  # one-hot minus p

    def test_masked_actions_have_probability_zero(self, mode):
        mask = tf.constant([[True, True, True, False, True]])
        params = mode(self.DISTRIBUTION.mask)(self.PARAMS, mask)
        probability = lambda *action: float(tf.exp(self.DISTRIBUTION.log_prob(params, [action]))[0])  # noqa: E731
        assert probability(0, 1) == 0.0
        assert probability(0, 0) == pytest.approx(0.25 * 0.5 / 0.8)
        expected = scipy.stats.entropy([0.25, 0.75]) + scipy.stats.entropy([0.5, 0.3])
        np.testing.assert_allclose(mode(self.DISTRIBUTION.entropy)(params), [expected], rtol=1e-6)
        many = [tf.repeat(params[0], 5000, axis=0)]
        action = mode(self.DISTRIBUTION.sample)(many, SEED).numpy()
        assert set(action[:, 1]) == {0, 2} and set(action[:, 0]) == {0, 1}

    def test_mode_and_kl_respect_the_mask(self, mode):
        mask = tf.constant([[True, False, False, True, True]])
        params = self.DISTRIBUTION.mask(self.PARAMS, mask)
        np.testing.assert_array_equal(mode(self.DISTRIBUTION.mode)(params), [[0, 2]])
        other = self.DISTRIBUTION.mask([logits(0.5, 0.5, 0.1, 0.8, 0.1)], mask)
        expected = scipy.stats.entropy([0.4, 0.6], [8 / 9, 1 / 9])
        np.testing.assert_allclose(mode(self.DISTRIBUTION.kl)(params, other), [expected], rtol=1e-5)

    def test_gradients_under_a_mask_are_finite_and_zero_where_masked(self, mode):
        mask = tf.constant([[True, False, True, False, True]])

        def function(raw):
            params = self.DISTRIBUTION.mask([raw], mask)
            return self.DISTRIBUTION.log_prob(params, [[0, 2]]) + self.DISTRIBUTION.entropy(params)

        (gradient,) = gradients(mode, function, tf.constant([[5.0, 80.0, -3.0, 1e4, 1.0]]))
        assert np.isfinite(gradient).all()
        assert (gradient[0, [0, 1, 3]] == 0.0).all() and (gradient[0, [2, 4]] != 0.0).all()

    def test_no_mask_changes_nothing(self):
        (masked,) = self.DISTRIBUTION.mask(self.PARAMS, None)
        np.testing.assert_array_equal(masked, self.PARAMS[0])

    def test_a_component_that_allows_nothing_stays_in_range(self, mode):
        # Padding rows of a batch look so. The second value of the first component borders on a filler.
        params = self.DISTRIBUTION.mask([tf.zeros((500, 5))], tf.zeros((500, 5), tf.bool))
        action, log_prob = mode(self.DISTRIBUTION.sample_with_log_prob)(params, SEED)
        assert set(action.numpy()[:, 0]) == {0, 1} and set(action.numpy()[:, 1]) == {0, 1, 2}
        np.testing.assert_allclose(log_prob, math.log(1 / 6), rtol=1e-6)
        np.testing.assert_allclose(self.DISTRIBUTION.entropy(params), math.log(6), rtol=1e-6)

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
    def test_probabilities_of_all_actions_add_up(self, nvec, data):
        distribution, width = Categorical(nvec), sum(nvec)
        raw = data.draw(hnp.arrays(np.float32, (1, width), elements=st.floats(-8, 8, width=32)))
        mask = data.draw(hnp.arrays(bool, (1, width)))
        mask[0, np.cumsum([0, *nvec[:-1]])] = True
        actions = np.array(list(itertools.product(*map(range, nvec))), np.int32)
        params = distribution.mask([np.repeat(raw, len(actions), axis=0)], np.repeat(mask, len(actions), axis=0))
        log_prob = distribution.log_prob(params, actions).numpy().astype(float)
        probability = np.exp(log_prob)
        np.testing.assert_allclose(probability.sum(), 1.0, rtol=1e-4)
        entropy = scipy.special.entr(probability).sum()
        np.testing.assert_allclose(distribution.entropy(params)[0], entropy, rtol=1e-3, atol=1e-4)

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match=r"`nvec` must hold.*Received: \[3, 0\]"):
            Categorical([3, 0])
        with pytest.raises(ValueError, match=r"`nvec` must hold.*Received: \[\]"):
            Categorical([])
        with pytest.raises(ValueError, match=r"`shape` must have as many elements.*2.*Received: \(3,\)"):
            Categorical([2, 2], shape=(3,))
        with pytest.raises(ValueError, match=r"\(batch, 5\).*Received: shape \(1, 4\)"):
            self.DISTRIBUTION.log_prob([tf.zeros((1, 4))], [[0, 0]])


MEAN = tf.constant([[0.5, -1.0], [2.0, 0.0]])
LOG_STD = tf.constant([[0.0, -0.7], [0.4, -1.5]])
NORMAL = scipy.stats.norm(MEAN.numpy().astype(float), np.exp(LOG_STD.numpy().astype(float)))


class TestGaussian:
    DISTRIBUTION = Gaussian(shape=(2,), low=-1.0, high=1.0)
    PARAMS = (MEAN, LOG_STD)

    def test_log_prob(self, mode):
        action = tf.constant([[0.3, 4.0], [-2.0, 0.1]])
        expected = NORMAL.logpdf(action.numpy()).sum(axis=1)
        np.testing.assert_allclose(mode(self.DISTRIBUTION.log_prob)(self.PARAMS, action), expected, rtol=1e-5)

    def test_density_integrates_to_one(self):
        action = np.linspace(-12, 12, 4001, dtype=np.float32)[:, None]
        params = [np.full_like(action, 0.7), np.full_like(action, -0.5)]
        density = np.exp(Gaussian(shape=(1,)).log_prob(params, action).numpy().astype(float))
        np.testing.assert_allclose(np.trapezoid(density, action[:, 0].astype(float)), 1.0, rtol=1e-5)

    def test_entropy(self, mode):
        np.testing.assert_allclose(
            mode(self.DISTRIBUTION.entropy)(self.PARAMS), NORMAL.entropy().sum(axis=1), rtol=1e-6
        )

    def test_kl(self, mode):
        other = (MEAN + [[0.5, 0.0], [0.0, -1.0]], LOG_STD + [[0.0, 0.3], [-0.2, 0.5]])
        x = np.linspace(-15, 15, 20_001)[:, None, None]
        second = scipy.stats.norm(*(other[0].numpy().astype(float), np.exp(other[1].numpy().astype(float))))
        integrand = NORMAL.pdf(x) * (NORMAL.logpdf(x) - second.logpdf(x))
        expected = np.trapezoid(integrand, x, axis=0).sum(axis=1)
        np.testing.assert_allclose(mode(self.DISTRIBUTION.kl)(self.PARAMS, other), expected, rtol=1e-5)
        np.testing.assert_allclose(self.DISTRIBUTION.kl(self.PARAMS, self.PARAMS), 0.0, atol=1e-6)

    def test_mode(self, mode):
        np.testing.assert_array_equal(mode(self.DISTRIBUTION.mode)(self.PARAMS), MEAN)

    @pytest.mark.sensitive
    def test_samples_are_normal(self, mode, seed_shift):
        n = 20_000
        params = [tf.repeat(MEAN[:1], n, axis=0), LOG_STD[:1]]
        action = mode(self.DISTRIBUTION.sample)(params, SEED + seed_shift).numpy()
        for i in range(2):
            assert scipy.stats.kstest(action[:, i], _marginal(i).cdf).pvalue > 1e-5
        assert abs(np.corrcoef(action.T)[0, 1]) < 0.045

    @pytest.mark.sensitive
    def test_samples_leave_the_bounds_and_keep_their_own_log_prob(self, mode, seed_shift):
        params = [tf.fill((500, 2), 1.0), tf.zeros((500, 2))]
        action, log_prob = mode(self.DISTRIBUTION.sample_with_log_prob)(params, SEED + seed_shift)
        assert action.numpy().max() > 2.0
        np.testing.assert_allclose(log_prob, self.DISTRIBUTION.log_prob(params, action), rtol=1e-4, atol=1e-5)

    def test_to_env_clips(self, mode):
        to_env = mode(Gaussian((3,), low=[-1.0, -math.inf, 0.0], high=[1.0, 2.0, math.inf]).to_env)
        clipped = to_env(tf.constant([[5.0, 5.0, 5.0], [-5.0, -5.0, -5.0]]))
        np.testing.assert_array_equal(clipped, [[1.0, 2.0, 5.0], [-1.0, -5.0, 0.0]])

    def test_bounds_are_rounded_inwards(self):
        bound = 0.1  # as float32 a little more than 0.1
        low, high = Gaussian((), -bound, bound).low, Gaussian((), -bound, bound).high
        assert low.dtype == np.float32 and -bound <= float(low) and float(high) <= bound
        assert float(high) == pytest.approx(bound, rel=1e-6)
        assert np.isfinite(Gaussian((), -1e300, 1e300).high)

    def test_bounds_with_no_float32_between_them_are_the_nearest_one(self):
        given = np.asarray([0.1, 1e300, -1e300, 2.0])  # 0.1 lies between two float32 numbers
        for made in (Gaussian((4,), given, given), SquashedGaussian((4,), given, given), Beta((4,), given, given)):
            largest = np.finfo(np.float32).max
            assert made.low.tolist() == made.high.tolist() == [np.float32(0.1), largest, -largest, 2.0]

    def test_a_fixed_component_has_finite_densities_and_gradients(self, mode):
        for cls in (SquashedGaussian, Beta):
            made = cls((2,), low=[1.0, 0.0], high=[1.0, 2.0])
            heads = [tf.Variable([[0.3, -0.2]]), tf.Variable([[-1.0, 0.5]])]
            with tf.GradientTape() as tape:
                value = made.log_prob(heads, tf.constant([[0.0, 1.0]]))
            gradients = tape.gradient(value, heads)
            assert np.isfinite(value).all() and all(np.isfinite(g).all() for g in gradients)
            env = made.to_env(made.sample(heads, tf.constant([3, 4]))).numpy()
            assert env[0, 0] == 1.0 and 0.0 <= env[0, 1] <= 2.0

    def test_samples_are_reparameterised(self, mode):
        action = self.DISTRIBUTION.sample(self.PARAMS, SEED).numpy()
        of_mean, of_log_std = gradients(mode, lambda *p: self.DISTRIBUTION.sample(p, SEED), *self.PARAMS)
        np.testing.assert_array_equal(of_mean, np.ones((2, 2)))
        np.testing.assert_allclose(of_log_std, action - MEAN, rtol=1e-4, atol=1e-5)  # std * noise
        of_mean, of_log_std = gradients(
            mode, lambda *p: self.DISTRIBUTION.sample_with_log_prob(p, SEED)[1], *self.PARAMS
        )
        np.testing.assert_allclose(of_mean, np.zeros((2, 2)), atol=1e-6)
        np.testing.assert_allclose(of_log_std, -np.ones((2, 2)), atol=1e-6)

    def test_gradient_of_log_prob(self, mode):
        action = tf.constant([[0.3, 0.0], [-2.0, 0.1]])
        of_mean, of_log_std = gradients(mode, lambda *p: self.DISTRIBUTION.log_prob(p, action), *self.PARAMS)
        noise = (action - MEAN).numpy() / np.exp(LOG_STD)
        np.testing.assert_allclose(of_mean, noise / np.exp(LOG_STD), rtol=1e-4)
        np.testing.assert_allclose(of_log_std, noise**2 - 1, rtol=1e-4, atol=1e-5)

    def test_one_log_std_for_the_whole_batch(self, mode):
        for log_std in (LOG_STD[:1], LOG_STD[0]):
            entropy = mode(self.DISTRIBUTION.entropy)((MEAN, log_std))
            np.testing.assert_allclose(entropy, [self.DISTRIBUTION.entropy(self.PARAMS)[0]] * 2, rtol=1e-6)

    def test_shapes(self):
        for shape in [(), (1,), (2, 3)]:
            distribution = Gaussian(shape)
            width = math.prod(shape)
            assert distribution.head_sizes == (width, width)
            params = [tf.zeros((4, width))] * 2
            assert distribution.sample(params, SEED).shape == distribution.mode(params).shape == (4, *shape)
            assert distribution.log_prob(params, tf.zeros((4, *shape))).shape == (4,)

    def test_half_precision_heads_are_cast(self):
        params = [tf.cast(value, tf.float16) for value in self.PARAMS]
        action, log_prob = self.DISTRIBUTION.sample_with_log_prob(params, SEED)
        assert action.dtype == log_prob.dtype == self.DISTRIBUTION.entropy(params).dtype == tf.float32

    def test_a_mask_is_refused(self):
        assert self.DISTRIBUTION.mask(self.PARAMS, None) == list(self.PARAMS)
        with pytest.raises(ValueError, match="`mask` must be None for a Gaussian"):
            self.DISTRIBUTION.mask(self.PARAMS, tf.ones((2, 2), tf.bool))

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match=r"`shape` must have at least one element. Received: \(0,\)"):
            Gaussian((0,))
        with pytest.raises(ValueError, match="`low` must be at most `high`"):
            Gaussian((2,), low=1.0, high=[2.0, 0.0])
        with pytest.raises(ValueError, match=r"`high` must be numbers that broadcast to \(2,\)"):
            Gaussian((2,), high=[1.0, 2.0, 3.0])
        with pytest.raises(ValueError, match="`low` must not be NaN"):
            Gaussian((2,), low=math.nan)


def _marginal(i):
    return scipy.stats.norm(float(MEAN[0, i]), math.exp(float(LOG_STD[0, i])))


def squashed_log_density(unsquashed, mean, log_std):
    """In float64: the normal density by scipy, and log(1 - tanh(u)**2) = -2 log cosh(u) by its asymptote."""
    u = np.asarray(unsquashed, float)
    log_cosh = np.logaddexp(u, -u) - math.log(2)
    return scipy.stats.norm.logpdf(u, mean, np.exp(log_std)) + 2 * log_cosh


class TestSquashedGaussian:
    DISTRIBUTION = SquashedGaussian(shape=(2,), low=-2.0, high=2.0)
    PARAMS = (MEAN, LOG_STD)

    def test_log_prob(self, mode):
        action = tf.constant([[0.3, -0.9], [-0.99, 0.1]])
        expected = squashed_log_density(np.arctanh(action.numpy().astype(float)), MEAN, LOG_STD).sum(axis=1)
        np.testing.assert_allclose(mode(self.DISTRIBUTION.log_prob)(self.PARAMS, action), expected, rtol=1e-4)

    @pytest.mark.parametrize(("mean", "log_std"), [(0.0, -1.0), (0.8, -0.5), (-0.5, -2.0)])
    def test_density_integrates_to_one_over_actions(self, mean, log_std):
        nodes, weights = np.polynomial.legendre.leggauss(300)
        action = nodes.astype(np.float32)[:, None]
        params = [np.full_like(action, mean), np.full_like(action, log_std)]
        density = np.exp(SquashedGaussian((1,), -1.0, 1.0).log_prob(params, action).numpy().astype(float))
        np.testing.assert_allclose((weights * density).sum(), 1.0, rtol=1e-3)

    @pytest.mark.sensitive
    def test_sampled_log_prob_is_that_of_the_action(self, mode, seed_shift):
        params = [tf.repeat(MEAN, 500, axis=0), tf.repeat(LOG_STD, 500, axis=0)]
        action, log_prob = mode(self.DISTRIBUTION.sample_with_log_prob)(params, SEED + seed_shift)
        assert (np.abs(action) <= 1.0).all()
        # Recomputing from the action loses digits where tanh saturates; elsewhere the two agree.
        inner = (np.abs(action) < 0.999).all(axis=1)
        assert inner.mean() > 0.8
        again = self.DISTRIBUTION.log_prob(params, action).numpy()
        np.testing.assert_allclose(log_prob.numpy()[inner], again[inner], rtol=1e-3, atol=1e-3)

    def test_log_prob_is_exact_where_tanh_rounds_to_one(self, mode):
        distribution = SquashedGaussian((1,), -1.0, 1.0)
        mean = np.float32([[-40.0], [-9.0], [9.0], [40.0]])
        params = tf.constant(mean), tf.fill((4, 1), -1.0)
        noise = Gaussian((1,)).sample([tf.zeros((4, 1))] * 2, SEED).numpy().astype(float)
        action, log_prob = mode(distribution.sample_with_log_prob)(params, SEED)
        assert (np.abs(action) > 0.999999).all()
        expected = squashed_log_density(mean + math.exp(-1) * noise, mean, -1.0)[:, 0]
        np.testing.assert_allclose(log_prob, expected, rtol=1e-5)
        for gradient in gradients(mode, lambda *p: distribution.sample_with_log_prob(p, SEED)[1], *params):
            assert np.isfinite(gradient).all()

    def test_actions_at_the_bounds_have_a_finite_log_prob(self, mode):
        log_prob = mode(self.DISTRIBUTION.log_prob)(self.PARAMS, tf.constant([[1.0, -1.0], [-1.0, 1.0]]))
        assert np.isfinite(log_prob).all()
        action = tf.constant([[1.0, -1.0], [-1.0, 1.0]])
        for gradient in gradients(mode, lambda *p: self.DISTRIBUTION.log_prob(p, action), *self.PARAMS):
            assert np.isfinite(gradient).all()

    def test_gradients_through_a_sample(self, mode):
        noise = Gaussian((2,)).sample([tf.zeros((2, 2))] * 2, SEED).numpy()
        std = np.exp(LOG_STD)
        action = np.tanh(MEAN + std * noise)
        of_mean, of_log_std = gradients(mode, lambda *p: self.DISTRIBUTION.sample(p, SEED), *self.PARAMS)
        np.testing.assert_allclose(of_mean, 1 - action**2, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(of_log_std, (1 - action**2) * std * noise, rtol=1e-3, atol=1e-5)
        # log_prob = log N(noise) - log_std - log(1 - tanh(u)**2); the derivative of the last is 2 tanh(u).
        of_mean, of_log_std = gradients(
            mode, lambda *p: self.DISTRIBUTION.sample_with_log_prob(p, SEED)[1], *self.PARAMS
        )
        np.testing.assert_allclose(of_mean, 2 * action, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(of_log_std, 2 * action * std * noise - 1, rtol=1e-4, atol=1e-5)

    @pytest.mark.sensitive
    def test_entropy_is_estimated_from_a_draw(self, mode, seed_shift):
        n = 50_000
        params = [tf.fill((n, 1), 0.8), tf.fill((n, 1), -0.5)]
        distribution = SquashedGaussian((1,), -1.0, 1.0)
        estimate = mode(lambda p: distribution.entropy(p, SEED + seed_shift))(params).numpy()
        u = np.linspace(-8, 8, 20_001)
        density = scipy.stats.norm.pdf(u, 0.8, math.exp(-0.5))
        expected = np.trapezoid(-density * squashed_log_density(u, 0.8, -0.5), u)
        np.testing.assert_allclose(estimate.mean(), expected, atol=6 * estimate.std() / math.sqrt(n))
        with pytest.raises(ValueError, match="`seed` must be given: the entropy of a SquashedGaussian"):
            distribution.entropy(params)

    def test_kl_is_that_of_the_normal_distributions(self, mode):
        other = (MEAN + 0.5, LOG_STD - 0.2)
        expected = Gaussian((2,)).kl(self.PARAMS, other)
        np.testing.assert_allclose(mode(self.DISTRIBUTION.kl)(self.PARAMS, other), expected, rtol=1e-6)

    def test_mode_is_the_median(self, mode):
        np.testing.assert_allclose(mode(self.DISTRIBUTION.mode)(self.PARAMS), np.tanh(MEAN), rtol=1e-5, atol=1e-6)

    def test_to_env_stretches(self, mode):
        to_env = mode(SquashedGaussian((2,), low=[-2.0, 0.0], high=[2.0, 10.0]).to_env)
        action = tf.constant([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0], [0.5, 0.5]])
        np.testing.assert_array_equal(to_env(action), [[-2.0, 0.0], [0.0, 5.0], [2.0, 10.0], [1.0, 7.5]])

    @settings(max_examples=25, deadline=None)
    @given(st.integers(-1000, 1000), st.integers(0, 1000), st.sampled_from([1e-3 / 7, 1.0, 1e35]))
    def test_to_env_stays_inside_and_reaches_the_ends(self, low, width, scale):
        low, high = float(np.float32(low * scale)), float(np.float32((low + width) * scale))
        action = SquashedGaussian((), low, high).to_env(np.linspace(-1, 1, 41, dtype=np.float32)).numpy()
        assert (action >= np.float32(low)).all() and (action <= np.float32(high)).all()
        assert action[0] == np.float32(low) and action[-1] == np.float32(high)

    def test_to_env_does_not_overflow_for_wide_bounds(self, mode):
        to_env = mode(SquashedGaussian((), -3e38, 3e38).to_env)
        np.testing.assert_allclose(to_env(tf.constant([-1.0, 0.0, 1.0])), [-3e38, 0.0, 3e38], rtol=1e-6)

    def test_unbounded_actions_are_refused(self):
        with pytest.raises(ValueError, match=r"(?s)must be finite.*Received.*inf.*Allowed for unbounded actions"):
            SquashedGaussian((2,), low=-1.0, high=math.inf)


@pytest.mark.parametrize(
    ("distribution", "widths"),
    [
        (Categorical([3, 2]), (5,)),
        (Gaussian((2,)), (2, 2)),
        (SquashedGaussian((2,), -1.0, 1.0), (2, 2)),
        (Beta((2,), -1.0, 1.0), (2, 2)),
        (Bernoulli((4,)), (4,)),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, tuple) else "",
)
def test_the_seed_alone_decides(mode, distribution, widths):
    assert distribution.head_sizes == widths
    params = [tf.zeros((64, width)) for width in widths]
    sample = mode(distribution.sample)
    first = sample(params, tf.constant([1, 2])).numpy()
    tf.random.set_seed(5)
    np.testing.assert_array_equal(sample(params, tf.constant([1, 2])), first)
    # Eager, graph and XLA draw the same; the last digits are the compiler's.
    np.testing.assert_allclose(distribution.sample(params, tf.constant([1, 2])), first, rtol=1e-4, atol=1e-5)
    for other in ([1, 3], [2, 2]):
        assert (sample(params, tf.constant(other)).numpy() != first).mean() > 0.3


def test_uniform_numbers_never_touch_an_end(mode):
    # log(0) and the inverse error function's infinities wait there; a draw of 2**23 values would find them.
    multiples = mode(lambda seed: uniform((1000,), seed))(SEED).numpy().astype(float) * 2.0**24
    np.testing.assert_array_equal(multiples % 2, 1.0)
    assert multiples.min() > 0 and multiples.max() < 2.0**24


def test_sampling_does_not_retrace_for_a_new_seed():
    traces = []

    @tf.function
    def sample(seed):
        traces.append(1)
        return Gaussian((2,)).sample([MEAN, LOG_STD], seed)

    for step in range(3):
        sample(tf.constant([0, step]))
    assert len(traces) == 1


class TestJoint:
    PARTS = (Categorical([3], shape=()), Gaussian((2,), -1.0, 1.0), Categorical([2, 2]))
    JOINT = Joint(PARTS)
    PARAMS = (logits(0.2, 0.3, 0.5), MEAN[:1], LOG_STD[:1], logits(0.1, 0.9, 0.4, 0.6))

    def own(self):
        return (self.PARAMS[:1], self.PARAMS[1:3], self.PARAMS[3:])

    def test_split(self):
        assert self.JOINT.head_sizes == (3, 2, 2, 4)
        assert [len(part) for part in self.JOINT.split(self.PARAMS)] == [1, 2, 1]
        assert self.JOINT.split(self.PARAMS)[1][1] is self.PARAMS[2]
        with pytest.raises(ValueError, match=r"must hold 4 tensors, of widths \(3, 2, 2, 4\). Received: 3"):
            self.JOINT.split(self.PARAMS[:3])

    def test_log_probs_entropies_and_divergences_add_up(self, mode):
        actions = [tf.constant([2]), tf.constant([[0.1, 0.2]]), tf.constant([[1, 0]])]
        expected = sum(p.log_prob(own, a) for p, own, a in zip(self.PARTS, self.own(), actions))
        np.testing.assert_allclose(mode(self.JOINT.log_prob)(self.PARAMS, actions), expected, rtol=1e-6)
        expected = sum(p.entropy(own) for p, own in zip(self.PARTS, self.own()))
        np.testing.assert_allclose(mode(self.JOINT.entropy)(self.PARAMS), expected, rtol=1e-6)
        other = [value + tf.constant([[0.3] + [0.0] * (value.shape[1] - 1)]) for value in self.PARAMS]
        expected = sum(p.kl(own, o) for p, own, o in zip(self.PARTS, self.own(), self.JOINT.split(other)))
        np.testing.assert_allclose(mode(self.JOINT.kl)(self.PARAMS, other), expected, rtol=1e-5)

    def test_sample_mode_and_to_env(self, mode):
        actions, log_prob = mode(self.JOINT.sample_with_log_prob)(self.PARAMS, SEED)
        assert [tuple(action.shape) for action in actions] == [(1,), (1, 2), (1, 2)]
        np.testing.assert_allclose(log_prob, self.JOINT.log_prob(self.PARAMS, actions), rtol=1e-4)
        for action, again in zip(actions, self.JOINT.sample(self.PARAMS, SEED)):
            np.testing.assert_allclose(action, again, rtol=1e-4)
        greedy = mode(self.JOINT.mode)(self.PARAMS)
        for action, expected in zip(greedy, [[2], MEAN[:1], [[1, 1]]]):
            np.testing.assert_array_equal(action, expected)
        np.testing.assert_array_equal(mode(self.JOINT.to_env)(greedy)[1], np.clip(MEAN[:1], -1, 1))

    @pytest.mark.sensitive
    def test_leaves_draw_independently(self, mode, seed_shift):
        joint = Joint([Gaussian((1,)), Gaussian((1,))])
        params = [tf.zeros((4000, 1))] * 4
        first, second = mode(joint.sample)(params, SEED + seed_shift)
        assert abs(np.corrcoef(first[:, 0], second[:, 0])[0, 1]) < 0.1
        # Seeds that differ by a counter must not make one leaf repeat what another drew.
        later = joint.sample(params, SEED + seed_shift + [0, 1])
        assert not np.intersect1d(np.round(second, 4), np.round(later[0], 4)).size > 3000

    def test_a_single_leaf_draws_as_it_does_alone(self):
        alone = Gaussian((2,)).sample([MEAN, LOG_STD], SEED)
        np.testing.assert_array_equal(Joint([Gaussian((2,))]).sample([MEAN, LOG_STD], SEED)[0], alone)

    def test_masks(self, mode):
        masks = [tf.constant([[True, True, False]]), None, tf.constant([[True, False, True, True]])]
        masked = mode(lambda params: self.JOINT.mask(params, masks))(self.PARAMS)
        assert [tuple(value.shape) for value in masked] == [(1, 3), (1, 2), (1, 2), (1, 4)]
        for action, expected in zip(self.JOINT.mode(masked), [[1], MEAN[:1], [[0, 1]]]):
            np.testing.assert_array_equal(action, expected)
        assert self.JOINT.mask(self.PARAMS, None) == list(self.PARAMS)

    def test_a_squashed_leaf_needs_a_seed_for_the_entropy(self):
        joint = Joint([Categorical([2]), SquashedGaussian((1,), -1.0, 1.0)])
        params = [tf.zeros((3, 2)), tf.zeros((3, 1)), tf.zeros((3, 1))]
        assert self.JOINT.has_entropy and not joint.has_entropy
        assert joint.entropy(params, SEED).shape == (3,)
        with pytest.raises(ValueError, match="`seed` must be given"):
            joint.entropy(params)

    def test_a_wrong_number_of_actions_is_refused(self):
        with pytest.raises(ValueError, match="shorter"):
            self.JOINT.log_prob(self.PARAMS, [tf.constant([2])])

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="at least one distribution"):
            Joint([])
        with pytest.raises(TypeError, match=r"must hold Distribution objects\. Received: 3"):
            Joint([3])


CONFIGURED = [
    Categorical([[2, 3], [4, 1]], shape=(2, 2)),
    Gaussian((2,), low=[-1.0, -math.inf], high=math.inf),
    SquashedGaussian((2, 1), low=-0.1, high=[[1.0], [2.5]]),
    Beta((2,), low=[0.0, -1.0], high=3.0),
    Bernoulli((2, 2)),
    Deterministic((2,), -1.0, 1.0),
    Direct((2,), 0.0, math.inf),
    Joint([Categorical([2], shape=()), Gaussian(()), SquashedGaussian((3,), -1.0, 1.0)]),
]


@pytest.mark.parametrize("distribution", CONFIGURED, ids=lambda d: type(d).__name__)
def test_configs_survive_json(distribution):
    config = keras.saving.serialize_keras_object(distribution)
    # Strict JSON, which has no infinity.
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(config, allow_nan=False)))
    assert type(again) is type(distribution)
    assert again.get_config() == distribution.get_config()
    direct = type(distribution).from_config(distribution.get_config())
    assert direct.get_config() == distribution.get_config()
    assert again.head_sizes == distribution.head_sizes


def test_bounds_survive_a_config_exactly():
    gaussian = CONFIGURED[1]
    assert gaussian.get_config() == {"shape": [2], "low": [-1.0, "-inf"], "high": "inf"}
    again = Gaussian.from_config(gaussian.get_config())
    np.testing.assert_array_equal(again.low, gaussian.low)
    np.testing.assert_array_equal(again.high, gaussian.high)
    squashed = SquashedGaussian.from_config(CONFIGURED[2].get_config())
    np.testing.assert_array_equal(squashed.low, CONFIGURED[2].low)


def test_a_config_makes_distributions_only():
    config = {"distributions": [keras.saving.serialize_keras_object(keras.layers.Dense(2))]}
    with pytest.raises(TypeError, match="must hold Distribution objects"):
        Joint.from_config(config)


SPACES = gymnasium.spaces
BOUNDED, UNBOUNDED = SPACES.Box(-2.0, 2.0, (3,)), SPACES.Box(-np.inf, np.inf, (2, 2))


@pytest.mark.parametrize(
    ("space", "kind", "expected", "head_sizes"),
    [
        (SPACES.Discrete(4, start=-1), "auto", Categorical, (4,)),
        (SPACES.Discrete(4), "categorical", Categorical, (4,)),
        (SPACES.MultiDiscrete([[2, 3], [4, 5]]), "auto", Categorical, (14,)),
        (SPACES.MultiBinary((2, 2)), "auto", Categorical, (8,)),
        (BOUNDED, "auto", Gaussian, (3, 3)),
        (BOUNDED, "gaussian", Gaussian, (3, 3)),
        (BOUNDED, "squashed_gaussian", SquashedGaussian, (3, 3)),
        (BOUNDED, "beta", Beta, (3, 3)),
        (SPACES.MultiBinary((2, 2)), "bernoulli", Bernoulli, (4,)),
        (SPACES.Discrete(2, start=3), "bernoulli", Bernoulli, (1,)),
        (UNBOUNDED, "auto", Gaussian, (4, 4)),
    ],
)
def test_for_leaf(space, kind, expected, head_sizes):
    (leaf,) = Structure(space).leaves
    distribution = for_leaf(leaf, kind)
    assert type(distribution) is expected and distribution.head_sizes == head_sizes
    params = [tf.zeros((6, size)) for size in head_sizes]
    action = distribution.to_env(distribution.sample(params, SEED)).numpy()
    assert all(space.contains(np.asarray(element)[()]) for element in leaf.decode(action))


@pytest.mark.parametrize(
    ("space", "kind", "message"),
    [
        (BOUNDED, "cauchy", "`kind` is unknown. Received: 'cauchy'. Allowed: auto, categorical"),
        (SPACES.MultiDiscrete([2, 3]), "bernoulli", "does not fit.*'bernoulli'. Allowed: 'categorical'$"),
        (UNBOUNDED, "beta", "(?s)'beta' needs finite bounds.*Allowed: 'gaussian'"),
        (BOUNDED, "categorical", "does not fit the action, a box.*'categorical'.*Allowed: 'gaussian'"),
        (SPACES.Discrete(2), "gaussian", "does not fit the action, a discrete.*Allowed: 'categorical'"),
        (UNBOUNDED, "squashed_gaussian", "(?s)needs finite bounds.*Allowed: 'gaussian'"),
        (SPACES.Dict(arm=UNBOUNDED), "squashed_gaussian", "the action 'arm' has none everywhere"),
    ],
)
def test_for_leaf_refuses(space, kind, message):
    with pytest.raises(ValueError, match=message):
        for_leaf(Structure(space).leaves[0], kind)
