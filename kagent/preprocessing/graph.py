"""The layers as TensorFlow operations, for models that leave kagent: what they have learned is frozen in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kagent import schedules
from kagent.preprocessing import layer, scaling, statistics
from kagent.preprocessing.equations import LUMINANCE
from kagent.preprocessing.image import Image
from kagent.preprocessing.keras_layer import KerasLayer
from kagent.preprocessing.pipeline import Pipeline
from kagent.preprocessing.preprocessing import Preprocessing

Operation = Callable[[tf.Tensor], tf.Tensor]


def operations_of(made: Preprocessing, dtype: str = "float64") -> Callable[[Sequence[tf.Tensor]], list[tf.Tensor]]:
    """All of an agent's preprocessing of observations, as it is now, from tensors to tensors.

    Args:
        made: What the agent has.
        dtype: In which it reckons: "float64" as the layers do, or "float32" where the other is not to be had.

    Returns:
        A function of leaves `(N, *shape)` in stored form, of which it gives the processed ones, in stored form.

    Raises:
        ValueError: A layer that remembers the episode, or has no form in TensorFlow.
    """
    chains = [None if pipeline is None else _chain(pipeline, dtype) for pipeline in made.pipelines]

    def process(leaves: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        found = [x if chain is None else chain(x) for chain, x in zip(chains, leaves)]
        return [tf.cast(x, leaf.stored_dtype) for leaf, x in zip(made.processed.leaves, found)]

    return process


def _chain(pipeline: Pipeline, dtype: str) -> Operation:
    steps = []
    for part, bound, space in zip(pipeline.layers, pipeline.bounds, pipeline.spaces):
        if bound.remembers:
            raise ValueError(
                f"`export` is for one observation at a time, and preprocessing layer {type(part).__name__} needs those before "
                "it. Allowed: a `kagent.preprocessing` wrapper of the environment, or `agent.player()`"
            )
        steps.append(operation_of(part, bound, space, dtype))
    return lambda x: functools.reduce(lambda value, step: step(value), steps, x)


@functools.singledispatch
def operation_of(part: Any, bound: layer.Bound, space: Any, dtype: str) -> Operation:
    """One layer, from `(N, *shape)` to `(N, *bound.space.shape)`. Of a layer of one's own: `operation_of.register`.

    Args:
        part: The layer.
        bound: What `part.bind(space)` made, with its statistics.
        space: Of one value.
        dtype: In which it reckons.
    """
    raise ValueError(
        f"`export` knows no form in TensorFlow of preprocessing layer {type(part).__name__}. Register one with "
        "`kagent.preprocessing.graph.operation_of.register`"
    )


@operation_of.register
def _(part: scaling.LinearNormalization, bound: layer.Bound, space: Any, dtype: str) -> Operation:
    low, high = layer.bounds(space)
    low = low if part.min_value is None else layer.spread(part.min_value, "min_value", space.shape)
    high = high if part.max_value is None else layer.spread(part.max_value, "max_value", space.shape)
    finite = np.isfinite(low) & np.isfinite(high)
    factor = np.where(finite, 4.0 / np.where(finite, high - low, 1.0), 1.0)
    term = np.where(finite, -2.0, 0.0)
    start = np.where(finite, low, 0.0)
    return lambda x: (tf.cast(x, dtype) - _constant(start, dtype)) * _constant(factor, dtype) + _constant(term, dtype)


@operation_of.register
def _(part: scaling.Rescaling, bound: layer.Bound, space: Any, dtype: str) -> Operation:
    scale, offset = (layer.spread(value, "scale", space.shape) for value in (part.scale, part.offset))
    return lambda x: tf.cast(x, dtype) * _constant(scale, dtype) + _constant(offset, dtype)


@operation_of.register
def _(part: scaling.Clipping, bound: layer.Bound, space: Any, dtype: str) -> Operation:
    ends = [None if end is None else float(schedules.evaluate(end, bound.clock())) for end in (part.lower, part.upper)]

    def clip(x: tf.Tensor) -> tf.Tensor:
        x = tf.cast(x, dtype)
        x = x if ends[0] is None else tf.maximum(x, _constant(ends[0], dtype))
        return x if ends[1] is None else tf.minimum(x, _constant(ends[1], dtype))

    return clip


@operation_of.register
def _(part: scaling.Activation, bound: layer.Bound, space: Any, dtype: str) -> Operation:
    function = keras.activations.get(part.nonlinearity)
    return lambda x: tf.cast(function(tf.cast(x, "float32")), dtype)


@operation_of.register(statistics.ExponentialNormalization)
@operation_of.register(statistics.RunningNormalization)
def _(part: Any, bound: statistics.Standardizer, space: Any, dtype: str) -> Operation:
    mean, deviation = (
        bound.statistics["mean"],
        np.sqrt(np.maximum(bound.statistics["variance"], bound.floor) + bound.epsilon),
    )

    def standardize(x: tf.Tensor) -> tf.Tensor:
        x = tf.cast(x, dtype) - _constant(mean, dtype)
        x = x if bound.only_mean else x / _constant(deviation, dtype)
        limit = _constant(bound.clip, dtype)
        return tf.clip_by_value(x, -limit, limit) if np.isfinite(bound.clip) else x

    return standardize


@operation_of.register
def _(part: statistics.InstanceNormalization, bound: layer.Bound, space: Any, dtype: str) -> Operation:
    rank = len(space.shape)
    axes = [
        axis + 1 for axis in (range(rank) if part.axes is None else (layer.axis_of(a, rank, "axes") for a in part.axes))
    ]

    def standardize(x: tf.Tensor) -> tf.Tensor:
        x = tf.cast(x, dtype)
        x = x - tf.reduce_mean(x, axes, keepdims=True)
        if part.only_mean:
            return x
        variance = tf.reduce_mean(tf.square(x), axes, keepdims=True)
        return x / tf.sqrt(tf.maximum(variance, _constant(part.min_variance, dtype)))

    return standardize


@operation_of.register
def _(part: Image, bound: layer.Bound, space: Any, dtype: str) -> Operation:
    rows, columns = space.shape[:2]
    shape = bound.space.shape
    weights = LUMINANCE if part.grayscale is True else part.grayscale
    made = np.dtype(bound.space.dtype)

    def process(x: tf.Tensor) -> tf.Tensor:
        x = tf.cast(tf.reshape(x, (-1, rows, columns, space.shape[2] if len(space.shape) == 3 else 1)), "float32")
        if weights:
            x = tf.reduce_sum(x * _constant(weights, "float32"), axis=-1, keepdims=True)
        if (rows, columns) != shape[:2]:
            x = tf.image.resize(x, shape[:2], "bilinear", antialias=False)
        if made.kind != "f":
            x = tf.clip_by_value(tf.round(x), float(np.iinfo(made).min), float(np.iinfo(made).max))
        return tf.reshape(tf.cast(x, made.name if made.kind != "f" else dtype), (-1, *shape))

    return process


@operation_of.register
def _(part: KerasLayer, bound: layer.Bound, space: Any, dtype: str) -> Operation:
    box = hasattr(space, "low")
    return lambda x: tf.cast(part.layer(tf.cast(x, "float32") if box else x), dtype)


def _constant(value: Any, dtype: str) -> tf.Tensor:
    return tf.constant(np.asarray(value, np.float64), dtype)
