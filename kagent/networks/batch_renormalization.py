"""Batch renormalization as a Keras layer."""

from __future__ import annotations

import math
import numbers
from typing import Any

import keras
from keras import ops

from kagent.config.checks import check_count
from kagent.ops.batch_renormalization import batch_renormalization


@keras.saving.register_keras_serializable("kagent")
class BatchRenormalization(keras.layers.Layer):
    """Batch normalization whose output in training agrees with that in inference (Ioffe 2017, arXiv:1702.03275).

    In training the batch's own mean and variance normalize, and the result is corrected towards the moving statistics, within
    bounds; see `kagent.ops.batch_renormalization`. The moving statistics then move. In inference, and where the layer is
    frozen, the moving statistics normalize. A learned scale and offset follow.

    The defaults are those of CrossQ (Bhatt et al. 2024, arXiv:1902.05605), whose programs have no correction during the warm-up and
    the whole of it after. (Ioffe lets the bounds grow slowly. He also averages the deviation, where here, as in
    `keras.layers.BatchNormalization`, the variance is averaged.)

    Args:
        momentum: Weight of the former moving statistics at each step, in [0, 1).
        epsilon: Added to variances, > 0.
        r_max: The most that the correction multiplies or divides by, >= 1.
        d_max: The most that it shifts by, >= 0, in moving standard deviations.
        warmup_steps: Batches in training before the correction begins, an integer >= 0. It is batch normalization until then.

    Input `(N, ..., n)`; output of the same shape. Statistics are over all axes but the last.

    Raises:
        ValueError: Arguments outside their range.

    Example:

    >>> layer = kagent.networks.BatchRenormalization(warmup_steps=0)
    >>> layer(keras.ops.ones((2, 3)), training=True).shape
    TensorShape([2, 3])
    """

    def __init__(
        self,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        r_max: float = 3.0,
        d_max: float = 5.0,
        warmup_steps: int = 100_000,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.momentum = _number(momentum, "momentum", "in [0, 1)", lambda x: 0 <= x < 1)
        self.epsilon = _number(epsilon, "epsilon", "> 0", lambda x: 0 < x < math.inf)
        self.r_max = _number(r_max, "r_max", ">= 1", lambda x: 1 <= x < math.inf)
        self.d_max = _number(d_max, "d_max", ">= 0", lambda x: 0 <= x < math.inf)
        self.warmup_steps = check_count(warmup_steps, "warmup_steps", least=0)

    def build(self, input_shape: Any) -> None:
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")
        frozen = {"trainable": False, "autocast": False}
        self.moving_mean = self.add_weight(shape=shape, initializer="zeros", name="moving_mean", **frozen)
        self.moving_variance = self.add_weight(shape=shape, initializer="ones", name="moving_variance", **frozen)
        # int64: a GPU keeps numbers of 32 bits on the host.
        self.steps = self.add_weight(shape=(), initializer="zeros", dtype="int64", name="steps", **frozen)

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = ops.cast(inputs, "float32")
        if training and self.trainable:
            warm = ops.greater_equal(self.steps, self.warmup_steps)
            r_max, d_max = ops.where(warm, self.r_max, 1.0), ops.where(warm, self.d_max, 0.0)
            x, mean, variance = batch_renormalization(
                x, self.moving_mean.value, self.moving_variance.value, r_max, d_max, self.epsilon
            )
            for moving, found in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(self.momentum * moving + (1.0 - self.momentum) * found)
            self.steps.assign_add(1)
        else:
            x = (x - self.moving_mean) / ops.sqrt(self.moving_variance + self.epsilon)
        return ops.cast(x, self.compute_dtype) * self.gamma + self.beta

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = ("momentum", "epsilon", "r_max", "d_max", "warmup_steps")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}

    def actor_node(self) -> dict[str, Any]:
        weights = [self.gamma, self.beta, self.moving_mean, self.moving_variance]
        flags = {"scale": True, "center": True}
        return {"op": "batch_normalization", "variables": weights, "axis": -1, "epsilon": self.epsilon, **flags}


def _number(value: Any, argument: str, allowed: str, suits: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not suits(value):
        raise ValueError(f"`{argument}` must be a number {allowed}. Received: {value!r}")
    return float(value)
