"""Returns and advantages of time-major rollouts `(T, N)`: T steps of N environments side by side.

The arguments mean the same in every function:

- `reward`: float32 `(T, N)`.
- `discount`: `discount_factor(discount, terminated)`, float32 `(T, N)`: 0 where the episode terminated.
- `next_value`: float32 `(T, N)`, value of the true successor of step t (of the final observation, where one
  ended).
- `ended`: bool `(T, N)`, terminated or truncated: row t + 1 belongs to another episode.

Whatever stands in the row behind an ended one has no effect on the rows before it, and the last row is cut as
if ended. Entries must be finite, also those of padding.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .td import as_floats


def gae(reward: Any, discount: Any, value: Any, next_value: Any, ended: Any, gae_lambda: Any) -> tf.Tensor:
    """Generalised advantage estimation, Schulman et al. 2016, eq. 16.

    `delta_t = reward_t + discount_t * next_value_t - value_t` and, backwards from the last step,
    `advantage_t = delta_t + discount_t * gae_lambda * (1 - ended_t) * advantage_{t+1}`.

    Args:
        reward, discount, next_value, ended: See the module, `(T, N)`.
        value: float32 `(T, N)`, value of the observation of step t.
        gae_lambda: Number or scalar tensor in [0, 1].

    Returns:
        float32 `(T, N)`. Add `value` for the target of the value function.

    Example:

    >>> zeros, going = [[0.0], [0.0]], [[False], [False]]
    >>> gae([[1.0], [1.0]], [[0.5], [0.5]], zeros, zeros, going, gae_lambda=1.0).numpy().tolist()
    [[1.5], [1.0]]
    """
    reward, discount, value, next_value, ended = as_floats(
        reward=reward, discount=discount, value=value, next_value=next_value, ended=ended
    )
    delta = reward + discount * next_value - value
    decay = discount * tf.cast(gae_lambda, tf.float32) * (1.0 - ended)
    return reverse_scan(delta, decay)


def lambda_return(reward: Any, discount: Any, next_value: Any, ended: Any, return_lambda: Any) -> tf.Tensor:
    """The lambda-return, Sutton and Barto 2018, eq. 12.18.

    `G_t = reward_t + discount_t * ((1 - lambda) * next_value_t + lambda * G_{t+1})`, with
    `G_t = reward_t + discount_t * next_value_t` in ended rows and the last.

    Args:
        reward, discount, next_value, ended: See the module, `(T, N)`.
        return_lambda: Number or scalar tensor in [0, 1]. 0 is the one-step target, 1 `discounted_return`.

    Returns:
        float32 `(T, N)`.
    """
    reward, discount, next_value, ended = as_floats(
        reward=reward, discount=discount, next_value=next_value, ended=ended
    )
    trace = tf.cast(return_lambda, tf.float32) * _goes_on(ended)
    return reverse_scan(reward + discount * (1.0 - trace) * next_value, discount * trace)


def discounted_return(reward: Any, discount: Any, ended: Any, next_value: Any = None) -> tf.Tensor:
    """The sum of discounted rewards to the end of the episode.

    Args:
        reward, discount, ended: See the module, `(T, N)`.
        next_value: What to bootstrap with in ended rows and the last (terminated ones excepted, where
            `discount` is 0), `(T, N)`; None is 0.

    Returns:
        float32 `(T, N)`.

    Example:

    >>> discounted_return([[1.0], [2.0]], [[0.5], [0.5]], [[False], [False]]).numpy().tolist()
    [[2.0], [2.0]]
    """
    reward = tf.cast(reward, tf.float32)
    return lambda_return(reward, discount, tf.zeros_like(reward) if next_value is None else next_value, ended, 1.0)


def n_step_return(reward: Any, discount: Any, next_value: Any, ended: Any, n: int) -> tf.Tensor:
    """The n-step return, Sutton and Barto 2018, eq. 7.1; shorter before an end and before the last row.

    `G_t = reward_t + discount_t * (reward_{t+1} + ... + discount_{t+m-1} * next_value_{t+m-1})` with `m = n`,
    or less if row `t + m - 1` ended or is the last.

    Args:
        reward, discount, next_value, ended: See the module, `(T, N)`.
        n: Number of rewards, at least 1: a Python integer or an int32 scalar tensor.

    Returns:
        float32 `(T, N)`.

    Raises:
        ValueError: `n` is a Python integer less than 1.
    """
    if not isinstance(n, tf.Tensor) and n < 1:
        raise ValueError(f"`n` must be at least 1. Received: {n}")
    reward, discount, next_value, ended = as_floats(
        reward=reward, discount=discount, next_value=next_value, ended=ended
    )
    goes_on = _goes_on(ended) > 0.0
    one_step = result = reward + discount * next_value

    def further(i: Any, result: Any) -> Any:
        later = tf.where(goes_on, reward + discount * following(result), one_step)
        return i + 1, tf.ensure_shape(later, one_step.shape)

    # More than there are rows change nothing.
    rounds = tf.minimum(n, tf.shape(reward)[0]) - 1
    return tf.while_loop(lambda i, _: i < rounds, further, (tf.constant(0), result))[1]


def following(x: tf.Tensor) -> tf.Tensor:
    """Row t + 1 in the place of row t, and zeros in the last: `(T, ...)` as it was."""
    return tf.concat([x[1:], tf.zeros_like(x[:1])], axis=0)


def reverse_scan(delta: tf.Tensor, decay: tf.Tensor) -> tf.Tensor:
    """Solves `y_t = delta_t + decay_t * y_{t+1}` with `y_T = 0` along the first axis.

    Args:
        delta, decay: float32 of the same shape `(T, ...)`.

    Returns:
        float32 of that shape.
    """
    # After each round y_t is right for twice as many steps ahead (Hillis and Steele 1986): 11 rounds for
    # T = 2048. Under XLA a loop over T runs as fast and compiles a little faster, but without XLA this is 25
    # times faster, eagerly 60 times. The two tensors are one, to compile half as many slices.
    state = tf.stack([delta, decay])
    zeros, size, steps = tf.zeros_like(state), tf.shape(state), tf.shape(state)[1]
    rest = [0] * (delta.shape.rank - 1)

    def double(ahead: Any, state: Any) -> Any:
        later = tf.slice(tf.concat([state, zeros], axis=1), [0, ahead, *rest], size)
        state = state[1] * later + tf.stack([state[0], zeros[0]])
        return 2 * ahead, tf.ensure_shape(state, zeros.shape)

    loop = tf.while_loop(lambda ahead, _: ahead < steps, double, (tf.constant(1), state), maximum_iterations=31)
    return loop[1][0]


def _goes_on(ended: tf.Tensor) -> tf.Tensor:
    """1 where row t + 1 is the same episode; 0 in the last row."""
    return tf.concat([1.0 - ended[:-1], tf.zeros_like(ended[:1])], axis=0)
