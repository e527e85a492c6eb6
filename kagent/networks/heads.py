"""The dense layers of heads with few outputs."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from kagent.ops.narrow import COLUMNS, narrow_product

_XLA: contextvars.ContextVar[bool] = contextvars.ContextVar("XLA", default=False)


@contextlib.contextmanager
def xla(compiles: bool) -> Iterator[None]:
    """Within it, layers are traced for a program that XLA compiles, or not."""
    token = _XLA.set(compiles)
    try:
        yield
    finally:
        _XLA.reset(token)


# It has the name of Keras's layer, as files of weights name groups by it.
@keras.saving.register_keras_serializable("kagent")
class Dense(keras.layers.Dense):
    """Keras's `Dense`, with gradients that XLA computes fast where there are 2 to 4 units (`ops.narrow_product`)."""

    actor_class = keras.layers.Dense  # as it computes without gradients

    def call(self, inputs: Any, training: Any = None) -> Any:
        if not _XLA.get() or self.units not in COLUMNS or len(inputs.shape) != 2 or self.compute_dtype != "float32":
            return super().call(inputs, training=training)
        x = narrow_product(inputs, tf.convert_to_tensor(self.kernel))
        if self.use_bias:
            x = x + self.bias
        return x if self.activation is None else self.activation(x)
