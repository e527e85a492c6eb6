"""Twins of networks: the same configuration, and the state that a network has already."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from kagent.config import rehearsal
from kagent.networks.layer_list import Layered
from kagent.networks.legacy import Legacy


def clone(network: Any) -> Any:
    """A second network of the same configuration.

    Layers that have weights already, such as those of a pretrained backbone, and layers with state beside their weights,
    such as an adapted `keras.layers.Normalization`, give them to their twins; whether they are frozen goes along. Layers
    without weights yet get their own. Parts of `kagent.networks` without Keras layers are returned as they are.

    Raises:
        ValueError: A Keras model or layer that cannot be made again from its configuration.
    """
    if isinstance(network, list | tuple):
        return [clone(layer) for layer in network]
    if isinstance(network, dict) and "class_name" not in network:
        return {name: clone(value) for name, value in network.items()}
    if isinstance(network, Layered):
        return Layered([clone(layer) for layer in network.layers])
    if isinstance(network, Legacy):
        return Legacy(clone(network.network), network.images)
    if not isinstance(network, keras.layers.Layer):
        return network
    try:
        with _functions_by_name(network) as functions:
            config = rehearsal.apart(keras.saving.serialize_keras_object(network))
        twin = keras.saving.deserialize_keras_object(config, functions)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            "`network` is needed more than once (targets, critics) but cannot be made again from its configuration: "
            "register the class with keras.saving.register_keras_serializable and give it a get_config. "
            f"Received: {network!r}"
        ) from error
    rehearsal.hand_on(network, twin)
    if network.built and not twin.built:
        twin.kagent_original = lambda: network  # a function, through which Keras does not look for layers
    else:
        copy_state(network, twin)
    return twin


@contextlib.contextmanager
def _functions_by_name(network: Any) -> Iterator[dict[str, Any]]:
    # Keras would write the code of a Lambda's function, which finds none of its module's names again.
    layers = [layer for layer, _ in _pairs(network, network, set()) if isinstance(layer, keras.layers.Lambda)]
    functions = {f"kagent_function_{number}": layer.function for number, layer in enumerate(layers)}
    try:
        for layer, name in zip(layers, functions):
            layer.function = _named(name)
        yield functions
    finally:
        for layer, function in zip(layers, functions.values()):
            layer.function = function


def _named(name: str) -> Any:
    def function() -> None:
        """Only its name is written."""

    function.__name__ = name
    return function


def waits(network: Any) -> bool:
    """Whether `network` is a twin that gets its original's state once it is built."""
    return hasattr(network, "kagent_original")


def begin(network: Any) -> None:
    """Gives a twin that was just built the state of its original."""
    if waits(network):
        copy_state(network.kagent_original(), network)
        del network.kagent_original


def copy_state(source: Any, twin: Any) -> None:
    """Gives `twin`, a layer of the same configuration, the state of `source`: weights, and all that its layers save beside
    them (`save_own_variables`, `save_assets`). Layers whose weights have other shapes, or no weights yet, stay as they are.
    """
    for original, copied in _pairs(source, twin, set()):
        store: dict[str, Any] = {}
        original.save_own_variables(store)
        shapes = [tuple(weight.shape) for weight in original.weights]
        if shapes == [tuple(weight.shape) for weight in copied.weights]:
            # In a file these would be data sets, which are read as arrays.
            copied.load_own_variables({name: np.asarray(value) for name, value in store.items()})
            if hasattr(original, "save_assets"):
                with tempfile.TemporaryDirectory() as directory:
                    original.save_assets(directory)
                    copied.load_assets(directory)


def holds_constants(network: Any) -> bool:
    """Whether a layer in `network` has state beside its variables, as an adapted `keras.layers.Normalization` has. A traced
    program holds that as it was when it was traced."""
    return bool(_layers_with_state(network))


@contextlib.contextmanager
def unchanged_by_errors(networks: Sequence[Any]) -> Iterator[None]:
    """Layers in `networks` with state beside their variables get it back where an error is raised inside: Keras has no way
    to hold it back, and a layer of a user's own may keep it anywhere. It is what they give to `save_own_variables`."""
    before = [(layer, _own_state(layer)) for network in networks for layer in _layers_with_state(network)]
    try:
        yield
    except BaseException:
        for layer, state in before:
            layer.load_own_variables(state)
        raise


def _own_state(layer: Any) -> dict[str, np.ndarray]:
    store: dict[str, Any] = {}
    layer.save_own_variables(store)
    return {name: np.asarray(value).copy() for name, value in store.items()}


def _layers_with_state(network: Any) -> list[Any]:
    return [layer for layer, _ in _pairs(network, network, set()) if _keeps_state(layer)]


def _keeps_state(layer: Any) -> bool:
    cls = type(layer)
    if cls.__module__.partition(".")[0] == "keras":
        return hasattr(layer, "finalize_state")
    return isinstance(layer, keras.layers.Layer) and cls.load_own_variables is not keras.layers.Layer.load_own_variables


def _pairs(source: Any, twin: Any, seen: set[int]) -> Iterator[tuple[Any, Any]]:
    # Layers inside come first: the state of a composite may be made of theirs.
    if id(source) in seen or type(source) is not type(twin):
        return
    seen.add(id(source))
    if isinstance(source, keras.layers.Layer):
        others = vars(twin)
        for name, value in vars(source).items():
            if name in others:
                yield from _pairs(value, others[name], seen)
        yield source, twin
    elif isinstance(source, dict):
        for name, value in source.items():
            if name in twin:
                yield from _pairs(value, twin[name], seen)
    elif isinstance(source, list | tuple):
        for one, other in zip(source, twin):
            yield from _pairs(one, other, seen)
