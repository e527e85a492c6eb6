"""Norms of gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

_FOLD = 16
_HUGE = 1 << 20  # entries, from which on each pass over a tensor counts: they do not fit into the caches


def sum_of_squares(x: Any) -> tf.Tensor:
    """The sum of the squares of all entries.

    Args:
        x: float32 tensor of any static shape.

    Returns:
        float32 scalar.

    Example:

    >>> float(sum_of_squares([[1.0, 2.0], [3.0, 4.0]]))
    30.0
    """
    x = tf.cast(x, tf.float32)
    if math.prod(x.shape) >= _HUGE:
        return 2.0 * tf.nn.l2_loss(x)  # one pass, where TensorFlow's kernels need five for what follows
    # XLA's CPU code sums one number after the other: 59 us for a matrix of 256 x 256, a tenth of a gradient step. Here
    # whole slices are added to each other, which it does 16 numbers at a time, until little is left.
    flat = tf.reshape(tf.square(x), (-1,))
    rest = []
    while flat.shape[0] > 16 * _FOLD:
        size = flat.shape[0] // _FOLD
        if size * _FOLD < flat.shape[0]:
            rest.append(flat[size * _FOLD :])
        rows = [flat[i * size : (i + 1) * size] for i in range(_FOLD)]
        while len(rows) > 1:  # in pairs, for the rounding errors to stay small
            rows = [first + second for first, second in zip(rows[::2], rows[1::2])]
        (flat,) = rows
    return tf.add_n([tf.reduce_sum(part) for part in (flat, *rest)])


def global_norm(gradients: Sequence[Any]) -> tf.Tensor:
    """The norm of all gradients together: the root of the sum of the squares of their entries.

    Args:
        gradients: float32 tensors of any static shapes.

    Returns:
        float32 scalar.

    Example:

    >>> float(global_norm([[3.0], [4.0]]))
    5.0
    """
    return tf.sqrt(tf.add_n([sum_of_squares(gradient) for gradient in gradients]))


def clip_by_global_norm(gradients: Sequence[Any], limit: float, norm: tf.Tensor | None = None) -> list[tf.Tensor]:
    """Gradients scaled down together so that the norm of all of them is at most `limit` (Pascanu et al. 2013,
    arXiv:1211.5063, algorithm 1).

    Args:
        gradients: float32 tensors of any static shapes.
        limit: Number > 0.
        norm: Their `global_norm`, where it is known.

    Returns:
        Tensors of the same shapes. All NaN where the norm is not finite, so that it does not pass unseen.

    Example:

    >>> [g.numpy().tolist() for g in clip_by_global_norm([[3.0], [4.0]], 2.5)]
    [[1.5], [2.0]]
    """
    norm = global_norm(gradients) if norm is None else norm
    scale = limit / tf.maximum(norm, limit) + (norm - norm)

    def scaled(gradient: Any) -> tf.Tensor:
        gradient = tf.cast(gradient, tf.float32)
        if math.prod(gradient.shape) < _HUGE:
            return gradient * scale
        return tf.cond(norm <= limit, lambda: gradient, lambda: gradient * scale)

    return [scaled(gradient) for gradient in gradients]
