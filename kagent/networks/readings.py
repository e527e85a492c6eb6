"""How a network takes the images of an observation, in words: for summaries, and for files to compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kagent.networks.backbones import CNN, LEAST_UNPADDED, Auto
from kagent.networks.encoding import is_as_declared, plain_layout
from kagent.networks.layer_list import Layered
from kagent.networks.legacy import UNBOUNDED, UNNAMED, Legacy, as_of_old, is_scaled
from kagent.networks.residual import Impala
from kagent.spaces import Leaf, Structure
from kagent.spaces.images import Layout

_SHOWN = 8  # different divisors in words


def reading(network: Any, leaf: Leaf) -> str:
    """What a network is given of an image.

    Args:
        network: A part of `kagent.networks`, a Keras layer or model; None: a function.
        leaf: An observation leaf that is an image.

    Example:

    >>> import gymnasium, numpy as np
    >>> from kagent.spaces import Structure
    >>> (leaf,) = Structure(gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8)).leaves
    >>> reading(Auto(), leaf)
    '(4, 84, 84) read as height 84 x width 84 x channels 4, divided by 255'
    """
    if isinstance(network, Legacy):
        return _former_reading(network.network, leaf, network.images)
    if network is None or isinstance(network, keras.layers.Layer):
        return _words(network, leaf, None, 1.0)
    if isinstance(network, Layered):
        return _words(network, leaf, None, leaf.divisor) + _exceptions(network, leaf)
    return _words(
        network, leaf, network.layout_of(leaf) if isinstance(network, Auto | CNN | Impala) else None, leaf.divisor
    )


def _exceptions(network: Layered, leaf: Leaf) -> str:
    layers = network.layers
    own = any(isinstance(layer, keras.layers.Layer) for layer in layers)
    text = "; by Keras layers as the space declares it" if own and not is_as_declared(leaf) else ""
    spatial = any(isinstance(layer, dict) and layer["type"] in ("conv2d", "pool2d") for layer in layers)
    layout = plain_layout(leaf) if spatial else None
    return text if layout is None or layout.is_ordered else f"{text}; by conv2d and pool2d {layout}"


def _words(core: Any, leaf: Leaf, layout: Layout | None, divisor: Any) -> str:
    scaled = f", divided by {_divisor(divisor)}" if np.any(divisor != 1.0) else ""
    if core is None or isinstance(core, keras.layers.Layer):
        return f"{leaf.shape} as the space declares it{scaled}"
    if isinstance(core, Layered):
        return f"{leaf.shape} layer by layer{scaled}"
    if isinstance(core, Auto | CNN | Impala) and layout is not None:
        return f"{layout}{scaled}"
    return f"{leaf.shape} as a vector of {leaf.size}{scaled}"


def _divisor(divisor: Any) -> str:
    numbers = [f"{number:.7g}" for number in dict.fromkeys(np.ravel(divisor).tolist())]
    found = " and ".join(numbers) if len(numbers) <= _SHOWN else f"{len(numbers)} numbers"
    return found if len(numbers) == 1 else f"{found}, each number by its own bound"


def note_images(model: keras.Model, network: Any, leaves: Sequence[Leaf]) -> None:
    """Notes on a model how its network takes the images among observation leaves; see `images_of`."""
    images = [leaf for leaf in leaves if leaf.is_image]
    now = {leaf.name: reading(network, leaf) for leaf in images}
    core = network.network if isinstance(network, Legacy) else network
    found: dict[int | None, dict[str, str]] = {None: now}
    for way in (UNNAMED, UNBOUNDED):
        found[way] = {leaf.name: _former_reading(core, leaf, way) for leaf in images}
    model.kagent_images = lambda way: dict(found[way])  # a function, which Keras takes for no state


def images_of(model: keras.Model, way: int | None = None) -> dict[str, str]:
    """How a model takes the images among its observations, by their names; of models without notes nothing.

    Args:
        model: That `functional` made.
        way: How it would as a `Legacy` network with such `images`; None: as it does.
    """
    noted = getattr(model, "kagent_images", None)
    return {} if noted is None else noted(way)


def _former_reading(core: Any, leaf: Leaf, way: int) -> str:
    if way == UNBOUNDED:
        return reading(core, as_of_old(leaf, way))
    divisor = 255 if is_scaled(leaf) else 1
    layout = Layout(leaf.shape, "channels_last") if len(leaf.shape) == 3 else None
    padded = isinstance(core, Auto) and layout is not None and min(layout.size[:2]) < LEAST_UNPADDED
    return _words(core, leaf, layout, divisor) + (", padded" if padded else "")


def sees_images(network: Any, observation: Structure) -> bool:
    """Whether a network's parts take leaves of the observation for images.

    Args:
        network: A part of `kagent.networks`, or a Keras layer, which may do so with all that are images by their space.
        observation: The leaves.
    """
    if isinstance(network, Auto | CNN | Impala):
        return any(network.layout_of(leaf) is not None for leaf in observation.leaves)
    if isinstance(network, Layered):
        kinds = {
            layer.get("type") if isinstance(layer, dict) else type(layer).__name__.lower() for layer in network.layers
        }
        return "conv2d" in kinds
    return isinstance(network, keras.layers.Layer) and any(leaf.is_image for leaf in observation.leaves)
