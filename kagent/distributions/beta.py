"""Continuous actions between bounds that are reached."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kagent.distributions.box import ScaledDistribution
from kagent.distributions.distribution import uniform

# Kept by kagent.acting.distributions.beta, too.
_LEAST = 1e-6  # of what a parameter is above 1; a distribution flat up to rounding still has a mode
_ROUNDS = 32  # of proposals, at least two thirds of which are accepted: all are refused once in 10**15 draws
_LOG_2, _LOG_4 = math.log(2.0), math.log(4.0)


@keras.saving.register_keras_serializable(package="kagent")
class Beta(ScaledDistribution):
    """Independent Beta distributions with one peak each, Chou et al. 2017, for bounded actions.

    "Improving stochastic policy gradients in continuous control with deep reinforcement learning using the Beta
    distribution", ICML. Unlike a clipped normal distribution it has all its probability inside the bounds.

    Parameters: two numbers per component, `(B, d)` each, without bounds; alpha and beta are `1 + softplus` of them,
    so that the density falls to 0 on both sides of one peak. Actions: float32 `(B, *shape)` in [-1, 1], with
    densities on that interval; `to_env` stretches it to `[low, high]`.

    Args:
        shape: Shape of one action.
        low, high: Finite bounds, a number or an array that broadcasts to `shape`.

    Raises:
        ValueError: An infinite bound, or what `Gaussian` refuses.

    Example:

    >>> distribution = Beta(shape=(1,), low=0.0, high=10.0)
    >>> distribution.to_env(distribution.mode([tf.zeros((1, 1)), tf.zeros((1, 1))])).numpy().tolist()
    [[5.0]]
    """

    head_names = ("alpha", "beta")

    def log_prob(self, params: Sequence[Any], action: Any) -> tf.Tensor:
        """As `Distribution.log_prob`; -1 and 1, which float32 rounds to, count as their inner neighbours."""
        a, b = self._excess(params)
        return _log_density(tf.cast(self._inside(action), tf.float64), a, b)

    def entropy(self, params: Sequence[Any], seed: Any = None) -> tf.Tensor:
        a, b = self._excess(params)
        digamma = tf.math.digamma
        value = _log_beta(a, b) - a * digamma(1.0 + a) - b * digamma(1.0 + b) + (a + b) * digamma(2.0 + a + b)
        return tf.cast(tf.reduce_sum(value + _LOG_2, axis=-1), tf.float32)

    def sample_with_log_prob(self, params: Sequence[Any], seed: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws by rejection (Cheng 1978, "Generating beta variates with nonintegral shape parameters", algorithm BB).

        No gradient flows through the action: for objectives that need one there is `SquashedGaussian`.
        """
        excess = self._excess(params)
        a, b = (tf.stop_gradient(part) for part in excess)
        share = _draw(a, b, seed)
        action = tf.cast(2.0 * share - 1.0, tf.float32)
        return self._shaped(action), _log_density(tf.cast(self._inside(action), tf.float64), *excess)

    def mode(self, params: Sequence[Any]) -> tf.Tensor:
        """The peak, `(alpha - 1) / (alpha + beta - 2)` between the bounds."""
        a, b = self._excess(params)
        return self._shaped(tf.cast((a - b) / (a + b), tf.float32))

    def kl(self, params: Sequence[Any], other: Sequence[Any]) -> tf.Tensor:
        a, b = self._excess(params)
        a2, b2 = self._excess(other)
        digamma = tf.math.digamma
        value = _log_beta(a2, b2) - _log_beta(a, b) + (a - a2) * digamma(1.0 + a) + (b - b2) * digamma(1.0 + b)
        value += (a2 - a + b2 - b) * digamma(2.0 + a + b)
        return tf.cast(tf.reduce_sum(value, axis=-1), tf.float32)

    def _excess(self, params: Sequence[Any]) -> tuple[tf.Tensor, tf.Tensor]:
        # In double precision: of a narrow distribution, the differences of log-gammas are small and they large.
        first, second = (tf.nn.softplus(tf.cast(value, tf.float64)) + _LEAST for value in params)
        return first, second


def _log_beta(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Logarithm of the Beta function of 1 + a and 1 + b."""
    return tf.math.lgamma(1.0 + a) + tf.math.lgamma(1.0 + b) - tf.math.lgamma(2.0 + a + b)


def _log_density(action: tf.Tensor, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Log-density on [-1, 1] with alpha = 1 + a and beta = 1 + b, summed over the last axis, float32."""
    value = a * tf.math.log(0.5 + 0.5 * action) + b * tf.math.log(0.5 - 0.5 * action) - _log_beta(a, b) - _LOG_2
    return tf.cast(tf.reduce_sum(value, axis=-1), tf.float32)


def _draw(a: tf.Tensor, b: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draws in [0, 1] with alpha = 1 + a and beta = 1 + b, the first accepted one of `_ROUNDS` proposals."""
    total = 2.0 + a + b
    # (alpha + beta - 2) / (2 alpha beta - alpha - beta), without the differences
    slope = tf.sqrt((a + b) / (a + b + 2.0 * a * b))
    weight = 1.0 + a + 1.0 / slope
    numbers = tf.cast(uniform(tf.concat([[2, _ROUNDS], tf.shape(a)], axis=0), seed, axis=2), tf.float64)
    odds = slope * tf.math.log(numbers[0] / (1.0 - numbers[0]))
    left, right = (1.0 + a) * tf.exp(odds), 1.0 + b
    accepted = weight * odds - _LOG_4 + total * tf.math.log(total / (right + left)) >= tf.math.log(
        tf.square(numbers[0]) * numbers[1]
    )
    share = left / (right + left)
    first = tf.argmax(tf.cast(accepted, tf.int32), axis=0)
    return tf.reduce_sum(share * tf.one_hot(first, _ROUNDS, axis=0, dtype=tf.float64), axis=0)
