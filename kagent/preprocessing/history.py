"""Layers that remember earlier values of the episode."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import gymnasium
import numpy as np

from kagent.preprocessing import layer
from kagent.preprocessing.layer import LAYERS, Bound, Layer, Past, Rows
from kagent.spaces import Structure, images

_LONGEST = 1 << 12  # values side by side
_MOST_VALUES = 1 << 24  # of one state, all together


class Deltas(Bound):
    """`Deltafier`, of one space. It remembers `last`."""

    def __init__(self, space: gymnasium.spaces.Box, axis: int | None):
        low, high = layer.bounds(space)
        ends = low - high, high - low
        self.axis = axis
        if axis is not None:
            ends = tuple(np.concatenate(pair, axis) for pair in zip((low, high), ends))  # type: ignore[assignment]
        super().__init__(layer.box(*ends))
        self.remembers = {"last": (space.shape, np.dtype(np.float64))}

    def __call__(self, x: np.ndarray, past: Past, rows: Rows, fresh: np.ndarray, learn: bool) -> np.ndarray:
        x = x.astype(np.float64)
        delta = x - past["last"][rows]
        delta[fresh] = 0.0
        past["last"][rows] = x
        return delta if self.axis is None else np.concatenate([x, delta], self.axis + 1)


@LAYERS.register()
@dataclasses.dataclass(frozen=True)
class Deltafier(Layer):
    """The value minus the one before it; zeros at the first timestep of an episode.

    Args:
        concatenate: False, or an axis of the state, counted without that of environments: there the value itself comes
            first, and the difference is joined to it.
    """

    concatenate: Any = False

    def __post_init__(self) -> None:
        if self.concatenate is not False:
            layer.integer(self.concatenate, "deltafier.concatenate")

    def bind(self, space: gymnasium.Space) -> Bound:
        space = layer.floats(space)
        if self.concatenate is False:
            return Deltas(space, None)
        return Deltas(space, layer.axis_of(int(self.concatenate), len(space.shape), "concatenate"))


class Stack(Bound):
    """`Sequence`, of one space. It remembers `values`, the oldest first."""

    def __init__(self, space: gymnasium.Space, length: int, axis: int, concatenate: bool):
        self.length, self.axis, self.concatenate = length, axis, concatenate
        super().__init__(self._stacked(space))
        self.remembers = {"values": ((length, *(space.shape or ())), Structure(space).leaves[0].stored_dtype)}
        if isinstance(space, gymnasium.spaces.Box):
            self.remembers["values"] = (self.remembers["values"][0], np.dtype(space.dtype))

    def __call__(self, x: np.ndarray, past: Past, rows: Rows, fresh: np.ndarray, learn: bool) -> np.ndarray:
        values = np.concatenate([past["values"][rows][:, 1:], x[:, None]], 1)
        values[fresh] = x[fresh][:, None]
        past["values"][rows] = values
        return self._join([values[:, step] for step in range(self.length)], self.axis + 1)

    def _join(self, parts: list[np.ndarray], axis: int) -> np.ndarray:
        return np.concatenate(parts, axis) if self.concatenate else np.stack(parts, axis)

    def _stacked(self, space: gymnasium.Space) -> gymnasium.Space:
        spaces = gymnasium.spaces

        def join(value: Any) -> np.ndarray:
            return self._join([np.asarray(value)] * self.length, self.axis)

        if isinstance(space, spaces.Box):
            return layer.box(join(space.low), join(space.high), dtype=space.dtype)
        leaf = Structure(space).leaves[0]
        if isinstance(space, spaces.MultiBinary):
            shape = join(leaf.nvec).shape
            return spaces.MultiBinary(shape if len(shape) > 1 else shape[0])
        nvec, start = join(leaf.nvec), join(leaf.start)
        return spaces.MultiDiscrete(nvec, dtype=leaf.dtype.type, start=start)


@LAYERS.register("frame_stack")
@dataclasses.dataclass(frozen=True)
class Sequence(Layer):
    """The last values side by side, the oldest first; the first one of an episode takes the place of those before it.

    Of all states, whatever their type.

    Args:
        length: How many, > 1.
        axis: Axis of the state, counted without that of environments, that they are joined along, or that they become. None:
            where they are joined, the channels of an image whose shape plainly has them first (`kagent.spaces.images.read`); else
            the last.
        concatenate: Whether they are joined along an axis that there is; else there is a new one.
    """

    length: int
    axis: int | None = None
    concatenate: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", layer.integer(self.length, "sequence.length", 2))
        if self.length > _LONGEST:
            raise ValueError(f"`sequence.length` must be at most {_LONGEST}. Received: {self.length}")
        if self.axis is not None:
            object.__setattr__(self, "axis", layer.integer(self.axis, "sequence.axis"))
        layer.flag(self.concatenate, "sequence.concatenate")

    def bind(self, space: gymnasium.Space) -> Bound:
        rank = len(space.shape or ())
        if self.concatenate and not rank:
            raise ValueError(f"needs a state with at least one axis, or `concatenate` False. Received: {space}")
        values = math.prod(space.shape or ()) * self.length
        if values > _MOST_VALUES:
            raise ValueError(
                f"needs a `length` with which a state has at most {_MOST_VALUES} values. Received: {values}"
            )
        given = self._own_axis(space) if self.axis is None else self.axis
        axis = layer.axis_of(given, rank if self.concatenate else rank + 1, "axis")
        return Stack(space, self.length, axis, self.concatenate)

    def _own_axis(self, space: gymnasium.Space) -> int:
        if not self.concatenate or not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 3:
            return -1
        try:
            layout = images.read(space.shape)
        except ValueError:
            return -1
        return -1 if layout is None or layout.data_format == "channels_last" else 0
