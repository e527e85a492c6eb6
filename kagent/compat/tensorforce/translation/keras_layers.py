"""Keras layers for layers of Tensorforce's that Keras has not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

_PACKAGE = "kagent"
_FACTORIES: dict[str, Callable[[], Any]] = {}


@keras.saving.register_keras_serializable(_PACKAGE)
class SelfAttention(keras.layers.Layer):
    """Scaled dot-product attention of all places on all (Vaswani et al. 2017, arXiv:1706.03762), one head.

    Args:
        size: Features of each place behind it.
        attention_size: Of queries and keys; None: `size`.
        bias: Whether queries, keys and values have biases.
        activation: Of the values.

    Input `(N, ..., F)`; output `(N, ..., size)`. All axes between are places.
    """

    def __init__(
        self, size: int, attention_size: int | None = None, bias: bool = False, activation: Any = None, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.size, self.attention_size = size, size if attention_size is None else attention_size
        self.bias, self.activation = bias, activation
        self.query, self.key = (
            keras.layers.Dense(self.attention_size, use_bias=bias, name=n) for n in ("query", "key")
        )
        self.value = keras.layers.Dense(size, activation, use_bias=bias, name="value")

    def build(self, input_shape: Any) -> None:
        for layer in (self.query, self.key, self.value):
            layer.build((None, None, input_shape[-1]))

    def call(self, inputs: Any) -> Any:
        x = ops.reshape(inputs, (-1, *self._places(inputs.shape), inputs.shape[-1]))
        logits = ops.matmul(self.query(x), ops.transpose(self.key(x), (0, 2, 1)))
        weights = ops.softmax(logits / self.attention_size**0.5, axis=-1)
        return ops.reshape(ops.matmul(weights, self.value(x)), (-1, *inputs.shape[1:-1], self.size))

    @staticmethod
    def _places(shape: Any) -> tuple[int]:
        count = 1
        for size in shape[1:-1]:
            count *= int(size)
        return (count,)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.size)

    def get_config(self) -> dict[str, Any]:
        own = {
            "size": self.size,
            "attention_size": self.attention_size,
            "bias": self.bias,
            "activation": self.activation,
        }
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(_PACKAGE)
class Clip(keras.layers.Layer):
    """Nothing below `lower` and nothing above `upper`; None: no bound."""

    def __init__(self, lower: float | None = None, upper: float | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if lower is None and upper is None:
            raise ValueError("`clipping` needs `lower`, `upper` or both. Received: None for both")
        self.lower, self.upper = lower, upper

    def call(self, inputs: Any) -> Any:
        x = inputs if self.lower is None else ops.maximum(inputs, self.lower)
        return x if self.upper is None else ops.minimum(x, self.upper)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "lower": self.lower, "upper": self.upper}


@keras.saving.register_keras_serializable(_PACKAGE)
class StatesInOrder(keras.layers.Layer):
    """A Keras model of the user's as Tensorforce gives it its inputs: one state alone, several as a list in their order,
    and bools and ints as indices.

    A twin, as target networks are, is made by the same call as the model.

    Args:
        factory: Makes the model.
        states: Of each state its number of values (None: floats) and its shape.

    Input as a network's of kagent: one-hot codes of discrete states, nested as the observation space.
    """

    def __init__(self, factory: Callable[[], Any] | str, states: Any, **kwargs: Any):
        super().__init__(**kwargs)
        if isinstance(factory, str):
            if factory not in _FACTORIES:
                raise ValueError(
                    "A Keras model that a program made is not in an agent's files: make the agent by the same specification, "
                    "and load its weights"
                )
            factory = _FACTORIES[factory]
        self.states = [(None if count is None else int(count), tuple(shape)) for count, shape in states]
        self.factory = factory
        self.model = factory()

    def call(self, inputs: Any, training: bool = False) -> Any:
        given = [self._read(x, *state) for x, state in zip(keras.tree.flatten(inputs), self.states)]
        return self.model(given[0] if len(given) == 1 else given, training=training)

    @staticmethod
    def _read(x: Any, count: int | None, shape: tuple[int, ...]) -> Any:
        if count is None:
            return ops.reshape(x, (-1, *shape))
        return ops.argmax(ops.reshape(x, (-1, *shape, count)), axis=-1)

    def get_config(self) -> dict[str, Any]:
        name = f"factory_{id(self.factory)}"
        _FACTORIES[name] = self.factory
        return {
            **super().get_config(),
            "factory": name,
            "states": [[count, list(shape)] for count, shape in self.states],
        }
