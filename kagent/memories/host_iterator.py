"""Elements that are drawn on the host, for memories whose draws are no matter of a few gathers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf


class HostBatches:
    """Iterator of packed elements, each drawn when it is asked for.

    Args:
        draw: Makes element number n, a dict of arrays.
        start: Number of the first one.
        element_spec: Shapes and dtypes of an element; where sizes vary, of one of them.
    """

    def __init__(self, draw: Callable[[int], dict[str, np.ndarray]], start: int, element_spec: dict[str, Any]):
        self._draw, self._number = draw, start
        self.element_spec = element_spec

    def __iter__(self) -> HostBatches:
        return self

    def __next__(self) -> dict[str, tf.Tensor]:
        element = self._draw(self._number)
        self._number += 1
        return {name: tf.convert_to_tensor(array) for name, array in element.items()}


def generator_of(seed: int, number: int) -> np.random.Generator:
    """The generator that element `number` of a sequence is drawn with."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, number])))
