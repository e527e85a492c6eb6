"""Draws in proportion to priorities, inside a program (Schaul et al. 2016, arXiv:1511.05952, sections 3.3 and 3.4).

The functions of `kagent.ops.priorities` as TensorFlow operations. They are in float64, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kagent.ops.priorities import LEAST, MOST


def shares(priorities: Any, alpha: float) -> tf.Tensor:
    """`priorities**alpha`, from 1e-120 to 1e120; see `kagent.ops.priorities.shares`.

    Args:
        priorities: float64 of any shape, finite and more than 0.
        alpha: At least 0.

    Example:

    >>> shares(tf.constant([1.0, 4.0], tf.float64), 0.5).numpy().tolist()
    [1.0, 2.0]
    """
    found: tf.Tensor = tf.clip_by_value(tf.pow(priorities, tf.constant(alpha, tf.float64)), LEAST, MOST)
    return found


def find(weights: tf.Tensor, parts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The entries whose part of the line of all weights, put end to end, holds these points.

    The line is divided into groups of groups. A point is looked up among the sums of groups, and then within its group, so that a draw
    costs the cube root of the number of entries, beside one sum of all.

    Args:
        weights: float64 `(A, B, C)`, at least 0, some of them more. The entry c of group b in group a has the number
            `(a * B + b) * C + c`.
        parts: float64 `(M,)`, parts of the line, from 0 to 1. An entry of weight 0 is never found.

    Returns:
        int64 `(M,)`, and the sum of all weights.

    Example:

    >>> weights = tf.constant([1.0, 0.0, 3.0, 0.0], tf.float64)
    >>> entries, total = find(tf.reshape(weights, (2, 2, 1)), tf.constant([0.125, 0.25, 0.975, 1.0], tf.float64))
    >>> entries.numpy().tolist(), total.numpy().item()
    ([0, 2, 2, 2], 4.0)
    """
    _, second, third = weights.shape
    # Products with ones: XLA adds up in vectors there, and one number after the other in a sum.
    inner = tf.linalg.matvec(weights, tf.ones((third,), tf.float64))
    outer = tf.linalg.matvec(inner, tf.ones((second,), tf.float64))
    total = tf.cumsum(outer)[-1]
    a, rest = _behind(outer[tf.newaxis], parts * total)
    b, rest = _behind(tf.gather(inner, a), rest)
    c, _ = _behind(tf.gather_nd(weights, tf.stack([a, b], axis=1)), rest)
    return (a * second + b) * third + c, total


def importance_weights(probabilities: tf.Tensor, size: tf.Tensor, beta: Any) -> tf.Tensor:
    """`(size * probabilities)**-beta`, divided by the largest of each minibatch; see `kagent.ops.priorities.importance_weights`.

    Args:
        probabilities: float64 `(K, B)`, of the drawn transitions of K minibatches; more than 0.
        size: int64, transitions in the memory.
        beta: float64, from 0 to 1.

    Returns:
        float32 `(K, B)`, more than 0 and at most 1.

    Example:

    >>> importance_weights(tf.constant([[0.5, 0.25]], tf.float64), tf.constant(4, tf.int64), 1.0).numpy().tolist()
    [[0.5, 1.0]]
    """
    weights = tf.pow(tf.cast(size, tf.float64) * probabilities, -tf.convert_to_tensor(beta, tf.float64))
    relative = weights / tf.reduce_max(weights, axis=1, keepdims=True)
    found: tf.Tensor = tf.cast(tf.maximum(relative, float(np.finfo(np.float32).tiny)), tf.float32)
    return found


def last_of_each(entries: tf.Tensor) -> tf.Tensor:
    """The place at which each entry is given last, so that what an entry gets does not depend on the order of writing.

    Args:
        entries: int64 `(M,)`.

    Returns:
        int32 `(M,)`: of every place the last one with the same entry.

    Example:

    >>> last_of_each(tf.constant([5, 7, 5], tf.int64)).numpy().tolist()
    [2, 1, 2]
    """
    count = entries.shape[0]
    order = tf.argsort(entries, stable=True)
    among = tf.gather(entries, order)
    begins = tf.concat([tf.zeros((1,), tf.int32), tf.cast(among[1:] != among[:-1], tf.int32)], axis=0)
    run = tf.cumsum(begins)  # of equal entries
    last = tf.math.unsorted_segment_max(order, run, count)
    found: tf.Tensor = tf.scatter_nd(order[:, tf.newaxis], tf.gather(last, run), (count,))
    return found


def _behind(weights: tf.Tensor, masses: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    # Of each point the first part of its line, `(M, n)` or `(1, n)`, that ends behind it, and how far into that part it is. A point
    # at the end of the line, or by rounding behind it, is in the last part with a weight.
    ends = tf.cumsum(weights, axis=1)
    passed = (ends <= masses[:, tf.newaxis]) & (ends < ends[:, -1:])
    before = tf.reduce_max(tf.where(passed, ends, tf.zeros_like(ends)), axis=1)
    return tf.math.count_nonzero(passed, axis=1), masses - before
