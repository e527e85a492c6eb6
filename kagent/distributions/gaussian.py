"""Continuous actions: normal distributions, and normal distributions squashed into bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kagent.distributions.box import BoxDistribution, ScaledDistribution
from kagent.distributions.distribution import Distribution, normal

_HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


class _Normal(Distribution):
    """What the normal distribution and its tanh share: parameters, draws, and the divergence."""

    head_names = ("mean", "log_std")

    def kl(self, params: Sequence[Any], other: Sequence[Any]) -> tf.Tensor:
        """That of the normal distributions: an invertible function of both changes nothing."""
        mean, log_std = self._mean_and_log_std(params)
        mean2, log_std2 = self._mean_and_log_std(other)
        ratio, distance = tf.exp(2.0 * (log_std - log_std2)), (mean - mean2) * tf.exp(-log_std2)
        return tf.reduce_sum(log_std2 - log_std + 0.5 * (ratio + tf.square(distance) - 1.0), axis=-1)

    def _mean_and_log_std(self, params: Sequence[Any]) -> tuple[tf.Tensor, tf.Tensor]:
        mean, log_std = (tf.cast(value, tf.float32) for value in params)
        return mean, tf.broadcast_to(log_std, tf.shape(mean))

    def _draw(self, params: Sequence[Any], seed: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        mean, log_std = self._mean_and_log_std(params)
        noise = normal(tf.shape(mean), seed)
        return mean + tf.exp(log_std) * noise, noise, log_std


@keras.saving.register_keras_serializable(package="kagent")
class Gaussian(_Normal, BoxDistribution):
    """Independent normal distributions, clipped to the bounds on the way to the environment.

    Parameters: mean and log_std, `(B, d)` each (log_std may be `(1, d)` or `(d,)`), d = prod(shape). Actions:
    the unbounded sample, float32 `(B, *shape)`; `log_prob` is that of the sample before clipping, as PPO
    needs it.

    Args:
        shape: Shape of one action.
        low, high: Bounds, a number or an array that broadcasts to `shape`; infinite (or `"inf"`) where there
            is none.

    Raises:
        ValueError: Bounds that do not fit `shape`, are not ordered, or are NaN; an empty shape.

    Example:

    >>> distribution = Gaussian(shape=(2,), low=-1.0, high=1.0)
    >>> params = [tf.constant([[0.5, 3.0]]), tf.zeros((1, 2))]
    >>> distribution.to_env(distribution.mode(params)).numpy().tolist()
    [[0.5, 1.0]]
    """

    def log_prob(self, params: Sequence[Any], action: Any) -> tf.Tensor:
        mean, log_std = self._mean_and_log_std(params)
        return _log_normal((self._flat(tf.cast(action, tf.float32)) - mean) * tf.exp(-log_std), log_std)

    def entropy(self, params: Sequence[Any], seed: Any = None) -> tf.Tensor:
        _, log_std = self._mean_and_log_std(params)
        return tf.reduce_sum(log_std + (0.5 + _HALF_LOG_TAU), axis=-1)

    def sample_with_log_prob(self, params: Sequence[Any], seed: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Reparameterised: gradients flow through the action (`mean + std * noise`) and the log-probability.

        For the score function `log_prob(params, tf.stop_gradient(action))` is what is wanted instead.
        """
        action, noise, log_std = self._draw(params, seed)
        return self._shaped(action), _log_normal(noise, log_std)

    def mode(self, params: Sequence[Any]) -> tf.Tensor:
        return self._shaped(self._mean_and_log_std(params)[0])


@keras.saving.register_keras_serializable(package="kagent")
class SquashedGaussian(_Normal, ScaledDistribution):
    """`tanh` of independent normal distributions, Haarnoja et al. 2018, for bounded actions.

    Parameters: mean and log_std of the normal distribution, `(B, d)` each. Actions: float32 `(B, *shape)` in
    [-1, 1], with densities on that interval; `to_env` stretches it to `[low, high]`.

    Args:
        shape: Shape of one action.
        low, high: Finite bounds, a number or an array that broadcasts to `shape`.

    Raises:
        ValueError: An infinite bound, or what `Gaussian` refuses.

    Example:

    >>> distribution = SquashedGaussian(shape=(1,), low=0.0, high=10.0)
    >>> distribution.to_env(distribution.mode([tf.zeros((1, 1)), tf.zeros((1, 1))])).numpy().tolist()
    [[5.0]]
    """

    has_entropy = False

    def log_prob(self, params: Sequence[Any], action: Any) -> tf.Tensor:
        """As `Distribution.log_prob`; -1 and 1, which float32 rounds to, count as their inner neighbours."""
        unsquashed = tf.math.atanh(self._inside(action))
        mean, log_std = self._mean_and_log_std(params)
        return _log_normal((unsquashed - mean) * tf.exp(-log_std), log_std) - _log_slope(unsquashed)

    def entropy(self, params: Sequence[Any], seed: Any = None) -> tf.Tensor:
        """`-log_prob` of one draw, which on average is the entropy: there is no closed form.

        Raises:
            ValueError: `seed` is None.
        """
        if seed is None:
            raise ValueError(
                "`seed` must be given: the entropy of a SquashedGaussian has no closed form and is estimated "
                "from a draw. Received: None"
            )
        return -self.sample_with_log_prob(params, seed)[1]

    def sample_with_log_prob(self, params: Sequence[Any], seed: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Reparameterised: gradients flow through the action and the log-probability."""
        unsquashed, noise, log_std = self._draw(params, seed)
        return self._shaped(tf.tanh(unsquashed)), _log_normal(noise, log_std) - _log_slope(unsquashed)

    def mode(self, params: Sequence[Any]) -> tf.Tensor:
        """`tanh(mean)`: the median, which SAC takes for its deterministic action."""
        return self._shaped(tf.tanh(self._mean_and_log_std(params)[0]))


def _log_normal(noise: tf.Tensor, log_std: tf.Tensor) -> tf.Tensor:
    """Log-density of a normal variable `noise` standard deviations off, summed over the last axis."""
    return tf.reduce_sum(-0.5 * tf.square(noise) - log_std - _HALF_LOG_TAU, axis=-1)


def _log_slope(unsquashed: tf.Tensor) -> tf.Tensor:
    """Sum over the last axis of `log(1 - tanh(u)**2)`, in a form exact even where tanh(u) rounds to 1."""
    return tf.reduce_sum(2.0 * (math.log(2.0) - unsquashed - tf.nn.softplus(-2.0 * unsquashed)), axis=-1)
