"""Networks of files that say nothing of how images are read."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from kagent.config.registry import Part
from kagent.networks.backbones import NETWORKS, Auto, get, serialize
from kagent.networks.encoding import encode
from kagent.spaces import Leaf


@NETWORKS.register()
@dataclasses.dataclass(frozen=True)
class Legacy(Part):
    """A network that takes images as all did in the first files, so that their weights go on to mean the same.

    Every uint8 array of rank 3 is divided by 255 before any network, a Keras model of the user's too. Of every array of
    rank 3 the last axis is the channels, an image smaller than a kernel is padded, and what has more axes is a vector.

    Args:
        network: A network, or what stands for one.

    Raises:
        ValueError: A `Legacy` in a `Legacy`.
    """

    network: Any

    def __post_init__(self) -> None:
        inner = self.network
        if isinstance(inner, Legacy) or (isinstance(inner, dict) and str(inner.get("type")).lower() == "legacy"):
            raise ValueError(f"`network` Legacy must hold another network. Received: {inner!r}")
        object.__setattr__(self, "network", get(inner, Auto()))

    def get_part(self) -> dict[str, Any]:
        """`{"type": name, **arguments}`, JSON-ready."""
        return {"type": "Legacy", "network": serialize(self.network)}


def is_scaled(leaf: Leaf) -> bool:
    """Whether a `Legacy` network is given a leaf divided by 255."""
    return leaf.kind == "box" and len(leaf.shape) == 3 and leaf.dtype == np.uint8


def legacy_scale(leaf: Leaf, x: Any) -> Any:
    """Stored form to floats, as `Legacy` says."""
    return keras.layers.Rescaling(1.0 / 255.0)(x) if is_scaled(leaf) else encode(leaf, x)
