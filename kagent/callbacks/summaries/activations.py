"""How much of a network is silent: the part of zeros in what its layers hand on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from kagent.callbacks.summaries.latest_steps import Leaves

_RELUS = (keras.activations.relu, keras.activations.relu6)


def is_relu(layer: Any) -> bool:
    """Whether a layer ends in a rectifier."""
    return isinstance(layer, keras.layers.ReLU) or getattr(layer, "activation", None) in _RELUS


def is_dropout(layer: Any) -> bool:
    """Whether a layer is a Dropout."""
    return isinstance(layer, keras.layers.Dropout)


class ZeroFractions:
    """Part of zeros in the outputs of some layers of a model, wherever they are nested in it.

    Args:
        model: A functional model.
        chosen: Which layers.
        training: Whether the model is called as in training. Nothing of it changes by that, and the draws of its random
            layers are not those of training.
    """

    def __init__(self, model: Any, chosen: Any, training: bool):
        self.model, self.training = model, training
        self.layers = {name: layer for name, layer in _named(model) if chosen(layer)}
        self._call: Any = None

    def __call__(self, leaves: Leaves, draw: int) -> dict[str, float]:
        """By layer.

        Args:
            leaves: Inputs of the model, `(n, ...)`.
            draw: Another number draws other masks.
        """
        if not self.layers:
            return {}
        if self._call is None:
            specs = [tf.TensorSpec((None, *x.shape[1:]), x.dtype) for x in leaves]
            traced = tf.function(self._fractions, autograph=False)
            self._call = traced.get_concrete_function(specs, tf.TensorSpec((), tf.int64))
        rows = [tf.convert_to_tensor(x) for x in leaves]
        found = self._call(rows, tf.constant(draw % 2**31, tf.int64))
        return {name: float(fraction) for name, fraction in zip(self.layers, found.numpy())}

    def _fractions(self, leaves: list[tf.Tensor], draw: tf.Tensor) -> tf.Tensor:
        outputs: dict[int, list[tf.Tensor]] = {id(layer): [] for layer in self.layers.values()}
        generators = [layer.seed_generator for layer in self.layers.values() if hasattr(layer, "seed_generator")]
        offset = tf.stack([tf.zeros_like(draw), draw])
        moved = [(g.state, g.state.value + tf.cast(offset, g.state.dtype)) for g in generators]
        with _heard(self.layers.values(), outputs), keras.StatelessScope(state_mapping=moved):
            self.model(leaves, training=self.training)
        zeros = [[tf.cast(tf.equal(x, 0), tf.float32) for x in outputs[id(layer)]] for layer in self.layers.values()]
        return tf.stack([tf.reduce_mean(tf.concat([tf.reshape(x, (-1,)) for x in own], axis=0)) for own in zeros])


class _heard:
    """Within it, layers leave a note of what they hand on. Only while a graph is traced: a call costs nothing later."""

    def __init__(self, layers: Any, outputs: dict[int, list[tf.Tensor]]):
        self.layers, self.outputs = list(layers), outputs

    def __enter__(self) -> None:
        for layer in self.layers:
            layer.call = self._noting(layer.call, self.outputs[id(layer)])

    def __exit__(self, *error: Any) -> None:
        for layer in self.layers:
            del layer.call

    @staticmethod
    def _noting(call: Any, noted: list[tf.Tensor]) -> Any:
        def noting(*arguments: Any, **named: Any) -> Any:
            result = call(*arguments, **named)
            noted.append(result)
            return result

        return noting


def _named(model: Any) -> Iterator[tuple[str, Any]]:
    names: dict[str, int] = {}
    for layer in _walk(model, set()):
        count = names[layer.name] = names.get(layer.name, 0) + 1
        yield layer.name if count == 1 else f"{layer.name}_{count}", layer


def _walk(layer: Any, seen: set[int]) -> Iterator[Any]:
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield layer
    for child in getattr(layer, "layers", None) or _parts(list(vars(layer).values())):
        yield from _walk(child, seen)


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, keras.layers.Layer):
        yield value
    elif isinstance(value, dict):
        yield from _parts(list(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _parts(part)
