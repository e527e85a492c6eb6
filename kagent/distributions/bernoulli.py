"""Actions of bits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kagent.distributions.distribution import Distribution, uniform

_FORCED = 1e9  # a logit that leaves no other choice; finite, so that 0 times it is 0


@keras.saving.register_keras_serializable(package="kagent")
class Bernoulli(Distribution):
    """Independent choices between 0 and 1.

    Parameters: logits `(B, d)`, d = prod(shape); 1 has the probability `sigmoid(logit)`. Actions: int32 0 or 1,
    `(B, *shape)`.

    Args:
        shape: Shape of one action.

    Raises:
        ValueError: An empty shape.

    Example:

    >>> distribution = Bernoulli(shape=(3,))
    >>> distribution.mode([tf.constant([[0.7, -0.1, 0.0]])]).numpy().tolist()
    [[1, 0, 1]]
    """

    head_names = ("logits",)

    def __init__(self, shape: Sequence[int]):
        self.shape = tuple(int(n) for n in shape)
        if math.prod(self.shape) == 0:
            raise ValueError(f"`shape` must have at least one element. Received: {self.shape}")
        self.head_sizes = (math.prod(self.shape),)

    def log_prob(self, params: Sequence[Any], action: Any) -> tf.Tensor:
        logits = self._logits(params)
        return -tf.reduce_sum(tf.nn.softplus(tf.where(self._flat(action) == 0, logits, -logits)), axis=-1)

    def entropy(self, params: Sequence[Any], seed: Any = None) -> tf.Tensor:
        logits = self._logits(params)
        # Two terms >= 0, so that nothing cancels where the choice is almost certain.
        ones = tf.sigmoid(logits) * tf.nn.softplus(-logits)
        return tf.reduce_sum(ones + tf.sigmoid(-logits) * tf.nn.softplus(logits), axis=-1)

    def sample_with_log_prob(self, params: Sequence[Any], seed: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws by inversion. No gradient flows through the action."""
        logits = self._logits(params)
        action = tf.cast(uniform(tf.shape(logits), seed) < tf.sigmoid(logits), tf.int32)
        return self._shaped(action), self.log_prob(params, action)

    def mode(self, params: Sequence[Any]) -> tf.Tensor:
        """1 where its probability is at least a half."""
        return self._shaped(tf.cast(self._logits(params) >= 0.0, tf.int32))

    def kl(self, params: Sequence[Any], other: Sequence[Any]) -> tf.Tensor:
        logits, others = self._logits(params), self._logits(other)
        ones = tf.sigmoid(logits) * (tf.nn.softplus(-others) - tf.nn.softplus(-logits))
        return tf.reduce_sum(ones + tf.sigmoid(-logits) * (tf.nn.softplus(others) - tf.nn.softplus(logits)), axis=-1)

    def to_env(self, action: Any) -> tf.Tensor:
        """The values as they are; adding a leaf's `start` is left to `Leaf.decode`."""
        return tf.convert_to_tensor(action)

    def mask(self, params: Sequence[Any], mask: Any = None) -> list[tf.Tensor]:
        """Sets logits to -1e9 where only 0 is allowed and to 1e9 where only 1 is: probabilities of exactly 0 and 1.

        Args:
            params: `[logits]`.
            mask: bool `(B, 2 * d)`, for each component whether 0 is allowed, then whether 1 is; None allows all. Where
                a component allows nothing, both are equally likely.
        """
        if mask is None:
            return list(params)
        logits = self._logits(params)
        flags = tf.reshape(mask, (-1, self.head_sizes[0], 2))
        zero, one = flags[..., 0], flags[..., 1]
        forced = _FORCED * (tf.cast(one, tf.float32) - tf.cast(zero, tf.float32))
        return [tf.where(zero & one, logits, forced)]

    def get_config(self) -> dict[str, Any]:
        return {"shape": list(self.shape)}

    def _logits(self, params: Sequence[Any]) -> tf.Tensor:
        (logits,) = params
        return tf.cast(logits, tf.float32)
