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


def find(weights: tf.Tensor, masses: tf.Tensor) -> tf.Tensor:
    """The entries whose part of the line of all weights, put end to end, holds these points.

    The line is divided into groups. A point is looked up among the sums of groups, and then among the entries of its group, so
    that a draw costs the square root of the number of entries, beside one sum of all.

    Args:
        weights: float64 `(G, W)`, at least 0, some of them more: the entry w of group g has the number `g * W + w`.
        masses: float64 `(M,)`, from 0 to the sum of all weights. An entry of weight 0 is never found.

    Returns:
        int64 `(M,)`.

    Example:

    >>> find(tf.constant([[1.0, 0.0], [3.0, 0.0]], tf.float64), tf.constant([0.5, 1.0, 3.9, 4.0], tf.float64)).numpy().tolist()
    [0, 2, 2, 2]
    """
    ends = tf.cumsum(tf.reduce_sum(weights, axis=1))
    begins = tf.concat([tf.zeros((1,), tf.float64), ends[:-1]], axis=0)
    group = _first_behind(ends[tf.newaxis], masses)
    inside = _first_behind(tf.cumsum(tf.gather(weights, group), axis=1), masses - tf.gather(begins, group))
    return group * weights.shape[1] + inside


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


def _first_behind(ends: tf.Tensor, masses: tf.Tensor) -> tf.Tensor:
    # Of each point the first part of a line that ends behind it; a point at the end of the line is in its last part.
    passed = (ends <= masses[:, tf.newaxis]) & (ends < ends[:, -1:])
    return tf.math.count_nonzero(passed, axis=1)
