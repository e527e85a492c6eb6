"""Functional models over the leaves of an observation: inputs, encoding, a network, heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from kagent.networks.cloning import begin, waits
from kagent.networks.layered import Layered
from kagent.networks.layers import OneHot
from kagent.networks.trunks import Auto, Seeds, dense
from kagent.spaces import Leaf, Structure


def functional(
    network: Any,
    observation: Structure,
    heads: Callable[[Any], list[Any]],
    seeds: Seeds,
    name: str,
    skip: tuple[int, ...] = (),
    action: Structure | None = None,
) -> keras.Model:
    """A functional model from stored-form leaves to heads.

    Args:
        network: A part of `networks.trunks`, or a Keras layer or model that maps the encoded observation (nested as
            the space; one tensor if it is not nested) to features.
        observation: The observation's leaves.
        heads: Features `(N, F)` to the list of outputs.
        seeds: Gives a new seed at each call.
        name: The model's name.
        skip: Indices of observation leaves the network does not see (an action mask).
        action: With it, the model also takes canonical action leaves, after the observation's: a critic Q(s, a). A Keras
            layer gets observation and action side by side if it takes them, else the observation alone; its features
            and the action then go through a dense layer of 256 ReLU.

    Returns:
        Inputs: a list, `(N, *leaf.shape)` in stored dtypes. Outputs: a list, `(N, width)` each.

    Raises:
        ValueError: The network's output is not of rank 2.
    """
    with keras.name_scope(name):  # so that variables of two roles never share a path
        inputs = [_input(leaf, f"observation_{i}") for i, leaf in enumerate(observation.leaves)]
        encoded = [encode(leaf, x) for leaf, x in zip(observation.leaves, inputs)]
        actions: list[Any] = []
        if action is not None:
            for i, leaf in enumerate(action.leaves):
                dtype = "float32" if leaf.kind == "box" else leaf.stored_dtype.name
                x = keras.Input(leaf.shape, dtype=dtype, name=f"action_{i}")
                inputs.append(x)
                if leaf.is_discrete:
                    actions.append(OneHot(_nvec(leaf))(x))
                else:
                    actions.append(keras.layers.Reshape((1,))(x) if leaf.shape == () else x)
        if isinstance(network, keras.layers.Layer):
            seen = observation.unflatten(encoded)
            features = _joined(network, seen, actions, seeds) if actions else network(seen)
            begin(network)
        else:
            parts = [x for i, x in enumerate(encoded) if i not in skip]
            if isinstance(network, Layered):
                names = [leaf.name or "state" for i, leaf in enumerate(observation.leaves) if i not in skip]
                names += [leaf.name or "action" for leaf in action.leaves] if action is not None else []
                features = network.features(parts + actions, seeds, names)
            elif isinstance(network, Auto):
                features = network.features(parts + actions, seeds, len(parts))
            else:
                features = network.features(parts + actions, seeds)
        if len(features.shape) != 2:
            raise ValueError(
                f"`network` must map a batch of observations to features of shape (batch, n). Received: {features.shape}"
            )
        model = keras.Model(inputs, heads(features), name=name)
    model.kagent_features = lambda: features  # a function, through which Keras does not look for layers
    return model


def features_of(model: keras.Model) -> Any:
    """The symbolic features `(N, F)` in a model that `functional` made: what its heads start from."""
    return model.kagent_features()


def _joined(network: Any, seen: Any, actions: list[Any], seeds: Seeds) -> Any:
    """Features of observation and action. A network made for observations alone keeps to them: its features and the
    action then meet in one more dense layer, for values that are linear in the action would be of little use."""
    flat = [_flat(x) for x in actions]
    if not isinstance(seen, dict | tuple) and not waits(network):
        try:
            return network(keras.layers.Concatenate()([_flat(seen), *flat]))
        except (TypeError, ValueError):
            pass  # built for another input, or for images
    return dense(keras.layers.Concatenate()([network(seen), *flat]), 256, "relu", "joint", "fan_in", 1.0, seeds)


def _flat(x: Any) -> Any:
    return x if len(x.shape) == 2 else keras.layers.Flatten()(x)


def _input(leaf: Leaf, name: str) -> Any:
    return keras.Input(leaf.shape, dtype=leaf.stored_dtype.name, name=name)


def _nvec(leaf: Leaf) -> list[int]:
    assert leaf.nvec is not None
    return [int(n) for n in leaf.nvec.ravel()]


def encode(leaf: Leaf, x: Any) -> Any:
    """Stored form to floats: one-hot codes, uint8 images to [0, 1], other numbers as they are; rank at least 2."""
    if leaf.is_discrete:
        return OneHot(_nvec(leaf))(x)
    if leaf.is_image:
        return keras.layers.Rescaling(1.0 / 255.0)(x)
    if leaf.stored_dtype.name != "float32":
        x = keras.layers.Rescaling(1.0)(x)
    return keras.layers.Reshape((1,))(x) if leaf.shape == () else x
