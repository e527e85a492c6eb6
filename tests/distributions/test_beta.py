"""Beta distributions between bounds: numbers by hand, SciPy as the other implementation."""

import math

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from kagent.distributions import Beta

SEED = tf.constant([7, 11])
UNIT = Beta((1,), -1.0, 1.0)
SHAPES = [(1.000001, 1.000001), (1.7, 1.7), (2.0, 3.5), (1.01, 6.0), (40.0, 2.0), (900.0, 1100.0)]


def head(parameter):
    """What `1 + softplus` makes the parameter of."""
    excess = parameter - 1.0 - 1e-6
    return -50.0 if excess <= 0 else excess + math.log(-math.expm1(-excess))


def params(*shapes, rows=1):
    return [tf.constant([[head(shape[i]) for shape in shapes]] * rows, tf.float64) for i in (0, 1)]


def reference(a, b):
    return scipy.stats.beta(a, b, loc=-1.0, scale=2.0)


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_log_prob_entropy_and_mode(mode, a, b):
    actions = reference(a, b).ppf([0.001, 0.2, 0.5, 0.9, 0.999]).astype(np.float32)
    found = mode(UNIT.log_prob)(params((a, b), rows=5), actions[:, None])
    np.testing.assert_allclose(found, reference(a, b).logpdf(actions.astype(float)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(mode(UNIT.entropy)(params((a, b))), [reference(a, b).entropy()], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(mode(UNIT.mode)(params((a, b))), [[2 * (a - 1) / (a + b - 2) - 1]], atol=1e-4)


def test_numbers_by_hand(mode):
    # alpha = beta = 2: the density of y in [0, 1] is 6 y (1 - y), half of that on [-1, 1].
    two = params((2.0, 2.0))
    np.testing.assert_allclose(mode(UNIT.log_prob)(two, [[0.0]]), [math.log(0.75)], rtol=1e-5)
    np.testing.assert_allclose(mode(UNIT.log_prob)(two, [[0.5]]), [math.log(6 * 0.75 * 0.25 / 2)], rtol=1e-5)
    np.testing.assert_array_equal(mode(UNIT.mode)(two), [[0.0]])


def test_heads_of_zero_are_broad():
    zero = [tf.zeros((1, 1))] * 2
    alpha = 1.0 + math.log(2.0)
    np.testing.assert_allclose(UNIT.entropy(zero), [reference(alpha, alpha).entropy()], atol=1e-5)
    assert math.log(2.0) - UNIT.entropy(zero).numpy()[0] < 0.08  # of the uniform distribution


def test_components_add_up(mode):
    pair = Beta((2,), low=[0.0, -3.0], high=[10.0, 3.0])
    shapes = ((2.0, 3.0), (5.0, 1.5))
    expected = sum(reference(*shape).logpdf(x) for shape, x in zip(shapes, (0.3, -0.2)))
    np.testing.assert_allclose(mode(pair.log_prob)(params(*shapes), [[0.3, -0.2]]), [expected], rtol=1e-5)
    expected = sum(reference(*shape).entropy() for shape in shapes)
    np.testing.assert_allclose(mode(pair.entropy)(params(*shapes)), [expected], rtol=1e-5)
    np.testing.assert_array_equal(mode(pair.to_env)(tf.constant([[-1.0, 0.5], [1.0, -1.0]])), [[0, 1.5], [10, -3]])


def test_kl(mode):
    one, other = (2.0, 3.5), (4.0, 1.2)
    x = np.linspace(-1, 1, 400_001)[1:-1]
    p, q = reference(*one), reference(*other)
    expected = np.trapezoid(p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), x)
    np.testing.assert_allclose(mode(UNIT.kl)(params(one), params(other)), [expected], rtol=1e-4)
    np.testing.assert_array_equal(mode(UNIT.kl)(params(one), params(one)), [0.0])
    narrow = mode(UNIT.kl)(params((900.0, 1100.0)), params((901.0, 1100.0)))
    assert 0.0 < float(narrow[0]) < 1e-3  # large numbers, small difference


def test_the_density_integrates_to_one(mode):
    x = np.linspace(-1.0, 1.0, 20_001, dtype=np.float32)[:, None]
    for a, b in SHAPES[:5]:
        density = np.exp(mode(UNIT.log_prob)(params((a, b), rows=len(x)), x).numpy().astype(float))
        assert np.trapezoid(density, x[:, 0].astype(float)) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.sensitive
@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_samples(mode, a, b, seed_shift):
    n = 20_000
    action, log_prob = mode(UNIT.sample_with_log_prob)(params((a, b), rows=n), SEED + seed_shift)
    assert action.dtype == log_prob.dtype == tf.float32 and np.abs(action).max() <= 1.0
    assert scipy.stats.kstest(action.numpy().ravel(), reference(a, b).cdf).pvalue > 1e-5
    np.testing.assert_allclose(log_prob, UNIT.log_prob(params((a, b), rows=n), action), rtol=1e-4, atol=1e-4)


def test_actions_at_the_bounds_have_finite_densities_and_gradients(mode):
    @mode
    def gradients(a, b):
        with tf.GradientTape() as tape:
            tape.watch((a, b))
            value = UNIT.log_prob([a, b], tf.constant([[-1.0], [1.0], [0.0]])) + UNIT.entropy([a, b])
        return value, tape.gradient(value, (a, b))

    for size in (-100.0, 0.0, 100.0):
        value, found = gradients(tf.fill((3, 1), size), tf.fill((3, 1), -size))
        assert all(np.isfinite(x).all() for x in (value, *found))


def test_gradient_of_log_prob(mode):
    """Against differences of SciPy's density."""
    shape, x, step = (2.0, 3.5), 0.3, 1e-4

    @mode
    def gradients(a, b):
        with tf.GradientTape() as tape:
            tape.watch((a, b))
            value = UNIT.log_prob([a, b], tf.constant([[x]]))
        return tape.gradient(value, (a, b))

    for i, found in enumerate(gradients(*(tf.cast(p, tf.float32) for p in params(shape)))):
        up, down = list(shape), list(shape)
        up[i], down[i] = up[i] + step, down[i] - step
        slope = (reference(*up).logpdf(x) - reference(*down).logpdf(x)) / (2 * step)
        np.testing.assert_allclose(found, [[slope * (1.0 - math.exp(-(shape[i] - 1.0)))]], rtol=1e-3)


def test_no_gradient_flows_through_the_action():
    a, b = (tf.Variable(p) for p in params((2.0, 3.0)))
    with tf.GradientTape() as tape:
        action = UNIT.sample([a, b], SEED)
    assert tape.gradient(action, [a, b]) == [None, None]


def test_unbounded_actions_are_refused():
    with pytest.raises(ValueError, match=r"of a Beta must be finite"):
        Beta((2,), low=0.0, high=math.inf)
