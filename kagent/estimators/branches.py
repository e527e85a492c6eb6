"""What a model function builds for EVAL or PREDICT, computed with what it learned for TRAIN."""

from __future__ import annotations

import re
from typing import Any

import keras
import tensorflow as tf

_NUMBER = re.compile(r"^(.*?)(?:_(\d+))?$")


class Branch:
    """Predictions of a model function's call for another mode than TRAIN.

    That call makes layers of its own. Each of them is computed with the values of the layer that the call for TRAIN made in
    its place: the one of the same name, or where Keras has named them, of the same place among those of its class. A layer
    that both calls use is the same anyway.

    Args:
        model: What the call predicts.
        trained: The models of the call for TRAIN.
        mode: For messages.

    Raises:
        ValueError: A layer with weights for which there is none in TRAIN.
    """

    def __init__(self, model: keras.Model, trained: list[keras.Model], mode: str):
        self.model = model
        known: dict[int, Any] = {id(layer): layer for each in trained for layer in each.layers if layer.variables}
        self._mapping = _mapping([layer for layer in model.layers if layer.variables], list(known.values()), mode)

    def __call__(self, leaves: list[Any]) -> dict[str, tf.Tensor]:
        """Predictions for observation leaves in stored form, `(N, ...)`."""
        with keras.StatelessScope(state_mapping=self._mapping):
            result: dict[str, tf.Tensor] = self.model(leaves, training=False)
            return result


def _mapping(own: list[Any], trained: list[Any], mode: str) -> list[tuple[Any, Any]]:
    same = {id(layer) for layer in own} & {id(layer) for layer in trained}
    own = [layer for layer in own if id(layer) not in same]
    by_name = {layer.name: layer for layer in trained}
    by_place = dict(_places([layer for layer in trained if id(layer) not in same]))
    mapping: list[tuple[Any, Any]] = []
    for place, layer in _places(own):
        found = by_name.get(layer.name) or by_place.get(place)
        shapes = [tuple(variable.shape) for variable in layer.variables]
        if found is None or [tuple(variable.shape) for variable in found.variables] != shapes:
            raise ValueError(
                f"`model_fn` makes a layer for {mode!r}, {layer.name!r} with weights of {shapes}, to which none for "
                "'train' corresponds: nothing has trained it. Name layers alike in every mode, and make them in the same order"
            )
        mapping += zip(layer.variables, (variable.value for variable in found.variables))
    return mapping


def _places(layers: list[Any]) -> list[tuple[tuple[str, int], Any]]:
    # By class's name, and the place among these in the order in which they were made, which Keras numbers.
    counts: dict[str, int] = {}
    found = []
    for layer in sorted(layers, key=_number):
        base = _NUMBER.match(layer.name).group(1)  # type: ignore[union-attr]
        found.append(((base, counts.get(base, 0)), layer))
        counts[base] = counts.get(base, 0) + 1
    return found


def _number(layer: Any) -> int:
    return int(_NUMBER.match(layer.name).group(2) or 0)  # type: ignore[union-attr]
