"""Losses that keep a policy, or values, near to what recorded experience shows."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .td import as_floats, weighted_mean


def regularized_policy_loss(values: Any, distances: Any, alpha: Any, weight: Any = None) -> tf.Tensor:
    """The loss of a policy that climbs a critic and stays near the actions taken: Fujimoto & Gu 2021, eq. 3 to 5.

    `mean(distance) - alpha / mean(|value|) * mean(value)`. The factor takes the scale of values out; no gradient flows through it.

    Args:
        values: float32 `(B,)`: what the critic says that the policy's actions are worth.
        distances: float32 `(B,)`: squared distances of the policy's actions from those taken, means over components.
        alpha: Weight of the values, a number >= 0.
        weight: float32 `(B,)` in means; None: 1 each.

    Returns:
        A float32 scalar.

    Example:

    >>> float(regularized_policy_loss([2.0, -4.0], [0.5, 0.0], alpha=3.0))
    1.25
    """
    values, distances = as_floats(values=values, distances=distances)
    scale = tf.stop_gradient(weighted_mean(tf.abs(values), weight))
    factor = tf.cast(alpha, tf.float32) / tf.maximum(scale, 1e-6)
    return weighted_mean(distances, weight) - factor * weighted_mean(values, weight)
