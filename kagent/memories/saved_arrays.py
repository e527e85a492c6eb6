"""Arrays of a memory's saved state, checked before anything of them is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def counters(source: Any, names: tuple[str, ...]) -> list[int]:
    """The counters in a memory's state.

    Raises:
        ValueError: Not so many integers.
    """
    array = source if isinstance(source, np.ndarray) else np.concatenate(list(source))
    if array.shape != (len(names),) or array.dtype.kind not in "iu":
        raise ValueError(f"Saved memory must have the counters {names}. Received: {array!r}")
    return [int(number) for number in array]


def saved_array(source: Any, name: str, dtype: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    """An array of a memory's state, as `Memory.restore` receives it.

    Args:
        source: The array, or an iterable of its slices.
        name: Its name, for messages.
        dtype, shape: What it must have; None is any length.

    Raises:
        ValueError: Another dtype or shape.
    """
    array = source if isinstance(source, np.ndarray) else np.concatenate([np.asarray(part) for part in source])
    fits = array.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape, array.shape))
    if array.dtype != dtype or not fits:
        raise ValueError(
            f"Saved memory does not fit: {name!r} must be {np.dtype(dtype)} {shape}. "
            f"Received: {array.dtype} {array.shape}"
        )
    return array.copy()


def read_block(target: np.ndarray, name: str, source: Any, rows: int) -> None:
    """Fills the first rows of a block of a `Storage` with those of a saved one.

    Args:
        target: The block, `(at least rows, width)`.
        name: Its name, for messages.
        source: The array, or an iterable of its slices.
        rows: How many there must be.

    Raises:
        ValueError: Another dtype, width or number of rows.
    """
    for begin, end, part in saved_slices(source, name, rows, target.shape[1], target.dtype):
        target[begin:end] = part


def saved_slices(source: Any, name: str, rows: int, width: int, dtype: Any) -> Iterator[tuple[int, int, np.ndarray]]:
    """The slices of a saved block, with the rows at which each begins and ends. Arguments and errors are `read_block`'s."""
    begin = 0
    for part in [source] if isinstance(source, np.ndarray) else source:
        end = begin + len(part)
        if part.shape[1:] != (width,) or part.dtype != dtype or end > rows:
            raise ValueError(
                f"Saved memory does not fit: block {name!r} must be ({rows}, {width}) {dtype}. "
                f"Received: {(end, *part.shape[1:])} {part.dtype}"
            )
        yield begin, end, part
        begin = end
    if begin != rows:
        raise ValueError(f"Saved memory lacks rows: block {name!r} must have {rows}. Received: {begin}")


class Rows:
    """Rows of an array in an order of their own, copied when they are read.

    Args:
        source: The array.
        places: int64 `(N,)`, its rows.
        cuts: Where it may be cut into parts, from 0 on: those of two saves are then the same but for what changed in between.

    Attributes:
        cuts: As given.
    """

    def __init__(self, source: np.ndarray, places: np.ndarray, cuts: np.ndarray):
        self._source, self._places, self.cuts = source, places, cuts

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, part: slice) -> np.ndarray:
        found: np.ndarray = self._source[self._places[part]]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("These rows cannot be had without a copy")
        return np.asarray(self[:], dtype)
