"""What every distribution over one action leaf can do, and where its random numbers come from."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from kagent.ops import replicas


class Distribution(abc.ABC):
    """What every distribution over one action leaf can do.

    Attributes:
        shape: Shape of one action.
        head_names: Names of the parameters, e.g. `("mean", "log_std")`.
        head_sizes: Their widths.
        has_entropy: Whether `entropy` is exact; if not, it needs a seed.
    """

    shape: tuple[int, ...]
    head_names: tuple[str, ...]
    head_sizes: tuple[int, ...]
    has_entropy = True

    @abc.abstractmethod
    def log_prob(self, params: Sequence[Any], action: Any) -> tf.Tensor:
        """Logarithm of the probability (density) of canonical actions `(B, *shape)`; float32 `(B,)`."""

    @abc.abstractmethod
    def entropy(self, params: Sequence[Any], seed: Any = None) -> tf.Tensor:
        """Entropy in nats, float32 `(B,)`. `seed` is needed where `has_entropy` is False."""

    def sample(self, params: Sequence[Any], seed: Any) -> tf.Tensor:
        """Draws canonical actions, `(B, *shape)`."""
        return self.sample_with_log_prob(params, seed)[0]

    @abc.abstractmethod
    def sample_with_log_prob(self, params: Sequence[Any], seed: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws canonical actions `(B, *shape)` and gives their log-probabilities, float32 `(B,)`."""

    @abc.abstractmethod
    def mode(self, params: Sequence[Any]) -> tf.Tensor:
        """The canonical action that acting deterministically takes, `(B, *shape)`."""

    @abc.abstractmethod
    def kl(self, params: Sequence[Any], other: Sequence[Any]) -> tf.Tensor:
        """Kullback-Leibler divergence KL(params || other) in nats, float32 `(B,)`."""

    @abc.abstractmethod
    def to_env(self, action: Any) -> tf.Tensor:
        """Canonical actions in the environment's units."""

    def mask(self, params: Sequence[Any], mask: Any = None) -> list[tf.Tensor]:
        """Parameters under which what `mask` forbids has probability 0. None: the parameters as they are.

        Raises:
            ValueError: A mask for a continuous leaf.
        """
        if mask is not None:
            raise ValueError(f"`mask` must be None for a {type(self).__name__}: only discrete actions can be masked")
        return list(params)

    @abc.abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, ready for JSON."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Distribution:
        """The inverse of `get_config`."""
        return cls(**config)

    def _shaped(self, flat: tf.Tensor) -> tf.Tensor:
        return tf.reshape(flat, (-1, *self.shape))

    def _flat(self, action: Any) -> tf.Tensor:
        return tf.reshape(action, (-1, math.prod(self.shape)))


def uniform(shape: Any, seed: Any, axis: int | None = 0) -> tf.Tensor:
    """Float32 in (0, 1), never an end: odd multiples of 2**-24.

    Args:
        shape: A tuple, or a tensor of integers.
        seed: `(2,)`.
        axis: That of rows of a batch, which may be spread over replicas; None: there are none, and all replicas draw the same.
    """

    # From bits, because TensorFlow's own uniform and normal numbers differ between eager and XLA for one
    # seed; Philox, because XLA's default generator is 5 times slower on a CPU.
    def draw(shape: Any) -> tf.Tensor:
        return tf.random.stateless_uniform(shape, seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox")

    bits = draw(shape) if axis is None else replicas.own_part(shape, draw, axis)
    high = tf.cast(tf.bitwise.right_shift(bits, tf.constant(9, tf.uint32)), tf.int32)
    return (tf.cast(high, tf.float32) + 0.5) * 2.0**-23


def normal(shape: Any, seed: Any, axis: int | None = 0) -> tf.Tensor:
    """Standard normal numbers, float32, from a stateless seed; arguments as of `uniform`."""
    return math.sqrt(2.0) * tf.math.erfinv(2.0 * uniform(shape, seed, axis) - 1.0)
