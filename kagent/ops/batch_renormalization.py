"""Batch renormalization: batch normalization whose output agrees with that of the moving statistics."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .td import as_floats


def batch_renormalization(
    x: Any, moving_mean: Any, moving_variance: Any, r_max: Any = 3.0, d_max: Any = 5.0, epsilon: float = 1e-3
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """A batch with its own mean and deviation, corrected towards the moving ones (Ioffe 2017, arXiv:1702.03275, algorithm 1).

        r = clip(deviation / moving deviation, 1 / r_max, r_max)
        d = clip((mean - moving mean) / moving deviation, -d_max, d_max)
        (x - mean) / deviation * r + d

    No gradient flows through r and d. While neither is clipped, the result is `(x - moving mean) / moving deviation`, as in
    inference, but its gradient is that of batch normalization. `r_max=1` and `d_max=0` make it batch normalization.

    Args:
        x: float32 `(..., n)`; statistics are over all axes but the last.
        moving_mean, moving_variance: float32 `(n,)`.
        r_max: Scalar >= 1.
        d_max: Scalar >= 0.
        epsilon: Added to variances before their roots are taken.

    Returns:
        float32 `(..., n)`; the batch's mean `(n,)` and variance `(n,)`.

    Example:

    >>> y, mean, variance = batch_renormalization([[1.0], [3.0]], [0.0], [4.0], epsilon=0.0)
    >>> y.numpy().tolist(), mean.numpy().tolist(), variance.numpy().tolist()
    ([[0.5], [1.5]], [2.0], [1.0])
    """
    x = tf.cast(x, tf.float32)
    moving_mean, moving_variance = as_floats(moving_mean=moving_mean, moving_variance=moving_variance)
    r_max, d_max = (tf.cast(limit, tf.float32) for limit in (r_max, d_max))
    mean, variance = tf.nn.moments(x, list(range(x.shape.rank - 1)))
    deviation, moving_deviation = tf.sqrt(variance + epsilon), tf.sqrt(moving_variance + epsilon)
    r = tf.stop_gradient(tf.clip_by_value(deviation / moving_deviation, 1.0 / r_max, r_max))
    d = tf.stop_gradient(tf.clip_by_value((mean - moving_mean) / moving_deviation, -d_max, d_max))
    return (x - mean) * (r / deviation) + d, mean, variance
