"""Observation leaves as symbolic floats: what networks are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from kagent.networks.layers import OneHot
from kagent.spaces import Leaf, images
from kagent.spaces.images import Layout


class State(NamedTuple):
    """An observation leaf on its way to the layer that is the first to compute something of it.

    Attributes:
        declared: With the numbers and axes that the space declares.
        scaled: An image divided by its bounds, else the same.
        picture: An image `(N, height, width, channels)`, scaled; None: not known to be one.
    """

    declared: Any
    scaled: Any
    picture: Any = None

    def rearranged(self, function: Callable[[Any, str], Any]) -> State:
        """Both forms after `function`, which takes a tensor and a suffix for names."""
        return State(function(self.declared, ""), function(self.scaled, "_scaled"))


def encode(leaf: Leaf, x: Any) -> Any:
    """Stored form to floats as the space declares them: one-hot codes of discrete leaves, numbers as they are; rank at
    least 2."""
    if leaf.is_discrete:
        return OneHot(nvec_of(leaf))(x)
    if leaf.stored_dtype.name != "float32":
        x = keras.layers.Rescaling(1.0)(x)
    return keras.layers.Reshape((1,))(x) if leaf.shape == () else x


def scale(leaf: Leaf, x: Any) -> Any:
    """As `encode`, but images divided by their bounds; see `Leaf.divisor`."""
    return encode(leaf, x) if is_as_declared(leaf) else keras.layers.Rescaling(1.0 / leaf.divisor)(x)


def is_as_declared(leaf: Leaf) -> bool:
    """Whether `scale` leaves the numbers of a leaf as they are."""
    return bool(np.all(leaf.divisor == 1.0))


def picture(layout: Layout, x: Any) -> Any:
    """A tensor of a layout as `(N, height, width, channels)`."""
    if not layout.is_ordered:
        x = keras.layers.Permute([axis + 1 for axis in layout.order])(x)
    return x if len(layout.shape) == 3 else keras.layers.Reshape(layout.size)(x)


def state_of(leaf: Leaf, x: Any) -> Any:
    """A `State` of an image, whose shape may not say where the channels are: then there is no picture. Of others the tensor."""
    declared = encode(leaf, x)
    scaled = declared if is_as_declared(leaf) else scale(leaf, x)
    layout = plain_layout(leaf)
    if layout is None and scaled is declared:
        return declared
    return State(declared, scaled, None if layout is None else picture(layout, scaled))


def plain_layout(leaf: Leaf) -> Layout | None:
    """How the shape of a leaf alone says that it is read as an image; None: it is none, or does not say it."""
    try:
        return images.read(leaf.shape) if leaf.is_image else None
    except ValueError:
        return None


def nvec_of(leaf: Leaf) -> list[int]:
    """Number of values of each component of a discrete leaf."""
    assert leaf.nvec is not None
    return [int(n) for n in leaf.nvec.ravel()]
