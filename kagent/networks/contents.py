"""The layers inside of layers and models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras


def layers_of(layer: Any) -> Iterator[keras.layers.Layer]:
    """A layer or model, and all layers inside: also those that a layer of the user's has as an attribute, or in a list of one.

    Example:

    >>> [type(one).__name__ for one in layers_of(keras.layers.Bidirectional(keras.layers.LSTM(2)))][:2]
    ['Bidirectional', 'LSTM']
    """
    waiting, known = [layer], {id(layer)}  # a layer may refer to the one that has it
    while waiting:
        layer = waiting.pop()
        yield layer
        for inner in keras.tree.flatten([getattr(layer, "layers", ()), *vars(layer).values()]):
            if isinstance(inner, keras.layers.Layer) and id(inner) not in known:
                known.add(id(inner))
                waiting.append(inner)
