"""Where windows of several timesteps end."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def window_ends(ended: Any, further: Any) -> tf.Tensor:
    """The last row of the window that begins in each row: `further` rows on, or less where an episode or the data end.

    Args:
        ended: bool `(T, N)` of static length, terminated or truncated: row t + 1 belongs to another episode.
        further: Rows that join the first, at least 0: an integer or an int32 scalar tensor.

    Returns:
        int32 `(T, N)`, rows from 0 to T - 1.

    Example:

    >>> window_ends([[False], [True], [False], [False]], further=1).numpy().ravel().tolist()
    [1, 1, 3, 3]
    """
    ended = tf.convert_to_tensor(ended)
    steps = int(ended.shape[0])
    rows = tf.range(steps)[:, tf.newaxis] + tf.zeros_like(ended, tf.int32)
    last = tf.where(ended, rows, steps - 1)
    # The least of all that follow, by doubling: after each round it is right for twice as many rows ahead.
    ahead = 1
    while ahead < steps:
        last = tf.minimum(last, tf.concat([last[ahead:], tf.fill(tf.shape(last[:ahead]), steps - 1)], axis=0))
        ahead *= 2
    return tf.minimum(last, rows + tf.minimum(further, steps))
