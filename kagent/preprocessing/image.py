"""Layers for images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from kagent.preprocessing import layer
from kagent.preprocessing.equations import LUMINANCE, luminance, resize_bilinear
from kagent.preprocessing.layer import LAYERS, Bound, Function, Layer
from kagent.spaces import images


@LAYERS.register()
@dataclasses.dataclass(frozen=True)
class Image(Layer):
    """Another size, by bilinear interpolation without anti-aliasing, and one channel in place of several.

    Of states `(rows, columns, channels)`, `(channels, rows, columns)` or `(rows, columns)`; the result has the same order. An
    image of integers stays one: values are rounded, and the networks go on to take what is uint8 for an image.

    Args:
        height, width: Pixels. One alone keeps the other in proportion; None for both keeps the size.
        grayscale: True: the luminance of red, green and blue (0.2989, 0.587, 0.114), in a single channel. Or such a weight
            for each channel.
        data_format: "channels_last", "channels_first", or "auto": the one that the shape says (`kagent.spaces.images.read`), last
            where it does not.

    Raises:
        ValueError: No image; or a number of channels unlike that of the weights.
    """

    height: int | None = None
    width: int | None = None
    grayscale: Any = False
    data_format: str = "auto"

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, layer.integer(value, f"image.{name}", 1))
        images.check_data_format(self.data_format, "image.data_format")
        if not isinstance(self.grayscale, bool):
            found = layer.numbers_of(self.grayscale, "image.grayscale")
            if not isinstance(found, tuple) or any(isinstance(part, tuple) for part in found):
                raise ValueError(
                    f"`image.grayscale` must be True, False or a weight per channel. Received: {self.grayscale!r}"
                )
            object.__setattr__(self, "grayscale", found)

    def bind(self, space: gymnasium.Space) -> Bound:
        space = layer.floats(space)
        if len(space.shape) not in (2, 3):
            raise ValueError(f"needs an image of shape (rows, columns, channels) or (rows, columns). Received: {space}")
        if self._data_format(space.shape) == "channels_last":
            return Function(*self._bind(space))
        made, apply = self._bind(_moved(space, 0, -1))
        return Function(_moved(made, -1, 0), lambda x: np.moveaxis(apply(np.moveaxis(x, 1, -1)), -1, 1))

    def _data_format(self, shape: tuple[int, ...]) -> str:
        if len(shape) == 2:
            return "channels_last"
        count = 3 if self.grayscale is True else len(self.grayscale or ())
        if self.data_format == "auto" and shape[-1] == count:
            return "channels_last"
        try:
            layout = images.read(shape, self.data_format)
        except ValueError:
            return "channels_last"
        return "channels_last" if layout is None else layout.data_format

    def _bind(self, space: gymnasium.spaces.Box) -> tuple[gymnasium.spaces.Box, Callable[[np.ndarray], np.ndarray]]:
        """The space of results, and the function that makes them, with channels last."""
        rank = len(space.shape)
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

        return made, apply

    def _size(self, rows: int, columns: int) -> tuple[int, int]:
        height, width = self.height, self.width
        if height is None:
            height = rows if width is None else max(1, round(width * rows / columns))
        if width is None:
            width = columns if self.height is None else max(1, round(height * columns / rows))
        return height, width


def _moved(space: gymnasium.spaces.Box, source: int, destination: int) -> gymnasium.spaces.Box:
    low, high = (np.moveaxis(bound, source, destination) for bound in (space.low, space.high))
    return gymnasium.spaces.Box(low, high, dtype=space.dtype.type)


def _nextafter(bound: np.ndarray, towards: float, weights: Any) -> np.ndarray:
    # A sum of products may be rounded beyond that of the bounds.
    return np.nextafter(bound.astype(np.float32), np.float32(towards)).astype(np.float64) if weights else bound
