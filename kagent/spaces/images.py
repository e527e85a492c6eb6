"""Which axes of an array are the rows, the columns and the channels of an image."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

Shape = tuple[int, ...]
DATA_FORMATS = ("auto", "channels_last", "channels_first")
_FEW = (1, 3, 4)  # channels of most images: luminance or depth, colours, colours and opacity


@dataclasses.dataclass(frozen=True)
class Layout:
    """An array as an image.

    Attributes:
        shape: Of the array: `(height, width)`, `(height, width, channels)` or `(channels, height, width)`, perhaps with
            axes of frames before these.
        data_format: `"channels_last"` or `"channels_first"`: where the channels of a frame are.
    """

    shape: Shape
    data_format: str

    @property
    def order(self) -> Shape:
        """The array's axes as rows, columns, frames and channels."""
        rank = len(self.shape)
        if rank == 2:
            return (0, 1)
        frames, (first, second, third) = tuple(range(rank - 3)), range(rank - 3, rank)
        return (
            (second, third, *frames, first) if self.data_format == "channels_first" else (first, second, *frames, third)
        )

    @property
    def is_ordered(self) -> bool:
        """Whether the array's axes have that order already."""
        return self.order == tuple(range(len(self.shape)))

    @property
    def size(self) -> tuple[int, int, int]:
        """Height, width and channels; every frame has channels of its own, those of the first frame come first."""
        height, width, *rest = (self.shape[axis] for axis in self.order)
        return height, width, math.prod(rest)

    def __str__(self) -> str:
        height, width, channels = self.size
        return f"{self.shape} read as height {height} x width {width} x channels {channels}"


def check_data_format(value: Any, argument: str) -> str:
    """The name of a data format, checked.

    Raises:
        ValueError: None of `DATA_FORMATS`.
    """
    if value not in DATA_FORMATS:
        raise ValueError(f"`{argument}` must be one of {DATA_FORMATS}. Received: {value!r}")
    result: str = value
    return result


def read(shape: Shape, data_format: str = "auto", argument: str = "data_format", least: int = 1) -> Layout | None:
    """An array as an image.

    "auto" takes what the shape says. Two equal neighbours are the sides of a square, and the third axis is the channels. Else
    the channels are the first or the last axis, whichever has 1, 3 or 4 entries, or at most half as many as both others. A
    shape that says both, or nothing, is ambiguous.

    Args:
        shape: Of rank 2, one channel, or of rank 3; of higher rank, the last three axes are one frame's.
        data_format: One of `DATA_FORMATS`.
        argument: The name of `data_format` in messages.
        least: Pixels on the shorter side of an image that is worth to be one.

    Returns:
        The layout; None where it has a side shorter than `least`, in at least one reading of an ambiguous shape.

    Raises:
        ValueError: "auto", and the shape is ambiguous.

    Example:

    >>> read((4, 84, 84)).size, read((4, 64, 64, 3)).size
    ((84, 84, 4), (64, 64, 12))
    """
    named = ("channels_last",) if len(shape) == 2 else _formats(shape[-3:]) if data_format == "auto" else (data_format,)
    layouts = [Layout(shape, name) for name in named]
    if any(min(layout.size[:2]) < least for layout in layouts):
        return None
    if len(layouts) == 1:
        return layouts[0]
    raise ValueError(
        f"`{argument}` must say which axis of an image of shape {shape} has the channels. Received: {data_format!r}. "
        "Allowed: 'channels_last', 'channels_first'"
    )


def _formats(frame: Shape) -> tuple[str, ...]:
    """The data formats that a frame of this shape may have."""
    first, middle, last = frame
    few_first, few_last = first in _FEW, last in _FEW
    if first == middle != last:
        return ("channels_last",) if few_last or not few_first else DATA_FORMATS[1:]
    if middle == last != first:
        return ("channels_first",) if few_first or not few_last else DATA_FORMATS[1:]
    found = [
        name
        for name, channels, few, other in (
            ("channels_last", last, few_last, first),
            ("channels_first", first, few_first, last),
        )
        if few or 2 * channels <= min(middle, other)
    ]
    return tuple(found) if len(found) == 1 else DATA_FORMATS[1:]
