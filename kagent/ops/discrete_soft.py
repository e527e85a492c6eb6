"""Soft actor-critic of discrete actions, its expectations exact: Christodoulou 2019, arXiv:1910.07207."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .td import as_floats

__all__ = ["categorical_entropy", "soft_value"]


def soft_value(log_prob: Any, q: Any, temperature: Any) -> tf.Tensor:
    """What a state is worth, entropy included, eq. 10: `sum over a of pi(a) * (q(a) - temperature * log pi(a))`.

    Its negative is the policy's loss, eq. 12, of which the gradient flows through `log_prob`.

    Args:
        log_prob: float32 `(B, actions)`, normalized; of forbidden actions so small that their probability is 0.
        q: float32 `(B, actions)`, the (smaller) values of the critics.
        temperature: Scalar. No gradient flows through it.

    Returns:
        float32 `(B,)`.

    Example:

    >>> log_prob = tf.math.log([[0.5, 0.5]])
    >>> round(float(soft_value(log_prob, [[1.0, 3.0]], temperature=1.0)[0] - tf.math.log(2.0)), 6)
    2.0
    """
    log_prob, q = as_floats(log_prob=log_prob, q=q)
    weight = tf.stop_gradient(tf.cast(temperature, tf.float32))
    return tf.reduce_sum(tf.exp(log_prob) * (q - weight * log_prob), axis=-1)


def categorical_entropy(log_prob: Any) -> tf.Tensor:
    """Entropy in nats, `-sum over a of pi(a) * log pi(a)`.

    Args:
        log_prob: As `soft_value` takes it.

    Returns:
        float32 `(B,)`.

    Example:

    >>> round(float(categorical_entropy(tf.math.log([[0.5, 0.5, 1e-30]]))[0] / tf.math.log(2.0)), 5)
    1.0
    """
    log_prob = tf.cast(log_prob, tf.float32)
    return -tf.reduce_sum(tf.exp(log_prob) * log_prob, axis=-1)
