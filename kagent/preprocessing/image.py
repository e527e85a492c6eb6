"""Layers for images."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import numpy as np

from kagent.ops.preprocessing import LUMINANCE, luminance, resize_bilinear
from kagent.preprocessing import layer
from kagent.preprocessing.layer import LAYERS, Bound, Function, Layer


@LAYERS.register()
@dataclasses.dataclass(frozen=True)
class Image(Layer):
    """Another size, by bilinear interpolation without anti-aliasing, and one channel in place of several.

    Of states `(rows, columns, channels)` or `(rows, columns)`. An image of integers stays one: values are rounded, and
    the networks go on to take what is uint8 for an image.

    Args:
        height, width: Pixels. One alone keeps the other in proportion; None for both keeps the size.
        grayscale: True: the luminance of red, green and blue (0.2989, 0.587, 0.114), in a single channel. Or such a weight
            for each channel.

    Raises:
        ValueError: No image; or a number of channels unlike that of the weights.
    """

    height: int | None = None
    width: int | None = None
    grayscale: Any = False

    def __post_init__(self):
        for name in ("height", "width"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, layer.integer(value, f"image.{name}", 1))
        if not isinstance(self.grayscale, bool):
            found = layer.numbers_of(self.grayscale, "image.grayscale")
            if not isinstance(found, tuple) or any(isinstance(part, tuple) for part in found):
                raise ValueError(
                    f"`image.grayscale` must be True, False or a weight per channel. Received: {self.grayscale!r}"
                )
            object.__setattr__(self, "grayscale", found)

    def bind(self, space: gymnasium.Space) -> Bound:
        space = layer.floats(space)
        rank = len(space.shape)
        if rank not in (2, 3):
            raise ValueError(f"needs an image of shape (rows, columns, channels) or (rows, columns). Received: {space}")
        rows, columns = space.shape[:2]
        weights = LUMINANCE if self.grayscale is True else self.grayscale
        channels = space.shape[2] if rank == 3 else 0
        if weights and channels != len(weights):
            received = f"{channels} channels" if channels else "none"
            raise ValueError(
                f"needs an image of {len(weights)} channels for `grayscale`. Received: {received}, {space}"
            )
        height, width = self._size(rows, columns)
        low, high = (bound.reshape(rows, columns, -1) for bound in layer.bounds(space))
        if weights:
            pairs = [np.asarray(weights) * bound for bound in (low, high)]
            low = np.minimum(*pairs).sum(-1, keepdims=True)
            high = np.maximum(*pairs).sum(-1, keepdims=True)
        # Between pixels lie mixtures of them: bounds of a channel are those of all its pixels.
        low, high = low.min((0, 1), keepdims=True), high.max((0, 1), keepdims=True)
        shape = (height, width, low.shape[-1]) if rank == 3 else (height, width)
        low, high = (np.broadcast_to(bound, (height, width, bound.shape[-1])).reshape(shape) for bound in (low, high))
        dtype = np.dtype(space.dtype)
        if dtype.kind == "f":
            made = layer.box(_nextafter(low, -np.inf, weights), _nextafter(high, np.inf, weights))
        else:
            limits = np.iinfo(dtype)
            least, most = max(limits.min, -(2.0**53)), min(limits.max, 2.0**53)
            made = layer.box(np.clip(np.rint(low), least, most), np.clip(np.rint(high), least, most), dtype=dtype)

        def apply(x: np.ndarray) -> np.ndarray:
            x = x.reshape(len(x), rows, columns, -1)
            if weights:
                x = luminance(x, weights)
            x = resize_bilinear(x, height, width)
            if dtype.kind != "f":
                x = np.clip(np.rint(x), least, most).astype(dtype)
            return x.reshape(len(x), *shape)

        return Function(made, apply)

    def _size(self, rows: int, columns: int) -> tuple[int, int]:
        height, width = self.height, self.width
        if height is None:
            height = rows if width is None else max(1, round(width * rows / columns))
        if width is None:
            width = columns if self.height is None else max(1, round(height * columns / rows))
        return height, width


def _nextafter(bound: np.ndarray, towards: float, weights: Any) -> np.ndarray:
    # A sum of products may be rounded beyond that of the bounds.
    return np.nextafter(bound.astype(np.float32), np.float32(towards)).astype(np.float64) if weights else bound
