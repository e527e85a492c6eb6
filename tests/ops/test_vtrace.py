"""V-trace: numbers worked out by hand, against a loop in NumPy, and on-policy against returns of several steps."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent import ops

LOG = [math.log(2.0), math.log(0.5), 0.0, math.log(0.25)]


def column(*values):
    return tf.constant([[value] for value in values], tf.float32)


def flags(*values):
    return tf.constant([[bool(value)] for value in values])


def test_by_hand(mode):
    # Ratios 2, 1/2, 1, 1/4, so rho = c = 1, 1/2, 1, 1/4. Errors r + d * next - value: 1 + 1/2 * 2 - 1 = 1, 0 + 1/2 * 4 - 2 = 0,
    # 2 + 1/2 * 2 - 4 = -1, 3 + 1/2 * 6 - 2 = 4. Corrections from the end: 1/4 * 4 = 1; -1 + 1/2 * 1 = -1/2;
    # 0 + 1/2 * 1/2 * -1/2 = -1/8; 1 + 1/2 * -1/8 = 15/16.
    # Advantages rho * (error + d * the next correction): 1 - 1/16, 1/2 * (0 - 1/4), -1 + 1/2, 1/4 * 4.
    found = mode(ops.vtrace)(
        column(*LOG),
        column(1, 0, 2, 3),
        column(0.5, 0.5, 0.5, 0.5),
        column(1, 2, 4, 2),
        column(2, 4, 2, 6),
        flags(0, 0, 0, 0),
    )
    np.testing.assert_allclose(found.target, [[1.9375], [1.875], [3.5], [3.0]], rtol=1e-6)
    np.testing.assert_allclose(found.advantage, [[0.9375], [-0.125], [-0.5], [1.0]], rtol=1e-6)


def test_clips_and_lambda_by_hand(mode):
    # rho = min(3, ratio): 2, 1/2; c = 1/2 * min(1/2, ratio): 1/4, 1/4. Errors 1 and 2. Corrections: 1/2 * 2 = 1 in the last row;
    # 2 * 1 + 1/2 * 1/4 * 1 = 2 1/8. Advantages: 2 * (1 + 1/2 * 1/2 * 1) = 2 1/2; 1/2 * 2.
    found = mode(ops.vtrace)(
        column(*LOG[:2]), column(1, 2), column(0.5, 0.5), column(0, 0), column(0, 0), flags(0, 0), 3.0, 0.5, 0.5
    )
    np.testing.assert_allclose(found.target, [[2.125], [1.0]], rtol=1e-6)
    np.testing.assert_allclose(found.advantage, [[2.5], [1.0]], rtol=1e-6)


def test_ends(mode):
    # A truncated step has the value of its own last observation, and a terminated one none; nothing of later rows enters.
    zeros, rewards, following = column(0, 0, 0), column(1, 1, 1), column(8, 8, 8)
    truncated = mode(ops.vtrace)(zeros, rewards, column(0.5, 0.5, 0.5), zeros, following, flags(0, 1, 0))
    terminated = mode(ops.vtrace)(zeros, rewards, column(0.5, 0.0, 0.5), zeros, following, flags(0, 1, 0))
    # Step 0: 1 + 1/2 * 8 = 5, and half of the correction of step 1, which is 5, or 1.
    np.testing.assert_allclose(truncated.target, [[7.5], [5.0], [5.0]])
    np.testing.assert_allclose(terminated.target, [[5.5], [1.0], [5.0]])


def test_no_gradient_and_no_overflow():
    one = tf.Variable([[1.0], [1.0]])
    with tf.GradientTape() as tape:
        found = ops.vtrace(one, one, one, one, one, flags(0, 0))
        total = tf.reduce_sum(found.target + found.advantage)
    assert tape.gradient(total, one) is None
    far = ops.vtrace(column(500, -500), column(1, 1), column(1, 1), column(0, 0), column(0, 0), flags(0, 0), math.inf)
    np.testing.assert_allclose(far.target, [[1e6], [0.0]], rtol=1e-5)
    with pytest.raises(ValueError, match=r"`c_clip` must be from 0 to 1\. Received: 2\.0"):
        ops.vtrace(one, one, one, one, one, flags(0, 0), c_clip=2.0)


def naive(log_ratio, reward, discount, value, next_value, ended, rho_clip, c_clip, trace_lambda):
    """Equation 1 of the paper: a sum over later steps, each with the product of the weights before it."""
    steps = len(reward)
    ratio = np.exp(log_ratio)
    rho, c = np.minimum(rho_clip, ratio), trace_lambda * np.minimum(c_clip, ratio)
    target = value.copy()
    for s in range(steps):
        weight = 1.0
        for t in range(s, steps):
            target[s] += weight * rho[t] * (reward[t] + discount[t] * next_value[t] - value[t])
            if ended[t]:
                break
            weight *= discount[t] * c[t]
    advantage = np.zeros(steps)
    for s in range(steps):
        later = 0.0 if ended[s] or s == steps - 1 else target[s + 1] - value[s + 1]
        advantage[s] = rho[s] * (reward[s] + discount[s] * (next_value[s] + trace_lambda * later) - value[s])
    return target, advantage


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 9), st.integers(0, 2**31), st.sampled_from([0.5, 1.0, 2.0, math.inf]), st.sampled_from([0.3, 1.0]),
    st.sampled_from([0.0, 0.7, 1.0]),
)  # fmt: skip
def test_against_a_loop(steps, seed, rho_clip, c_clip, trace_lambda):
    rng = np.random.default_rng(seed)
    log_ratio, reward, value, next_value = rng.normal(size=(4, steps))
    ended = rng.random(steps) < 0.3
    discount = np.where(ended & (rng.random(steps) < 0.5), 0.0, 0.9)
    given = (log_ratio, reward, discount, value, next_value, ended)
    found = ops.vtrace(*(np.stack([x, x[::-1]], axis=1) for x in given), rho_clip, c_clip, trace_lambda)
    for env, order in ((0, slice(None)), (1, slice(None, None, -1))):
        expected = naive(*(x[order] for x in given), rho_clip, c_clip, trace_lambda)
        np.testing.assert_allclose(found.target[:, env], expected[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.advantage[:, env], expected[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("trace_lambda", [1.0, 0.6])
def test_on_policy_it_is_the_return_of_all_steps_and_gae(trace_lambda):
    rng = np.random.default_rng(0)
    reward, value = rng.normal(size=(2, 7, 3))
    ended = rng.random((7, 3)) < 0.3
    discount = np.where(ended & (rng.random((7, 3)) < 0.5), 0.0, 0.9)
    next_value = np.where(ended, rng.normal(size=(7, 3)), np.concatenate([value[1:], rng.normal(size=(1, 3))]))
    found = ops.vtrace(np.zeros((7, 3)), reward, discount, value, next_value, ended, trace_lambda=trace_lambda)
    np.testing.assert_allclose(
        found.target, ops.lambda_return(reward, discount, next_value, ended, trace_lambda), rtol=1e-4
    )
    if trace_lambda == 1.0:
        np.testing.assert_allclose(found.target, ops.n_step_return(reward, discount, next_value, ended, 7), rtol=1e-4)
    advantage = ops.gae(reward, discount, value, next_value, ended, trace_lambda)
    np.testing.assert_allclose(found.advantage, advantage, rtol=1e-3, atol=1e-5)
