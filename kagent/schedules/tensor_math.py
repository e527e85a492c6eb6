"""What schedules compute with in the compiled learner, where time is a float64 tensor. Mirrors `numpy_math`."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from kagent.schedules import noise

__all__ = ["ceil", "cos", "discounted_noise", "floor", "log", "maximum", "minimum", "power", "sqrt", "step", "where"]

minimum, maximum = tf.minimum, tf.maximum
floor, ceil = tf.math.floor, tf.math.ceil
cos, log, sqrt = tf.math.cos, tf.math.log, tf.math.sqrt


def double(x: Any) -> tf.Tensor:
    """A number or tensor as float64 tensor."""
    # Not tf.cast for numbers: it makes them float32 on the way.
    return tf.cast(x, tf.float64) if tf.is_tensor(x) else tf.convert_to_tensor(x, tf.float64)


def single(x: Any) -> tf.Tensor:
    """A number or tensor as float32 tensor, by way of float64."""
    return tf.cast(double(x), tf.float32)


def where(condition: tf.Tensor, a: Any, b: Any) -> tf.Tensor:
    """`a` where the condition holds, else `b`, as float64."""
    return tf.where(condition, double(a), double(b))


def power(base: Any, exponent: Any) -> tf.Tensor:
    """`base**exponent` in float64."""
    return tf.pow(double(base), double(exponent))


def step(time: tf.Tensor) -> tf.Tensor:
    """The whole steps of a time >= 0: what noise is counted by."""
    return tf.cast(time, tf.int64)


def discounted_noise(seed: Any, last: tf.Tensor, decay: float) -> tf.Tensor:
    """`noise[last] + decay * noise[last - 1] + decay**2 * noise[last - 2] + ...` of normal noise from step 1 on.

    Args:
        seed: An integer, or seeds of several processes, uint64 `(P, 1)`: then there is a sum of each, `(P,)`.
        last: Int64 scalar.
        decay: In [0, 1).
    """
    weights = noise.weights(decay)
    steps = last - tf.range(len(weights) - 1, -1, -1, dtype=tf.int64)
    terms = tf.constant(weights) * noise.normal(seed, steps, tf.math)
    return tf.reduce_sum(tf.where(steps > 0, terms, tf.zeros_like(terms)), axis=-1)
