"""A Keras layer as a preprocessing layer. Keras is imported where there is one, so that workers without it read this module."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import gymnasium
import numpy as np

from kagent.preprocessing import layer
from kagent.preprocessing.layer import LAYERS, Bound, Function, Layer
from kagent.spaces import Structure


@LAYERS.register("keras")
@dataclasses.dataclass(frozen=True)
class KerasLayer(Layer):
    """A Keras layer without weights, as it is in inference.

    **Slow**: it is called through TensorFlow at every environment step, which takes about as long as ten steps of a small
    environment. Prefer the layers that are NumPy, or a layer of the network.

    Of all states: boxes come as float32 `(N, *shape)`, discrete values as indices from 0. What it gives is a state of
    floats.

    Args:
        layer: A Keras layer, or its configuration as `keras.saving.serialize_keras_object` writes it: of a class of
            `keras.layers`, or registered with `keras.saving.register_keras_serializable`.

    Raises:
        TypeError: Neither.
        ValueError: An unknown class, or one that runs what its configuration says; a layer with weights, or one that
            refuses values of the state's shape; a result without the axis of environments in front.
    """

    layer: Any

    def __post_init__(self) -> None:
        given = self.layer
        if isinstance(given, dict):
            object.__setattr__(self, "layer", _from_config(given))
        elif not is_keras(given):
            raise TypeError(f"`keras_layer.layer` must be a Keras layer or its configuration. Received: {given!r}")

    def bind(self, space: gymnasium.Space) -> Bound:
        import tensorflow as tf

        from kagent.config.rehearsal import before_call

        leaf = Structure(space).leaves[0]
        dtype = leaf.stored_dtype if leaf.is_discrete else np.dtype(np.float32)

        def apply(x: np.ndarray) -> np.ndarray:
            result = self.layer(tf.convert_to_tensor(x.astype(dtype)))
            if not tf.is_tensor(result):
                raise ValueError(f"needs a layer with one dense result. Received: {type(result).__name__}")
            return np.asarray(result).astype(np.float64)

        probe = np.zeros((2, *leaf.shape), dtype)
        try:
            before_call(self.layer, tf.constant(probe))
            result = apply(probe)
        except Exception as error:
            raise ValueError(
                f"needs a layer for values like {space}. Received: {self.layer!r}, which says: {error}"
            ) from error
        if self.layer.weights:
            raise ValueError(f"needs a layer without weights: nothing would train them. Received: {self.layer!r}")
        if result.shape[:1] != (2,):
            raise ValueError(f"needs a layer that keeps the first axis, that of environments. Received: {self.layer!r}")
        return Function(layer.box(-np.inf, np.inf, result.shape[1:]), apply)


def is_keras(value: Any) -> bool:
    """Whether `value` is a Keras layer or the configuration of one."""
    if isinstance(value, dict):
        return isinstance(value.get("class_name"), str)
    keras = sys.modules.get("keras")  # without it there is no such layer
    return keras is not None and isinstance(value, keras.layers.Layer)


def _from_config(config: dict[str, Any]) -> Any:
    from kagent.config import allowed

    made = allowed.made(config, "keras_layer.layer")
    if not is_keras(made):
        raise ValueError(f"`keras_layer.layer` must describe a Keras layer. Received: {config['class_name']!r}")
    return made
