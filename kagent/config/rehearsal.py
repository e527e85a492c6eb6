"""Keras layers are made of a configuration first where nothing is allocated, so that their weights can be counted."""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import random
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from kagent.config import limits

_NUMBERS = itertools.count()  # of objects in the configurations of twins


def check(config: dict[str, Any], argument: str) -> None:
    """Checks the weights of all that is built when a configuration is made.

    Raises:
        ValueError: There are too many.
    """
    with _without_memory():
        twin = None
        with contextlib.suppress(Exception):  # making it raises the same
            twin = made(apart(config))
        _check(twin, argument)


def watch(layer: Any, config: dict[str, Any], argument: str) -> None:
    """Has `before_call` check a layer that was made of `config`, and has no weights yet."""
    if isinstance(layer, keras.layers.Layer) and not layer.built:
        layer.kagent_config = lambda: (config, argument)  # a function, through which Keras does not look for layers


def before_call(layer: Any, x: Any) -> None:
    """Checks a layer that is about to be built by its first call, where it was made of a configuration.

    Args:
        layer: A Keras layer.
        x: What it is called with: symbolic tensors, nested.

    Raises:
        ValueError: It would have too many weights, or make too much of one observation.
    """
    if not hasattr(layer, "kagent_config"):
        return
    config, argument = layer.kagent_config()
    del layer.kagent_config
    with _without_memory():
        twin, given = made(apart(config)), []
        with contextlib.suppress(Exception):  # the call of the layer itself raises the same
            given = keras.tree.flatten(twin(keras.tree.map_structure(_symbol, x)))
        _check(twin, argument)
    numbers = max(map(_numbers, given), default=0)
    if numbers > limits.NUMBERS:
        raise ValueError(f"`{argument}` makes {numbers} numbers of one observation. At most {limits.NUMBERS} are taken")


def hand_on(layer: Any, twin: Any) -> None:
    """Has `before_call` check `twin` as it checks `layer`, of whose configuration it was made."""
    if hasattr(layer, "kagent_config"):
        twin.kagent_config = layer.kagent_config


def made(config: dict[str, Any]) -> Any:
    """The Keras object of a configuration."""
    return keras.saving.deserialize_keras_object(copy.deepcopy(config))  # Keras writes into such dicts


def apart(config: Any) -> Any:
    """A copy of a configuration whose objects are shared with those of no other.

    While Keras reads a file, it takes configurations of one `shared_object_id` for one object, a second twin for the first.
    """
    return _renumbered(copy.deepcopy(config), {})


def _renumbered(config: Any, numbers: dict[Any, str]) -> Any:
    if isinstance(config, dict):
        config = {key: _renumbered(value, numbers) for key, value in config.items()}
        if "shared_object_id" in config:
            config["shared_object_id"] = numbers.setdefault(config["shared_object_id"], f"twin_{next(_NUMBERS)}")
    return [_renumbered(value, numbers) for value in config] if isinstance(config, list) else config


@contextlib.contextmanager
def _without_memory() -> Iterator[None]:
    # Variables of a graph that is never run have a shape and no content. Keras takes seeds from Python's generator.
    state = random.getstate()
    try:
        with tf.Graph().as_default():
            yield
    finally:
        random.setstate(state)


def _symbol(part: Any) -> keras.KerasTensor:
    return keras.KerasTensor(tuple(part.shape), keras.backend.standardize_dtype(part.dtype))


def _check(layer: Any, argument: str) -> None:
    if not isinstance(layer, keras.layers.Layer):
        return
    weights = sum(math.prod(weight.shape) for weight in layer.weights)
    if weights > limits.WEIGHTS:
        raise ValueError(f"`{argument}` would have {weights} weights. At most {limits.WEIGHTS} are taken")
    numbers = sum(map(_numbers, _outputs_inside(layer)))
    if numbers > limits.NUMBERS_INSIDE:
        raise ValueError(
            f"The layers of `{argument}` make {numbers} numbers of one observation. At most {limits.NUMBERS_INSIDE} are taken"
        )


def _outputs_inside(model: Any) -> Iterator[Any]:
    # Of a model's operations, and of the models among them.
    parts: Any = getattr(model, "operations", ()) or getattr(model, "layers", ())
    for part in parts:
        yield from _outputs_inside(part)
        with contextlib.suppress(AttributeError, ValueError):  # not called yet, or more than once
            yield from keras.tree.flatten(part.output)


def _numbers(tensor: Any) -> int:
    return math.prod(filter(None, tensor.shape[1:]))
