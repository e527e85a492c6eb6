"""Single frames of observations that are stacks of them, each stored once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kagent.memories.mapped_files import MappedFile, free_space
from kagent.memories.saved_arrays import Rows, saved_array, saved_slices
from kagent.memories.storage import Column, check_free, free_memory, shared_array, shared_tensor
from kagent.spaces import images

MOST = 32  # frames in one observation
LEAST = 512  # bytes of an observation
_RECENT = 1 << 16  # frames that a new one is compared with
_TRIES = 16  # places that are tried before a fresh one is taken
_CUT = 8 << 20  # bytes of frames between two cuts of a saved pool, about
_CHUNK = 64 << 20  # bytes of frames between two looks at what is free


@tf.function(jit_compile=True, autograph=False)
def _transposed(frames: tf.Tensor) -> tf.Tensor:
    # TensorFlow's kernel takes seven times as long for bytes, and as long as a gradient step of a small network.
    return tf.linalg.matrix_transpose(frames)


def frame_axis(shape: tuple[int, ...]) -> int | None:
    """The axis along which an observation of this shape may be a stack of frames; None: it is none.

    The channels of an image, but not three of them in the last place, which are colours; the first axis of what has another
    rank.

    Args:
        shape: Of the observation.

    Example:

    >>> [frame_axis(shape) for shape in ((4, 84, 84), (84, 84, 4), (84, 84, 3), (4, 64, 64, 3), (8, 200), (200,))]
    [0, 2, None, 0, 0, None]
    """
    if len(shape) < 2:
        return None
    axis = 0
    if len(shape) == 3:
        try:
            layout = images.read(shape)
        except ValueError:
            return None
        axis = 0 if layout is None or layout.data_format == "channels_first" else 2
    count = shape[axis]
    return None if not 2 <= count <= MOST or (axis == 2 and count == 3) else axis


def large_axes(columns: Iterable[Column]) -> dict[str, int | None]:
    """The columns of observations of at least `LEAST` bytes, with the axis of frames of each; None: it is one frame.

    Args:
        columns: Those of whole transitions.
    """
    return {
        column.name: frame_axis(column.shape)
        for column in columns
        if column.name.startswith("observation.") and column.size * np.dtype(column.block).itemsize >= LEAST
    }


def frame_axes(columns: Iterable[Column]) -> dict[str, int]:
    """Those of `large_axes` that may be stacks."""
    return {name: axis for name, axis in large_axes(columns).items() if axis is not None}


class FramePool:
    """The frames of a ring of transitions, and of each transition those that its two observations are made of.

    A frame is stored once as long as it is among the latest `2**16` different ones, whichever transition it comes with: whether
    two frames are the same is decided by their bytes, and nothing depends on how observations overlap. An observation that
    shares no frame with others takes room for all of its own.

    A place is free when the newest transition that refers to it has been overwritten. Address space is reserved for more frames
    than the ring has rows, memory is taken for those that were used.

    Args:
        column: The observation's.
        axis: The one of frames; None: an observation is one frame.
        rows: How many transitions the ring has. They are written in turn, observations before next observations.
        directory: Where the frames are in a file; None: they are in memory.

    Attributes:
        ids: int32 `(rows, 2 * count)`: places of the frames of the observation, then of the next observation.
        frames: `(places, width)`.
        used: Places that were used so far.
    """

    def __init__(self, column: Column, axis: int | None, rows: int, directory: Path | None = None):
        self.column, self.axis, self.rows = column, axis, rows
        self.count = 1 if axis is None else column.shape[axis]
        self.frame = column.shape if axis is None else column.shape[:axis] + column.shape[axis + 1 :]
        self.width = math.prod(self.frame)
        self.ids = shared_array((rows, 2 * self.count), "int32")
        self._size = self.width * np.dtype(column.block).itemsize
        free = free_memory() if directory is None else free_space(directory)
        most = 2 * self.count * rows
        places = most if free is None else min(most, max(rows + 4 * MOST, free // self._size))
        shape, self._chunk = (places, self.width), max(_CHUNK // self._size, 1)
        self._file = None
        if directory is not None:
            self._file = MappedFile(directory, shape, column.block, min(max(rows, self._chunk), places))
        self.frames = shared_array(shape, column.block) if self._file is None else self._file.array
        self._tensors = shared_tensor(self.ids), shared_tensor(self.frames)
        self._last = np.zeros(places, np.int64)  # the number of the newest transition that refers to it, from 1
        # How often any place was written, and how often it was when this place was.
        self._stamp, self._stamps, self._filling = 0, np.zeros(places, np.int64), object()
        self.used = 0
        self.clear()

    def clear(self) -> None:
        """Forgets all frames."""
        self._last[: self.used] = 0
        self.used = self._cursor = 0
        self._written = self._number = 0  # transitions so far, and which of them is written
        self._recent: dict[int, int] = {}  # places, by the hashes of frames
        # Of the environments in the order in which they are written: bytes, places, and the number then.
        self._here: dict[int, tuple[bytes, list[int]]] = {}
        self._led: dict[int, tuple[bytes, list[int], int]] = {}

    # Writing --------------------------------------------------------------------------------------------------------

    def write(self, rows: Any, values: Any, following: bool) -> None:
        """Stores observations of transitions.

        Args:
            rows: Of the ring: an index, a slice or an array.
            values: `(N, *shape)`.
            following: Whether they are next observations, of the transitions whose observations were written last.
        """
        if isinstance(rows, slice):
            rows = range(rows.start, rows.stop)
        elif not isinstance(rows, np.ndarray):
            rows = (rows,)
        stacks = self._split(values, len(rows))
        if not following:
            self._written += len(rows)
        for place, (row, stack) in enumerate(zip(rows, stacks)):
            self._number = self._written - len(rows) + place + 1
            if following:
                self.ids[row, self.count :] = self._next(place, stack.tobytes())
            else:
                self.ids[row, : self.count] = self._own(place, stack.tobytes())

    def write_apart(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Stores next observations of any transitions."""
        for row, stack in zip(rows, self._split(values, len(rows))):
            self.ids[row, self.count :] = self._all(stack.tobytes())

    def _split(self, values: Any, count: int) -> np.ndarray:
        stacks = np.asarray(values, self.frames.dtype).reshape((count, *self.column.shape))
        return stacks[:, np.newaxis] if self.axis is None else np.moveaxis(stacks, self.axis + 1, 1)

    def _own(self, place: int, whole: bytes) -> list[int]:
        # Mostly what the environment's latest transition led to.
        led = self._led.get(place)
        if led is not None and led[0] == whole and led[2] > self._written - self.rows:
            found = led[1]
            self._last[found] = self._number
        else:
            found = self._all(whole)
        self._here[place] = whole, found
        return found

    def _next(self, place: int, whole: bytes) -> list[int]:
        # Mostly the observation's frames but the oldest, and a new one.
        before, found = self._here[place]
        size = self._size
        if before[size:] == whole[:-size]:
            found = [*found[1:], self._find(whole[-size:])]
        else:
            found = self._all(whole)
        self._led[place] = whole, found, self._number
        return found

    def _all(self, whole: bytes) -> list[int]:
        return [self._find(whole[begin : begin + self._size]) for begin in range(0, len(whole), self._size)]

    def _find(self, frame: bytes) -> int:
        """The place of a frame, a new one where it is not known."""
        key = hash(frame)
        place = self._recent.get(key, -1)
        if place < 0 or self.frames[place].tobytes() != frame:
            place = self._free()
            self._stamp = self._stamps[place] = self._stamp + 1
            self.frames[place] = np.frombuffer(frame, self.frames.dtype)
            self._recent[key] = place
            if len(self._recent) > _RECENT:
                del self._recent[next(iter(self._recent))]
        # Next observations are written after the observations of all environments, some of which have higher numbers.
        self._last[place] = max(self._last.item(place), self._number)
        return place

    def _free(self) -> int:
        gone = self._written - self.rows  # of the transitions so far
        if gone > 0:
            for _ in range(min(_TRIES, self.used)):
                place = self._cursor = (self._cursor + 1) % self.used
                if self._last.item(place) <= gone:
                    return place
        if self.used < len(self.frames):
            self.used += 1
            if not self.used % self._chunk:
                self._check_growth()
            return self.used - 1
        free = np.flatnonzero(self._last <= gone)
        if not len(free):
            raise ValueError(
                f"The `memory` has room for {len(self.frames)} frames of {self.column.name!r}, which share fewer of them than "
                "stacks do. Give it a smaller capacity."
            )
        self._cursor = int(free[0])
        return self._cursor

    def _check_growth(self) -> None:
        # Where it grows much faster than stacks make it, what a full ring would take counts.
        if self._file is not None:
            self._file.reserve(min(self.used + self._chunk, len(self.frames)))
            return
        rows = min(self._written, self.rows)
        further = self.used * (self.rows / rows - 1) * self._size if self.used > 3 * rows else 0
        check_free(int(max(further, _CHUNK)), "observations that are no stacks of frames" if further else "frames")

    # Reading --------------------------------------------------------------------------------------------------------

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Frames of both observations of transitions, `(*rows.shape, 2 * count, width)`."""
        return self.frames.take(self.ids.take(rows, axis=0), axis=0)

    def gather(self, rows: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
        """`take`, in a graph, of a vector of rows; the result has this shape in its place."""
        ids, frames = self._tensors
        return tf.reshape(tf.gather(frames, tf.gather(ids, rows)), (*shape, 2 * self.count, self.width))

    def spec(self, shape: tuple[int, ...]) -> tf.TensorSpec:
        """Shape and dtype of what `take` returns for rows of this shape."""
        return tf.TensorSpec((*shape, 2 * self.count, self.width), self.frames.dtype)

    def unpack(self, frames: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Observations and next observations `(..., *shape)` of frames `(..., 2 * count, width)`. Pure."""
        own, following = frames[..., : self.count, :], frames[..., self.count :, :]
        return self._stacked(own), self._stacked(following)

    def _stacked(self, frames: tf.Tensor) -> tf.Tensor:
        lead = frames.shape[:-2]
        if None in lead:
            lead = tf.unstack(tf.shape(frames)[:-2])
        if self.axis is None:
            stack = tf.reshape(frames, (*lead, *self.column.shape))
        elif self.axis == len(self.frame):  # the last one: two axes to exchange, however many there are
            stack = tf.reshape(_transposed(frames), (*lead, *self.column.shape))
        else:
            stack = tf.reshape(frames, (*lead, self.count, *self.frame))
            if self.axis:
                order = list(range(len(lead))) + [len(lead) + 1 + i for i in range(len(self.frame))]
                order.insert(len(lead) + self.axis, len(lead))
                stack = tf.transpose(stack, order)
        if stack.dtype.name != self.column.dtype.name:
            stack = stack != 0 if self.column.dtype == np.bool_ else tf.cast(stack, self.column.dtype)
        return stack

    def stacks(self, rows: Any, following: bool) -> np.ndarray:
        """Observations or next observations of transitions, `(*rows.shape, *shape)`, in the dtype that they are stored in."""
        ids = self.ids[rows][..., self.count :] if following else self.ids[rows][..., : self.count]
        stack: np.ndarray = self.frames[ids].reshape((*ids.shape, *self.frame))
        if self.axis is None:
            return stack.reshape((*ids.shape[:-1], *self.frame))
        return np.moveaxis(stack, ids.ndim - 1, ids.ndim - 1 + self.axis)

    # In files -------------------------------------------------------------------------------------------------------

    def state(self, size: int) -> tuple[np.ndarray, Rows]:
        """Of the first `size` transitions: places in the order of their first use, and the frames in that order."""
        ids = self.ids[:size].ravel()
        first = np.full(self.used, -1, np.int64)
        first[ids[::-1]] = np.arange(len(ids))[::-1]
        places = np.flatnonzero(first >= 0)
        places = places[np.argsort(first[places])]
        number = np.zeros(self.used, np.int32)
        number[places] = np.arange(len(places))
        # Frames that a new transition brings, and those that went with the one before it, are those of its row.
        rows = np.arange(0, max(size, 1), max(1, _CUT // self._size))
        cuts = np.unique(np.searchsorted(first[places], rows * 2 * self.count))
        return number[ids].reshape(size, 2 * self.count), Rows(self.frames, places, cuts, self._stamps, self._filling)

    def restore(self, ids: Any, frames: Any, size: int) -> None:
        """The inverse of `state`, of rows in the order of a ring that is not full, or is full and has its cursor at any row.

        Raises:
            ValueError: They do not fit.
        """
        name = self.column.name
        ids = saved_array(ids, f"frame_ids.{name}", np.int32, (size, 2 * self.count))
        if (ids < 0).any():
            raise ValueError(f"Saved memory does not fit: 'frame_ids.{name}' must not be negative")
        known, numbers = np.unique(ids, return_inverse=True)
        count = int(known[-1]) + 1 if len(known) else 0
        if len(known) != count or count > len(self.frames):
            raise ValueError(
                f"Saved memory does not fit: 'frame_ids.{name}' must name every frame, and at most {len(self.frames)}. "
                f"Received: {len(known)} of {count}"
            )
        if self._file is not None:
            self._file.reserve(min(count + self._chunk, len(self.frames)))
        self._stamps[:count] = np.arange(count) + self._stamp + 1
        self._stamp += count
        for begin, end, part in saved_slices(frames, f"frames.{name}", count, self.width, self.frames.dtype):
            self.frames[begin:end] = part
        self.ids[:size] = numbers.reshape(ids.shape)
        self.used = count

    def turn(self, size: int, shift: int) -> None:
        """Moves the first `size` transitions so many places back, the first ones behind the last."""
        if shift:
            self.ids[:size] = np.roll(self.ids[:size], -shift, axis=0)

    def settle(self, size: int, cursor: int) -> None:
        """Counts the transitions that were restored: the oldest is at `cursor` where the ring is full, else at 0."""
        rows = (np.arange(size) + (cursor if size == self.rows else 0)) % max(size, 1)
        self._written = self._number = size
        self._last[: self.used] = 0
        for number in range(2 * self.count):
            np.maximum.at(self._last, self.ids[rows, number], np.arange(1, size + 1))
        places = np.argsort(self._last[: self.used], kind="stable")[-_RECENT:]
        self._recent = {hash(self.frames[place].tobytes()): int(place) for place in places}
        self._here, self._led = {}, {}


class FrameColumn:
    """Observations or next observations of a `FramePool`, to be written and read as an array is."""

    def __init__(self, pool: FramePool, following: bool):
        self._pool, self._following = pool, following

    def __setitem__(self, rows: Any, values: Any) -> None:
        self._pool.write(rows, values, self._following)

    def __getitem__(self, index: Any) -> np.ndarray:
        rows, *inner = index if isinstance(index, tuple) else (index,)
        found = self._pool.stacks(rows, self._following)
        ahead = found.ndim - len(self._pool.column.shape)
        return found[(slice(None),) * ahead + tuple(inner)] if inner else found


def is_framed(state: Mapping[str, Any]) -> bool:
    """Whether a memory's state has frames."""
    return any(name.startswith("frames.") for name in state)
