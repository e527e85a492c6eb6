"""Adaptive moments."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf


class Moments(NamedTuple):
    """What `adam` returns: float32 tensors of the gradient's shape.

    Attributes:
        momentum, velocity: Running means of the gradient and of its square.
        change: What is taken from the variable.
    """

    momentum: tf.Tensor
    velocity: tf.Tensor
    change: tf.Tensor


def adam(
    gradient: Any,
    momentum: Any,
    velocity: Any,
    time: Any,
    learning_rate: Any,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> Moments:
    """One step of Adam (Kingma & Ba 2015, arXiv:1412.6980, section 2, the form "just before section 2.1", in which
    epsilon is added to the root that is not corrected: that of Keras and TensorFlow).

    `m <- m + (1 - beta_1) (g - m)`, `v <- v + (1 - beta_2) (g^2 - v)`, and the change is
    `learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)`.

    Args:
        gradient, momentum, velocity: float32 tensors of one shape.
        time: t, the number of this step, from 1.
        learning_rate, beta_1, beta_2, epsilon: Scalars.

    Returns:
        `Moments`.

    Example:

    >>> round(float(adam(2.0, 0.0, 0.0, time=1, learning_rate=0.5).change), 3)
    0.5
    """
    gradient, momentum, velocity = (tf.convert_to_tensor(x, tf.float32) for x in (gradient, momentum, velocity))
    time = tf.cast(time, tf.float32)
    step = tf.cast(learning_rate, tf.float32) * tf.sqrt(1.0 - beta_2**time) / (1.0 - beta_1**time)
    momentum = momentum + (gradient - momentum) * (1.0 - beta_1)
    velocity = velocity + (tf.square(gradient) - velocity) * (1.0 - beta_2)
    return Moments(momentum, velocity, momentum * step / (tf.sqrt(velocity) + epsilon))
