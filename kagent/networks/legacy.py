"""Networks of files that read images otherwise than networks do today."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from kagent.config.registry import Part
from kagent.networks.backbones import NETWORKS, Auto, get, serialize
from kagent.networks.encoding import encode
from kagent.spaces import Leaf

UNNAMED, UNBOUNDED = 1, 3  # ways to read images: of the first files; of files in which only uint8 was scaled


@NETWORKS.register()
@dataclasses.dataclass(frozen=True)
class Legacy(Part):
    """A network that takes images as earlier versions of kagent did, so that the weights of their files go on to mean the same.

    Args:
        network: A network, or what stands for one.
        images: 1 is the way of the first files. Every uint8 array of rank 3 is divided by 255 before any network, a Keras
            model of the user's too. Of every array of rank 3 the last axis is the channels, an image smaller than a kernel is
            padded, and what has more axes is a vector. 3 is the way of today, but for the scale: images of uint8 are divided by the
            largest upper bound of their space, and no others.

    Raises:
        ValueError: A `Legacy` in a `Legacy`; another number.
    """

    network: Any
    images: int = UNNAMED

    def __post_init__(self) -> None:
        inner = self.network
        if isinstance(inner, Legacy) or (isinstance(inner, dict) and str(inner.get("type")).lower() == "legacy"):
            raise ValueError(f"`network` Legacy must hold another network. Received: {inner!r}")
        if self.images not in (UNNAMED, UNBOUNDED) or isinstance(self.images, bool):
            raise ValueError(f"`network.images` must be {UNNAMED} or {UNBOUNDED}. Received: {self.images!r}")
        object.__setattr__(self, "network", get(inner, Auto()))

    def get_part(self) -> dict[str, Any]:
        """`{"type": name, **arguments}`, JSON-ready."""
        part = {"type": "Legacy", "network": serialize(self.network)}
        return part if self.images == UNNAMED else {**part, "images": self.images}


def is_scaled(leaf: Leaf) -> bool:
    """Whether a `Legacy` network of the first files is given a leaf divided by 255."""
    return leaf.kind == "box" and len(leaf.shape) == 3 and leaf.dtype == np.uint8


def legacy_scale(leaf: Leaf, x: Any) -> Any:
    """Stored form to floats, as `Legacy` of the first files says."""
    return keras.layers.Rescaling(1.0 / 255.0)(x) if is_scaled(leaf) else encode(leaf, x)


def as_of_old(leaf: Leaf, images: int | None) -> Leaf:
    """A leaf whose `divisor` is that of a way to read images; None: of today's."""
    if images != UNBOUNDED or not leaf.is_image:
        return leaf
    if leaf.dtype != np.uint8 or leaf.high is None:
        return dataclasses.replace(leaf, keeps_scale=True)
    return dataclasses.replace(leaf, low=np.zeros(leaf.shape), high=np.full(leaf.shape, max(int(leaf.high.max()), 1)))
