"""Soft actor-critic, and the slow copy of a network. Haarnoja et al. 2018, "Algorithms and Applications"."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .td import as_floats


def soft_target(
    reward: Any, discount_t: Any, q1_next: Any, q2_next: Any, log_prob_next: Any, temperature: Any
) -> tf.Tensor:
    """The target of both critics, eq. 2, 3 and 5.

    `reward + discount_t * (min(q1_next, q2_next) - temperature * log_prob_next)`.

    Args:
        reward: float32 `(B,)`.
        discount_t: float32 `(B,)`, `discount_factor(discount, terminated)`.
        q1_next, q2_next: float32 `(B,)`, the target critics' values of the next state and an action drawn
            there.
        log_prob_next: float32 `(B,)`, of that action.
        temperature: Scalar.

    Returns:
        float32 `(B,)`, through which no gradient flows.

    Example:

    >>> soft_target([1.0], [0.5], [4.0], [6.0], [-2.0], temperature=0.5).numpy().tolist()
    [3.5]
    """
    reward, discount_t, q1_next, q2_next, log_prob_next = as_floats(
        reward=reward, discount_t=discount_t, q1_next=q1_next, q2_next=q2_next, log_prob_next=log_prob_next
    )
    soft_value = tf.minimum(q1_next, q2_next) - tf.cast(temperature, tf.float32) * log_prob_next
    return tf.stop_gradient(reward + discount_t * soft_value)


def subset_minimum(values: Any, draws: Any, size: int) -> tf.Tensor:
    """The smallest value of some critics of an ensemble (Chen et al. 2021, arXiv:2101.05982, algorithm 1, REDQ's target).

    Args:
        values: float32 `(members, B)`.
        draws: float32 `(members,)`, uniform: the critics with the `size` smallest draws count.
        size: Number of these critics.

    Returns:
        float32 `(B,)`.

    Example:

    >>> subset_minimum([[1.0, 9.0], [4.0, 2.0], [3.0, 8.0]], [0.9, 0.1, 0.5], size=2).numpy().tolist()
    [3.0, 2.0]
    """
    values, draws = (tf.cast(x, tf.float32) for x in (values, draws))
    _, chosen = tf.math.top_k(-draws, size)
    return tf.reduce_min(tf.gather(values, chosen), axis=0)


def soft_policy_loss(log_prob: Any, q: Any, temperature: Any) -> tf.Tensor:
    """The policy's loss per sample: `temperature * log_prob - q`, eq. 9.

    Args:
        log_prob: float32 `(B,)`, of an action drawn by `sample_with_log_prob`.
        q: float32 `(B,)`, the critics' (smaller) value of that action; the gradient flows through the action.
        temperature: Scalar. No gradient flows through it.

    Returns:
        float32 `(B,)`.
    """
    log_prob, q = as_floats(log_prob=log_prob, q=q)
    return tf.stop_gradient(tf.cast(temperature, tf.float32)) * log_prob - q


def temperature_loss(log_temperature: Any, log_prob: Any, target_entropy: Any) -> tf.Tensor:
    """The temperature's loss per sample: `-log_temperature * (log_prob + target_entropy)`.

    After eq. 18, with the logarithm of the temperature in place of the temperature, as the authors' program
    and Stable-Baselines3 have it: the sign of the gradient is the same, and its size does not shrink with the
    temperature.

    Args:
        log_temperature: Scalar, the variable that is trained.
        log_prob: float32 `(B,)`. No gradient flows through it.
        target_entropy: Scalar, in nats; `-d` for d-dimensional actions.

    Returns:
        float32 `(B,)`.
    """
    surplus = tf.cast(log_prob, tf.float32) + tf.cast(target_entropy, tf.float32)
    return -tf.cast(log_temperature, tf.float32) * tf.stop_gradient(surplus)


def polyak(target: Any, source: Any, tau: float | Any) -> tf.Tensor:
    """`tau * source + (1 - tau) * target`: the slow copy of Lillicrap et al. 2016; exact at 0 and 1.

    Args:
        target, source: float32 tensors of one shape.
        tau: Number or scalar tensor in [0, 1].

    Returns:
        float32 tensor of that shape.
    """
    target, source = as_floats(target=target, source=source)
    tau = tf.cast(tau, tf.float32)
    return tau * source + (1.0 - tau) * target
