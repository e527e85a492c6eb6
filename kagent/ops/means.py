"""The mean that every loss and metric is taken with."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

_TINY = 1e-12


def weighted_mean(values: Any, weight: Any = None) -> tf.Tensor:
    """`sum(weight * values) / sum(weight)`: the mean in which padding does not count.

    Args:
        values: float32 tensor of shape `(B, ...)`.
        weight: Tensor of the shape of `values` or of its leading axes, e.g. `(B,)`; at least 0, 0 for
            padding. None gives the plain mean.

    Returns:
        float32 scalar; 0 where all weights are 0. Forward, an entry of weight 0 has no effect whatever it
        holds, even NaN; backward, it must be finite, as every gradient of TensorFlow.

    Example:

    >>> float(weighted_mean([1.0, 2.0, 100.0], [1.0, 1.0, 0.0]))
    1.5
    """
    values = tf.cast(values, tf.float32)
    if weight is None or _is_one(weight):
        return tf.reduce_mean(values)
    weight = spread(weight, values)
    total = tf.reduce_sum(tf.where(weight > 0.0, weight * values, 0.0))
    return total / tf.maximum(tf.reduce_sum(weight), _TINY)


def _is_one(weight: Any) -> bool:
    # Where that is known when a program is traced: the plain mean has no operations for it.
    found = tf.get_static_value(weight)
    return found is not None and bool((np.asarray(found) == 1).all())


def spread(weight: Any, values: tf.Tensor) -> tf.Tensor:
    """`weight` of the leading axes of `values`, as float32 of the full shape."""
    weight = tf.cast(weight, tf.float32)
    missing = values.shape.rank - weight.shape.rank
    if missing < 0:
        raise ValueError(
            f"`weight` must have the leading axes of `values`, {values.shape}. Received: weight of shape {weight.shape}"
        )
    for _ in range(missing):
        weight = weight[..., tf.newaxis]
    return tf.broadcast_to(weight, tf.shape(values))
