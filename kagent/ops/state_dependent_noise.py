"""Noise that is linear in features of the state: generalized state-dependent exploration."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_EPSILON = 1e-6  # of the variance, where all features are 0


def deviation(log_std: Any, expln: bool = False) -> tf.Tensor:
    """Standard deviations, float32, of what is learned for them.

    Args:
        log_std: Floats of any shape.
        expln: Whether they grow as `1 + log(1 + log_std)` above 0, and not as `exp(log_std)`; below 0 both are
            `exp(log_std)` (Raffin et al. 2021, arXiv:2005.05719).

    Example:

    >>> f"{float(deviation(1.0)):.4f}, {float(deviation(1.0, expln=True)):.4f}"
    '2.7183, 1.6931'
    """
    log_std = tf.cast(log_std, tf.float32)
    if not expln:
        return tf.exp(log_std)
    # Each branch gets only numbers for which it and its gradient are finite.
    below, above = tf.exp(tf.minimum(log_std, 0.0)), 1.0 + tf.math.log1p(tf.maximum(log_std, 0.0))
    return tf.where(log_std > 0.0, above, below)


def state_dependent_log_std(features: Any, log_std: Any, expln: bool = False) -> tf.Tensor:
    """Log standard deviation of `features @ noise`, `noise` being independent normal numbers of mean 0.

    The variance is `features^2 @ deviation^2` (Raffin et al. 2021, arXiv:2005.05719), to which 1e-6 is added.

    Args:
        features: `(N, F)`.
        log_std: Of the noise, `(F, A)`, or `(F, 1)` where all actions share it.
        expln: As for `deviation`.

    Returns:
        Float32 `(N, A)`, or `(N, 1)`.

    Example:

    >>> log_std = state_dependent_log_std([[3.0, 4.0]], [[0.0], [0.0]])
    >>> f"{float(tf.exp(log_std)[0, 0]):.4f}"
    '5.0000'
    """
    squares = tf.square(tf.cast(features, tf.float32))
    variance = tf.matmul(squares, tf.square(deviation(log_std, expln)))
    return 0.5 * tf.math.log(variance + _EPSILON)
