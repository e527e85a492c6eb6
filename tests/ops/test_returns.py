import functools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kagent import ops


def column(*values):
    return tf.constant([[value] for value in values], tf.float32)


def flags(*values):
    return tf.constant([[bool(value)] for value in values])


def test_discount_factor(mode):
    terminated = tf.constant([[False, True], [True, False]])
    np.testing.assert_allclose(mode(ops.discount_factor)(0.9, terminated), [[0.9, 0.0], [0.0, 0.9]])
    assert ops.discount_factor(0.9, [True]).dtype == tf.float32


def test_gae(mode):
    # delta = 1 + 0.5 * 2 - 1 = 1 in every step; with 0.5 * 0.5 = 1/4: 1, 1 + 1/4, 1 + 1/4 * 5/4.
    ones, halves, twos = column(1, 1, 1), column(0.5, 0.5, 0.5), column(2, 2, 2)
    advantage = mode(ops.gae)(ones, halves, ones, twos, flags(0, 0, 0), 0.5)
    np.testing.assert_allclose(advantage, [[1.3125], [1.25], [1.0]])


def test_termination_neither_bootstraps_nor_looks_ahead(mode):
    # Step 1 terminates: delta 1 + 0 * 2 - 1 = 0; step 0: 1 + 1/4 * 0; step 2: 1.
    advantage = mode(ops.gae)(
        column(1, 1, 1), column(0.5, 0, 0.5), column(1, 1, 1), column(2, 2, 2), flags(0, 1, 0), 0.5
    )
    np.testing.assert_allclose(advantage, [[1.0], [0.0], [1.0]])


def test_truncation_bootstraps_but_does_not_look_ahead(mode):
    # Step 1 is truncated: delta 1 + 0.5 * 2 - 1 = 1, and nothing of step 2; step 0: 1 + 1/4.
    advantage = mode(ops.gae)(
        column(1, 1, 1), column(0.5, 0.5, 0.5), column(1, 1, 1), column(2, 2, 2), flags(0, 1, 0), 0.5
    )
    np.testing.assert_allclose(advantage, [[1.25], [1.0], [1.0]])


def test_an_invalid_row_after_an_end_has_no_effect(mode):
    # The row of gymnasium's NEXT_STEP autoreset: whatever it holds, the rows around it stay.
    def advantage(junk):
        reward, value, next_value = column(1, 1, junk, 1), column(1, 1, junk, 1), column(2, 2, junk, 2)
        ended = flags(0, 1, 1, 0)
        return mode(ops.gae)(reward, column(0.5, 0.5, 0.5, 0.5), value, next_value, ended, 0.5).numpy()[[0, 1, 3]]

    np.testing.assert_allclose(advantage(0.0), [[1.25], [1.0], [1.0]])
    np.testing.assert_array_equal(advantage(0.0), advantage(1e6))


def test_environments_do_not_mix(mode):
    reward = tf.constant([[1.0, 10.0], [1.0, 10.0]])
    halves, zeros = tf.fill((2, 2), 0.5), tf.zeros((2, 2))
    advantage = mode(ops.gae)(reward, halves, zeros, zeros, tf.zeros((2, 2), tf.bool), 1.0)
    np.testing.assert_allclose(advantage, [[1.5, 15.0], [1.0, 10.0]])


def test_one_row(mode):
    advantage = mode(ops.gae)(column(1), column(0.5), column(4), column(2), flags(0), 0.95)
    np.testing.assert_allclose(advantage, [[-2.0]])  # 1 + 0.5 * 2 - 4


def test_lambda_may_be_a_tensor_without_retracing():
    traces = []

    @tf.function
    def advantage(gae_lambda):
        traces.append(1)
        ones, halves = column(1, 1), column(0.5, 0.5)
        return ops.gae(ones, halves, ones, ones, flags(0, 0), gae_lambda)

    # delta = 0.5: 0.5 + 0.5 * lambda * 0.5
    np.testing.assert_allclose(advantage(tf.constant(1.0))[0], [0.75])
    np.testing.assert_allclose(advantage(tf.constant(0.0))[0], [0.5])
    assert len(traces) == 1


def test_lambda_return(mode):
    # Last row: 1 + 0.5 * 4 = 3. Before it: 1 + 0.5 * (0.75 * 4 + 0.25 * 3) = 2.875.
    arguments = column(1, 1), column(0.5, 0.5), column(4, 4), flags(0, 0)
    np.testing.assert_allclose(mode(ops.lambda_return)(*arguments, 0.25), [[2.875], [3.0]])


def test_discounted_return(mode):
    # 4; 2 ended (truncated: nothing is known of what follows); 1 + 0.5 * 2.
    arguments = column(1, 2, 4), column(0.5, 0.5, 0.5), flags(0, 1, 0)
    np.testing.assert_allclose(mode(ops.discounted_return)(*arguments), [[2.0], [2.0], [4.0]])
    # Bootstrapped with 8: 4 + 4; 2 + 4; 1 + 0.5 * 6.
    np.testing.assert_allclose(mode(ops.discounted_return)(*arguments, column(8, 8, 8)), [[4.0], [6.0], [8.0]])


def test_n_step_return(mode):
    # Two steps: 1 + 0.5 * (2 + 0.5 * 8) = 4; row 1 ended: 2 + 0.5 * 8 = 6; row 2: 4 + 0.5 * (8 + 0 * 8) = 8;
    # row 3 terminated: 8.
    arguments = column(1, 2, 4, 8), column(0.5, 0.5, 0.5, 0), column(8, 8, 8, 8), flags(0, 1, 0, 1)
    n_step = mode(lambda *a: ops.n_step_return(*a, n=2))
    np.testing.assert_allclose(n_step(*arguments), [[4.0], [6.0], [8.0], [8.0]])


def test_n_less_than_one_is_refused():
    with pytest.raises(ValueError, match=r"`n` must be at least 1\. Received: 0"):
        ops.n_step_return(column(1), column(1), column(1), flags(0), n=0)


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"one shape.*value \(2,\)"):
        ops.gae(column(1, 1), column(1, 1), tf.zeros(2), column(1, 1), flags(0, 0), 0.9)


def test_unknown_length_works_in_a_graph():
    signature = [tf.TensorSpec((None, 1))] * 4 + [tf.TensorSpec((None, 1), tf.bool)]
    advantage = tf.function(functools.partial(ops.gae, gae_lambda=0.5), input_signature=signature)
    ones, halves, twos = column(1, 1, 1), column(0.5, 0.5, 0.5), column(2, 2, 2)
    result = advantage(ones, halves, ones, twos, flags(0, 0, 0))
    np.testing.assert_allclose(result, [[1.3125], [1.25], [1.0]])


def test_gradient_flows_to_the_value(mode):
    @mode
    def gradient(value):
        with tf.GradientTape() as tape:
            tape.watch(value)
            first = ops.gae(column(1, 1), column(0.5, 0.5), value, column(0, 0), flags(0, 0), 0.5)[0, 0]
        return tape.gradient(first, value)

    np.testing.assert_allclose(gradient(column(3, 5)), [[-1.0], [-0.25]])


def floats(shape):
    return hnp.arrays(np.float32, shape, elements=st.floats(-5, 5, width=32))


@st.composite
def rollouts(draw, longest=20, shortest=1):
    shape = (draw(st.integers(shortest, longest)), 2)
    terminated, truncated = draw(hnp.arrays(bool, shape)), draw(hnp.arrays(bool, shape))
    discount = ops.discount_factor(draw(st.floats(0, 1, width=32)), terminated).numpy()
    return draw(floats(shape)), discount, draw(floats(shape)), draw(floats(shape)), terminated | truncated


def slow_gae(reward, discount, value, next_value, ended, gae_lambda):
    advantage, following = np.zeros(reward.shape), np.zeros(reward.shape[1])
    for t in reversed(range(len(reward))):
        delta = reward[t].astype(float) + discount[t] * next_value[t] - value[t]
        following = delta + discount[t] * gae_lambda * np.where(ended[t], 0.0, following)
        advantage[t] = following
    return advantage


def slow_return(reward, discount, next_value, ended, n):
    result = np.zeros(reward.shape)
    for t, i in np.ndindex(*reward.shape):
        weight = 1.0
        for k in range(t, min(t + n, len(reward))):
            result[t, i] += weight * reward[k, i]
            weight *= discount[k, i]
            if ended[k, i]:
                break
        result[t, i] += weight * next_value[k, i]
    return result


@settings(max_examples=20, deadline=None)
@given(rollouts(), st.floats(0, 1, width=32))
def test_gae_equals_a_loop(rollout, gae_lambda):
    np.testing.assert_allclose(ops.gae(*rollout, gae_lambda), slow_gae(*rollout, gae_lambda), rtol=1e-4, atol=1e-4)


_compiled_gae = tf.function(ops.gae, jit_compile=True)


@settings(max_examples=30, deadline=None)
@given(rollouts(longest=13, shortest=13), st.floats(0, 1, width=32))
def test_compiled_gae_equals_a_loop(rollout, gae_lambda):
    result = _compiled_gae(*map(tf.constant, rollout), tf.constant(gae_lambda))
    np.testing.assert_allclose(result, slow_gae(*rollout, gae_lambda), rtol=1e-4, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(rollouts(), st.integers(1, 25))
def test_n_step_return_equals_a_loop(rollout, n):
    reward, discount, _, next_value, ended = rollout
    expected = slow_return(reward, discount, next_value, ended, n)
    np.testing.assert_allclose(
        ops.n_step_return(reward, discount, next_value, ended, n), expected, rtol=1e-4, atol=1e-4
    )


@settings(max_examples=20, deadline=None)
@given(rollouts())
def test_the_ends_of_lambda_are_one_step_and_the_whole_episode(rollout):
    reward, discount, _, next_value, ended = rollout
    whole = slow_return(reward, discount, next_value, ended, len(reward))
    tolerance = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(ops.lambda_return(reward, discount, next_value, ended, 1.0), whole, **tolerance)
    np.testing.assert_allclose(ops.discounted_return(reward, discount, ended, next_value), whole, **tolerance)
    one_step = reward + discount * next_value
    np.testing.assert_allclose(ops.lambda_return(reward, discount, next_value, ended, 0.0), one_step, **tolerance)


@settings(max_examples=20, deadline=None)
@given(rollouts(), st.floats(0, 1, width=32))
def test_gae_plus_value_is_the_lambda_return(rollout, gae_lambda):
    # Given that the successor of a row that did not end is the next row.
    reward, discount, value, next_value, ended = rollout
    next_value[:-1] = np.where(ended[:-1], next_value[:-1], value[1:])
    returns = ops.lambda_return(reward, discount, next_value, ended, gae_lambda)
    advantage = ops.gae(reward, discount, value, next_value, ended, gae_lambda)
    np.testing.assert_allclose(advantage + value, returns, rtol=1e-4, atol=1e-4)


def test_long_rollouts_stay_exact(mode):
    rng = np.random.default_rng(5)
    shape = (2048, 1)
    ended = rng.random(shape) < 0.01
    discount = ops.discount_factor(0.99, ended & (rng.random(shape) < 0.5)).numpy()
    reward, value, next_value = (rng.normal(size=shape).astype(np.float32) for _ in range(3))
    advantage = mode(ops.gae)(*map(tf.constant, (reward, discount, value, next_value, ended)), 0.95)
    expected = slow_gae(reward, discount, value, next_value, ended, np.float32(0.95))
    np.testing.assert_allclose(advantage, expected, atol=2e-5)
