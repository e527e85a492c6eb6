"""Smoothed actions, at which a target is read: Fujimoto et al. 2018, "Addressing Function Approximation Error"."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .td import as_floats


def smoothed_action(action: Any, draw: Any, deviation: Any, limit: Any) -> tf.Tensor:
    """An action with noise of bounded size, within [-1, 1]: eq. 14 and algorithm 1 of arXiv:1802.09477.

    `clip(action + clip(deviation * draw, -limit, limit), -1, 1)`.

    Args:
        action: float32 `(B, *shape)` in [-1, 1]: the unit is half of the distance between the bounds of a component.
        draw: float32 `(B, *shape)`, standard normal; 0 where an action has no choice.
        deviation: Number or scalar tensor >= 0, the noise's standard deviation.
        limit: Number or scalar tensor >= 0, the most that the noise moves an action.

    Returns:
        float32 `(B, *shape)`.

    Example:

    >>> smoothed_action([[0.0, 0.75, -1.0]], [[1.0, 4.0, -2.0]], deviation=0.25, limit=0.5).numpy().tolist()
    [[0.25, 1.0, -1.0]]
    """
    action, draw = as_floats(action=action, draw=draw)
    deviation, limit = tf.cast(deviation, tf.float32), tf.cast(limit, tf.float32)
    noise = tf.clip_by_value(deviation * draw, -limit, limit)
    return tf.clip_by_value(action + noise, -1.0, 1.0)
