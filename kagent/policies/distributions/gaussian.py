"""Continuous actions: normal distributions, and normal distributions squashed into bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .distribution import Distribution, normal

_HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


@keras.saving.register_keras_serializable(package="kagent")
class Gaussian(Distribution):
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

    head_names = ("mean", "log_std")

    def __init__(self, shape: Sequence[int], low: Any = -math.inf, high: Any = math.inf):
        self.shape = tuple(int(n) for n in shape)
        size = math.prod(self.shape)
        if size == 0:
            raise ValueError(f"`shape` must have at least one element. Received: {self.shape}")
        self.low = _bound("low", low, self.shape, toward=math.inf)
        self.high = _bound("high", high, self.shape, toward=-math.inf)
        if not (self.low <= self.high).all():
            raise ValueError(f"`low` must be at most `high` everywhere. Received: low={low}, high={high}")
        self.head_sizes = (size, size)

    def log_prob(self, params, action):
        mean, log_std = self._mean_and_log_std(params)
        return _log_normal((self._flat(tf.cast(action, tf.float32)) - mean) * tf.exp(-log_std), log_std)

    def entropy(self, params, seed=None):
        _, log_std = self._mean_and_log_std(params)
        return tf.reduce_sum(log_std + (0.5 + _HALF_LOG_TAU), axis=-1)

    def sample_with_log_prob(self, params, seed):
        """Reparameterised: gradients flow through the action (`mean + std * noise`) and the log-probability.

        For the score function `log_prob(params, tf.stop_gradient(action))` is what is wanted instead.
        """
        action, noise, log_std = self._draw(params, seed)
        return self._shaped(action), _log_normal(noise, log_std)

    def mode(self, params):
        return self._shaped(self._mean_and_log_std(params)[0])

    def kl(self, params, other):
        mean, log_std = self._mean_and_log_std(params)
        mean2, log_std2 = self._mean_and_log_std(other)
        ratio, distance = tf.exp(2.0 * (log_std - log_std2)), (mean - mean2) * tf.exp(-log_std2)
        return tf.reduce_sum(log_std2 - log_std + 0.5 * (ratio + tf.square(distance) - 1.0), axis=-1)

    def to_env(self, action):
        """Clips to `[low, high]`; float32 `(B, *shape)`."""
        return tf.clip_by_value(tf.cast(action, tf.float32), self.low, self.high)

    def get_config(self):
        return {"shape": list(self.shape), "low": _to_json(self.low), "high": _to_json(self.high)}

    def _mean_and_log_std(self, params) -> tuple[tf.Tensor, tf.Tensor]:
        mean, log_std = (tf.cast(value, tf.float32) for value in params)
        return mean, tf.broadcast_to(log_std, tf.shape(mean))

    def _draw(self, params, seed) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        mean, log_std = self._mean_and_log_std(params)
        noise = normal(tf.shape(mean), seed)
        return mean + tf.exp(log_std) * noise, noise, log_std


@keras.saving.register_keras_serializable(package="kagent")
class SquashedGaussian(Gaussian):
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

    def __init__(self, shape: Sequence[int], low: Any, high: Any):
        super().__init__(shape, low, high)
        if not (np.isfinite(self.low).all() and np.isfinite(self.high).all()):
            raise ValueError(
                "`low` and `high` of a SquashedGaussian must be finite: tanh reaches no further. "
                f"Received: low={low}, high={high}. Allowed for unbounded actions: 'gaussian'"
            )

    def log_prob(self, params, action):
        """As `Distribution.log_prob`; -1 and 1, which float32 rounds to, count as their inner neighbours."""
        limit = float(np.nextafter(np.float32(1.0), np.float32(0.0)))
        action = tf.clip_by_value(self._flat(tf.cast(action, tf.float32)), -limit, limit)
        unsquashed = tf.math.atanh(action)
        mean, log_std = self._mean_and_log_std(params)
        return _log_normal((unsquashed - mean) * tf.exp(-log_std), log_std) - _log_slope(unsquashed)

    def entropy(self, params, seed=None):
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

    def sample_with_log_prob(self, params, seed):
        """Reparameterised: gradients flow through the action and the log-probability."""
        unsquashed, noise, log_std = self._draw(params, seed)
        return self._shaped(tf.tanh(unsquashed)), _log_normal(noise, log_std) - _log_slope(unsquashed)

    def mode(self, params):
        """`tanh(mean)`: the median, which SAC takes for its deterministic action."""
        return self._shaped(tf.tanh(self._mean_and_log_std(params)[0]))

    def to_env(self, action):
        """`low + (action + 1) / 2 * (high - low)`, exact at both ends; float32 `(B, *shape)`."""
        upper = 0.5 + 0.5 * tf.cast(action, tf.float32)
        # The weighted form cannot overflow for wide bounds; the clip catches its rounding.
        return tf.clip_by_value(self.low * (1.0 - upper) + self.high * upper, self.low, self.high)


def _log_normal(noise: tf.Tensor, log_std: tf.Tensor) -> tf.Tensor:
    """Log-density of a normal variable `noise` standard deviations off, summed over the last axis."""
    return tf.reduce_sum(-0.5 * tf.square(noise) - log_std - _HALF_LOG_TAU, axis=-1)


def _log_slope(unsquashed: tf.Tensor) -> tf.Tensor:
    """Sum over the last axis of `log(1 - tanh(u)**2)`, in a form exact even where tanh(u) rounds to 1."""
    return tf.reduce_sum(2.0 * (math.log(2.0) - unsquashed - tf.nn.softplus(-2.0 * unsquashed)), axis=-1)


def _bound(name: str, value: Any, shape: tuple[int, ...], toward: float) -> np.ndarray:
    """A bound as float32 array of `shape`, rounded towards the inside so that clipped actions are legal."""
    array = np.asarray(value, dtype=object)
    try:
        array = np.broadcast_to(np.array([float(v) for v in array.ravel()]).reshape(array.shape), shape)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be numbers that broadcast to {shape}. Received: {value!r}") from error
    if np.isnan(array).any():
        raise ValueError(f"`{name}` must not be NaN. Received: {value!r}")
    with np.errstate(over="ignore"):
        rounded = array.astype(np.float32)
    outside = rounded < array if toward > 0 else rounded > array
    return np.where(outside, np.nextafter(rounded, np.float32(toward)), rounded)


def _to_json(bound: np.ndarray) -> Any:
    """One number where all are equal, else nested lists; infinities, which JSON does not have, as words."""
    words = np.vectorize(lambda v: float(v) if math.isfinite(v) else str(float(v)), otypes=[object])(bound)
    return words.flat[0] if (bound == bound.flat[0]).all() else words.tolist()
