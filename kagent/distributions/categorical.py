"""Discrete actions of one or more components."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kagent.distributions.distribution import Distribution, uniform
from kagent.ops.td import by_component, mask_values, pick


@keras.saving.register_keras_serializable(package="kagent")
class Categorical(Distribution):
    """Independent choices, one per component, each among its own number of values.

    Parameters: logits `(B, sum(nvec))`, components side by side. Actions: int32 indices from 0, `(B,
    *shape)`.

    Args:
        nvec: Number of values of each component (flattened in C order), each at least 1.
        shape: Shape of one action; `prod(shape)` is the number of components. None: `(len(nvec),)`.

    Raises:
        ValueError: No component, a component without values, or a shape that does not fit.

    Example:

    >>> distribution = Categorical(nvec=[2, 3])
    >>> distribution.mode([tf.constant([[0.0, 1.0, 5.0, 4.0, 3.0]])]).numpy().tolist()
    [[1, 0]]
    """

    head_names = ("logits",)

    def __init__(self, nvec: Any, shape: Sequence[int] | None = None):
        self.nvec = tuple(int(n) for n in np.ravel(nvec))
        self.shape = (len(self.nvec),) if shape is None else tuple(int(n) for n in shape)
        if not self.nvec or min(self.nvec) < 1:
            raise ValueError(f"`nvec` must hold at least one number, each at least 1. Received: {list(self.nvec)}")
        if math.prod(self.shape) != len(self.nvec):
            raise ValueError(f"`shape` must have as many elements as `nvec`, {len(self.nvec)}. Received: {self.shape}")
        self.head_sizes = (sum(self.nvec),)

    def log_prob(self, params: Sequence[Any], action: Any) -> tf.Tensor:
        return tf.reduce_sum(pick(self._log_probs(params), self._flat(action)), axis=-1)

    def entropy(self, params: Sequence[Any], seed: Any = None) -> tf.Tensor:
        log_probs = self._log_probs(params)
        return -tf.reduce_sum(tf.exp(log_probs) * log_probs, axis=(1, 2))

    def sample_with_log_prob(self, params: Sequence[Any], seed: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws by the Gumbel-max trick. No gradient flows through the action."""
        log_probs = self._log_probs(params)
        gumbel = -tf.math.log(-tf.math.log(uniform(tf.shape(log_probs), seed)))
        index = tf.argmax(log_probs + gumbel, axis=-1, output_type=tf.int32)
        return self._shaped(index), tf.reduce_sum(pick(log_probs, index), axis=-1)

    def mode(self, params: Sequence[Any]) -> tf.Tensor:
        return self._shaped(tf.argmax(self._logits(params), axis=-1, output_type=tf.int32))

    def kl(self, params: Sequence[Any], other: Sequence[Any]) -> tf.Tensor:
        log_probs = self._log_probs(params)
        return tf.reduce_sum(tf.exp(log_probs) * (log_probs - self._log_probs(other)), axis=(1, 2))

    def to_env(self, action: Any) -> tf.Tensor:
        """The indices as they are; adding a leaf's `start` is left to `Leaf.decode`."""
        return tf.convert_to_tensor(action)

    def mask(self, params: Sequence[Any], mask: Any = None) -> list[tf.Tensor]:
        """Sets the logits of forbidden values to -1e9: their probability is exactly 0 and their gradient 0.

        Args:
            params: `[logits]`.
            mask: bool `(B, sum(nvec))`, True = allowed; None allows all. Where a component allows nothing,
                its values are equally likely.
        """
        return [mask_values(params[0], mask)]

    def get_config(self) -> dict[str, Any]:
        return {"nvec": list(self.nvec), "shape": list(self.shape)}

    def _logits(self, params: Sequence[Any]) -> tf.Tensor:
        (logits,) = params
        return by_component(tf.cast(logits, tf.float32), self.nvec)

    def _log_probs(self, params: Sequence[Any]) -> tf.Tensor:
        # What by_component fills up with has probability 0, and 0 * (a finite logarithm) = 0 in entropy and
        # KL.
        return tf.nn.log_softmax(self._logits(params), axis=-1)
