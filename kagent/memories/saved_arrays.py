"""Arrays of a memory's saved state, checked before anything of them is used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator
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
        dtype, shape: What it must have; None is an integer dtype, or any length.

    Raises:
        ValueError: Another dtype or shape.
    """
    source = source.copy() if isinstance(source, Rows) else source
    array = source if isinstance(source, np.ndarray) else np.concatenate([np.asarray(part) for part in source])
    fits = array.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape, array.shape))
    known = array.dtype.kind == "i" if dtype is None else array.dtype == dtype
    if not known or not fits:
        raise ValueError(
            f"Saved memory does not fit: {name!r} must be {'integers' if dtype is None else np.dtype(dtype)} {shape}. "
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
    source = source.copy() if isinstance(source, Rows) else source
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


Mark = Callable[[int, int], Hashable]  # of the rows from one number to before another: equal marks are equal rows


def ring_mark(filling: object, total: int, capacity: int) -> Mark:
    """What says, without reading them, whether rows of a ring are those of an earlier save: which were written into them.

    Args:
        filling: Another object whenever rows were written otherwise than in turn.
        total: Rows written so far, in turn.
        capacity: Rows of the ring.

    Example:

    >>> before, after = ring_mark("here", 9, 10), ring_mark("here", 14, 10)  # rows 9 and 0 to 3 are new
    >>> [before(*part) == after(*part) for part in ((0, 4), (3, 6), (4, 8))]
    [False, False, True]
    """
    newest, cursor = total - 1, total % capacity

    def mark(begin: int, end: int) -> Hashable:
        first, last = (newest - (newest - row) % capacity for row in (begin, end - 1))
        return filling, first, last, cursor if begin < cursor < end else begin

    return mark


class Rows:
    """Rows of an array in an order of their own, copied when they are read.

    Args:
        source: The array.
        places: int64 `(N,)`, its rows.
        cuts: Where it may be cut into parts, from 0 on: those of two saves are then the same but for what changed in between.
        stamps: int64, another number for each row of the source whenever it is written.
        filling: Another object for each source.

    Attributes:
        cuts: As given.
    """

    def __init__(self, source: np.ndarray, places: np.ndarray, cuts: np.ndarray, stamps: np.ndarray, filling: object):
        self._source, self._places, self.cuts = source, places, cuts
        self._stamps, self._filling = stamps, filling

    def mark(self, begin: int, end: int) -> Hashable:
        """See `ring_mark`."""
        stamps = np.ascontiguousarray(self._stamps[self._places[begin:end]])
        return self._filling, hashlib.sha256(stamps.tobytes()).digest()

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, part: slice) -> np.ndarray:
        found: np.ndarray = self._source[self._places[part]]
        return found

    def copy(self) -> np.ndarray:
        """All of them, as an array."""
        return self[:]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("These rows cannot be had without a copy")
        return np.asarray(self[:], dtype)
