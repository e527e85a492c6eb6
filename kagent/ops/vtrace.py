"""V-trace: values and advantages of one policy from the timesteps of another."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from .policy_gradient import LARGEST_LOG_RATIO
from .returns import following, reverse_scan
from .td import as_floats


class VTrace(NamedTuple):
    """What V-trace makes of a rollout.

    Attributes:
        target: float32 `(T, N)`, `v_t`: what the value function learns.
        advantage: float32 `(T, N)`: what weighs the gradient of the log-probability of the action; the importance weight is in it.
    """

    target: tf.Tensor
    advantage: tf.Tensor


def vtrace(
    log_ratio: Any,
    reward: Any,
    discount: Any,
    value: Any,
    next_value: Any,
    ended: Any,
    rho_clip: Any = 1.0,
    c_clip: Any = 1.0,
    trace_lambda: Any = 1.0,
) -> VTrace:
    """V-trace targets and advantages, Espeholt et al. 2018 (arXiv:1802.01561), eq. 1 and the policy gradient of section 4.2.

        rho_t = min(rho_clip, ratio_t),  c_t = trace_lambda * min(c_clip, ratio_t),  ratio_t = exp(log_ratio_t)
        delta_t = rho_t * (reward_t + discount_t * next_value_t - value_t)
        v_t - value_t = delta_t + discount_t * c_t * (1 - ended_t) * (v_{t+1} - value_{t+1})
        advantage_t = rho_t * (reward_t + discount_t * w_t - value_t)

    `w_t` is `next_value_t + trace_lambda * (1 - ended_t) * (v_{t+1} - value_{t+1})`, which with a lambda of 1 is `v_{t+1}`. Where the
    two policies are one, and nothing is clipped below 1, `advantage` is `gae` with this lambda and `target` is
    `advantage + value`. `rho_clip` decides whose values are learned: of a policy between the two. `c_clip` only decides how fast.

    Args:
        log_ratio: float32 `(T, N)`, log-probability of the action under the policy that learns, minus that under the policy that acted.
        reward, discount, next_value, ended: As of `kagent.ops.returns`, `(T, N)`; the last row is cut as if ended.
        value: float32 `(T, N)`, value of the observation of step t.
        rho_clip: Number or scalar tensor > 0, the largest importance weight of a timestep; infinite is 1e6.
        c_clip: Number or scalar tensor from 0 to 1, the largest importance weight of what follows a timestep. Larger ones have
            products that overflow.
        trace_lambda: Number or scalar tensor in [0, 1]: weight of longer horizons.

    Returns:
        `VTrace`. No gradient flows through it.

    Raises:
        ValueError: `c_clip` is a number outside its range.

    Example:

    >>> zeros, going = [[0.0], [0.0]], [[False], [False]]
    >>> found = vtrace([[math.log(0.5)], [math.log(4.0)]], [[1.0], [1.0]], [[0.5], [0.5]], zeros, zeros, going)
    >>> found.target.numpy().round(6).tolist(), found.advantage.numpy().round(6).tolist()
    ([[0.75], [1.0]], [[0.75], [1.0]])
    """
    if not isinstance(c_clip, tf.Tensor) and not 0.0 <= c_clip <= 1.0:
        raise ValueError(f"`c_clip` must be from 0 to 1. Received: {c_clip}")
    log_ratio, reward, discount, value, next_value, ended = as_floats(
        log_ratio=log_ratio, reward=reward, discount=discount, value=value, next_value=next_value, ended=ended
    )
    trace_lambda, goes_on = tf.cast(trace_lambda, tf.float32), 1.0 - ended
    rho, c = importance_weight(log_ratio, rho_clip), importance_weight(log_ratio, c_clip)
    error = reward + discount * next_value - value
    correction = reverse_scan(rho * error, discount * trace_lambda * c * goes_on)
    advantage = rho * (error + discount * trace_lambda * goes_on * following(correction))
    return VTrace(tf.stop_gradient(value + correction), tf.stop_gradient(advantage))


def importance_weight(log_ratio: Any, clip: Any) -> tf.Tensor:
    """`min(clip, exp(log_ratio))` of any shape, and 1e6 at most.

    Args:
        log_ratio: float32, difference of two log-probabilities.
        clip: Number or scalar tensor >= 0; may be infinite.

    Example:

    >>> importance_weight([0.0, 1000.0], 2.0).numpy().round(6).tolist()
    [1.0, 2.0]
    """
    most = tf.minimum(tf.math.log(tf.cast(clip, tf.float32)), LARGEST_LOG_RATIO)
    return tf.exp(tf.minimum(tf.cast(log_ratio, tf.float32), most))
