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


def expectile_loss(error: Any, expectile: Any) -> tf.Tensor:
    """The loss whose least value is at an expectile: Kostrikov et al. 2021, eq. 5 and 6.

    `|expectile - 1{error < 0}| * error^2`. At 1/2 the mean has the least loss; nearer to 1 larger values count more.

    Args:
        error: float32 of any shape: values to learn minus estimates.
        expectile: Number in (0, 1).

    Returns:
        float32 of that shape.

    Example:

    >>> expectile_loss([2.0, -2.0], 0.75).numpy().tolist()
    [3.0, 1.0]
    """
    (error,) = as_floats(error=error)
    side = tf.cast(expectile, tf.float32)
    return tf.where(error < 0.0, 1.0 - side, side) * tf.square(error)


def advantage_weights(advantage: Any, inverse_temperature: Any, largest: Any) -> tf.Tensor:
    """Weights of actions by their advantages: Peng et al. 2019 (arXiv:1910.00177), eq. 9; Kostrikov et al. 2021, eq. 7.

    `min(exp(inverse_temperature * advantage), largest)`. No gradient flows through them.

    Args:
        advantage: float32 `(B,)`.
        inverse_temperature: Number >= 0; 0 weighs all actions alike.
        largest: Number > 0.

    Returns:
        float32 `(B,)`.

    Example:

    >>> advantage_weights([0.0, 50.0], 2.0, 100.0).numpy().tolist()
    [1.0, 100.0]
    """
    (advantage,) = as_floats(advantage=advantage)
    largest = tf.cast(largest, tf.float32)
    exponent = tf.minimum(tf.cast(inverse_temperature, tf.float32) * advantage, tf.math.log(largest))
    return tf.stop_gradient(tf.minimum(tf.exp(exponent), largest))


def conservative_gap(table: Any, value: Any) -> tf.Tensor:
    """How far values of actions that were not taken lie above that of the one taken: Kumar et al. 2020, eq. 4.

    `log(sum(exp(table))) - value`.

    Args:
        table: float32 `(B, n)`: values of all actions, or of drawn ones, less the logarithm of their density.
        value: float32 `(B,)`: of the action taken.

    Returns:
        float32 `(B,)`.

    Example:

    >>> round(float(conservative_gap([[0.0, 0.0]], [0.0])[0]), 4)
    0.6931
    """
    (table,), (value,) = as_floats(table=table), as_floats(value=value)
    return tf.reduce_logsumexp(table, axis=-1) - value
