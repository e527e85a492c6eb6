"""Rows of named columns, packed into one array per dtype and shared with TensorFlow without a copy."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kagent.memories.mapped_files import MappedFile, free_space

_ALIGNMENT = 64  # bytes; TensorFlow's kernels assume it of every tensor
_SMALL = 16  # integers up to this many share the float row
_EXACT = 2**24  # float32 holds every integer below


@dataclasses.dataclass(frozen=True)
class Column:
    """One field of a transition.

    Attributes:
        name: Unique name, such as `"observation.0"`.
        shape: Shape of one row's entry.
        dtype: dtype in which `unpack` hands it out.
        limit: Integers in it are below this, where known.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    limit: int | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def block(self) -> str:
        """The packed array it lives in: small exact numbers join the float32 row, the rest keep their dtype."""
        if self.dtype.kind in "fb":
            return "float32"
        exact = self.dtype.itemsize <= 2 or (self.limit is not None and self.limit <= _EXACT)
        return "float32" if exact and self.size <= _SMALL else self.dtype.name


class Storage:
    """A fixed number of rows.

    Args:
        columns: What a row holds.
        rows: How many rows there are.
        extra: Further rows of blocks, by their names.
        directory: Where the blocks are in files; None: they are in memory.

    Attributes:
        blocks: The packed arrays by dtype, `(rows, width)`.
        views: Each column, `(rows, *shape)`, in its block.
        tensors: The blocks as TensorFlow has them: the same bytes.

    Raises:
        ValueError: It would not fit into the machine's free memory, or onto the disk of the directory.
    """

    def __init__(
        self, columns: list[Column], rows: int, extra: Mapping[str, int] | None = None, directory: Path | None = None
    ):
        self.columns, self.rows = tuple(columns), int(rows)
        self.places, self.widths = layout(columns)
        check_room(self.columns, self.rows, directory=directory)
        shapes = {name: (self.rows + (extra or {}).get(name, 0), width) for name, width in self.widths.items()}
        self.files: dict[str, MappedFile] = {}
        if directory is not None:
            self.files = {name: MappedFile(directory, shape, name, self.rows) for name, shape in shapes.items()}
        self.blocks = {
            name: self.files[name].array if self.files else shared_array(shape, name) for name, shape in shapes.items()
        }
        self.views: dict[str, Any] = {column.name: self._view(column, self.rows) for column in columns}
        self.tensors = {block: shared_tensor(array) for block, array in self.blocks.items()}

    def _view(self, column: Column, rows: int) -> np.ndarray:
        block, begin, end = self.places[column.name]
        part = self.blocks[block][:rows, begin:end]
        # A column of a packed row is a strided view; reshaping it beyond rank 2 must not copy.
        if column.shape == ():
            return part[:, 0]
        strides = np.empty(column.shape, self.blocks[block].dtype).strides
        return np.lib.stride_tricks.as_strided(part, (rows, *column.shape), (part.strides[0], *strides))

    def take(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Packed rows, `(*rows.shape, width)` by block: what `unpack` takes."""
        return {name: array.take(rows, axis=0) for name, array in self.blocks.items()}

    def gather(self, rows: tf.Tensor, shape: tuple[int, ...]) -> dict[str, tf.Tensor]:
        """`take`, in a graph, of a vector of rows; the results have this shape in its place."""
        return {
            name: tf.reshape(tf.gather(tensor, rows), (*shape, self.widths[name]))
            for name, tensor in self.tensors.items()
        }

    @property
    def most(self) -> int | None:
        """Rows that may be written at a time; None: any number."""
        return None

    def following(self) -> Sequence[Any]:
        """Where next observations are written, an array for each leaf."""
        count = sum(name.startswith("next_observation.") for name in self.views)
        return [self.views[f"next_observation.{i}"] for i in range(count)]

    def lead(self, rows: Any) -> Any:
        """The rows where the next observations of new rows are written, whose observations are there already.

        Args:
            rows: A slice or an index array, in the order of time.
        """
        return rows

    def take_rows(self, rows: np.ndarray, blocks: Mapping[str, np.ndarray]) -> None:
        """Stores transitions that are packed already.

        Args:
            rows: Theirs, at most `most`, in the order of time.
            blocks: Packed rows of whole transitions, by block.
        """
        for name, block in self.blocks.items():
            block[rows] = blocks[name]

    def repeat(self, rows: np.ndarray, begin: int) -> None:
        """Fills the ring from a row on with copies of others, once for each of these."""
        for block in self.blocks.values():
            block[begin : self.rows] = block[rows]

    def put(self, blocks: dict[str, np.ndarray], column: str, values: np.ndarray, rows: Any = slice(None)) -> None:
        """Exchanges a column of packed rows `(R, width)`, as `take` returns them.

        Args:
            blocks: The packed rows.
            column: Its name.
            values: `(R, *shape)`.
            rows: Which of them.
        """
        block, begin, end = self.places[column]
        blocks[block][rows, begin:end] = values.reshape(-1, end - begin)

    def join_ends(self, blocks: dict[str, np.ndarray], ends: Mapping[str, np.ndarray], columns: Iterable[str]) -> None:
        """Makes packed rows lead where others lead.

        Args:
            blocks: The packed rows.
            ends: The others, as many.
            columns: The columns that are taken from them.
        """
        for column in columns:
            block, begin, end = self.places[column]
            blocks[block][:, begin:end] = ends[block][:, begin:end]

    def clear(self) -> None:
        """Forgets what it knows of the rows, all of which are written anew."""

    def state(self, size: int) -> dict[str, Any]:
        """The first `size` rows, by name: arrays of packed rows, not copied."""
        return {f"block.{name}": array[:size] for name, array in self.blocks.items()}

    def turn(self, size: int, shift: int) -> None:
        """Moves the first `size` rows so many places back, the first ones behind the last."""
        if shift:
            for block in self.blocks.values():
                block[:size] = np.roll(block[:size], -shift, axis=0)

    def specs(self, shape: tuple[int, ...]) -> dict[str, tf.TensorSpec]:
        """Shapes and dtypes of what `take` returns for rows of this shape."""
        return {name: tf.TensorSpec((*shape, width), self.blocks[name].dtype) for name, width in self.widths.items()}

    def unpack(self, blocks: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Named columns `(..., *shape)` of packed rows `(..., width)`; pure, graph- and XLA-safe."""
        return self._unpacked(self.columns, blocks)

    def _unpacked(self, columns: Iterable[Column], blocks: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        sizes: dict[str, list[int]] = {}
        for column in columns:
            sizes.setdefault(column.block, []).append(column.size)
        # One operation for all columns of a block: each of their slices would be four to trace.
        parts = {
            block: iter(tf.split(blocks[block], widths, axis=-1) if len(widths) > 1 else [blocks[block]])
            for block, widths in sizes.items()
        }
        unpacked = {}
        for column in columns:
            part = next(parts[column.block])
            part = tf.reshape(part, (*_static(part)[:-1], *column.shape))
            if part.dtype.name != column.dtype.name:
                part = part != 0 if column.dtype == np.bool_ else tf.cast(part, column.dtype)
            unpacked[column.name] = part
        return unpacked


_too_large: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("too_large", default=None)


@contextlib.contextmanager
def postponing() -> Iterator[list[str]]:
    """In the block a memory that is only planned may be too large for this machine: its message goes to the list that the
    block gets. Allocating it stays an error."""
    found: list[str] = []
    token = _too_large.set(found)
    try:
        yield found
    finally:
        _too_large.reset(token)


def check_plan(columns: Iterable[Column], rows: int, drawn: int = 0, directory: Path | None = None) -> bool:
    """`check_room` of a memory that is not allocated yet. False: it does not fit, inside `postponing`."""
    try:
        check_room(columns, rows, drawn, directory)
    except ValueError as error:
        found = _too_large.get()
        if found is None:
            raise
        found.append(str(error))
        return False
    return True


def layout(columns: Iterable[Column]) -> tuple[dict[str, tuple[str, int, int]], dict[str, int]]:
    """Of every column its block and where it begins and ends in it; of every block its width."""
    widths: dict[str, int] = {}
    places: dict[str, tuple[str, int, int]] = {}
    for column in columns:
        offset = widths.get(column.block, 0)
        places[column.name] = (column.block, offset, offset + column.size)
        widths[column.block] = offset + column.size
    return places, widths


def check_free(size: int, purpose: str) -> None:
    """Refuses to take more bytes than are free on this machine.

    Args:
        size: Bytes.
        purpose: What they are for, for the message.

    Raises:
        ValueError: So many bytes are not free.
    """
    free = free_memory()
    if free is not None and size > free:
        raise ValueError(
            f"The `memory` needs {size / 2**30:.1f} GiB more for {purpose}, and {free / 2**30:.1f} GiB are free. Give it a "
            "smaller capacity."
        )


def check_room(columns: Iterable[Column], rows: int, drawn: int = 0, directory: Path | None = None) -> None:
    """Checks that rows fit into the machine's free memory, and those that are drawn for one call of the learner.

    Args:
        columns: Those of a row.
        rows: How many there are.
        drawn: How many are drawn.
        directory: Where the rows are in files; None: they are in memory.

    Raises:
        ValueError: They do not. The message says how many would.
    """
    row = sum(column.size * np.dtype(column.block).itemsize for column in columns)
    free = free_memory()
    room = free if directory is None else free_space(directory)
    if room is not None and rows * row > room:
        where = "" if directory is None else f" in {str(directory)!r}"
        raise ValueError(
            f"The `memory` would need {rows * row / 2**30:.1f} GiB{where} for {rows} transitions, and {room / 2**30:.1f} GiB "
            f"are free{where and ' there'}. Give it a capacity of at most {room * 4 // (row * 5)}."
        )
    if free is not None and drawn * row > free:
        raise ValueError(
            "`batch_size` times the `steps` of an `update` times `steps_per_execution` must be at most "
            f"{free * 4 // (row * 5)}, for which memory is free. Received: {drawn}"
        )


def _static(tensor: Any) -> list[Any]:
    dynamic = None
    shape = []
    for axis, size in enumerate(tensor.shape):
        if size is None and dynamic is None:
            dynamic = tf.shape(tensor)
        shape.append(size if size is not None else dynamic[axis])  # type: ignore[index]
    return shape


def shared_array(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Zeros, aligned for TensorFlow. Pages are taken from the system when first written."""
    kind = np.dtype(dtype)
    raw = np.zeros(math.prod(shape) * kind.itemsize + _ALIGNMENT, np.uint8)
    offset = -raw.ctypes.data % _ALIGNMENT
    return raw[offset : offset + math.prod(shape) * kind.itemsize].view(kind).reshape(shape)


def shared_tensor(array: np.ndarray) -> tf.Tensor:
    """A CPU tensor over the same bytes: what NumPy writes, TensorFlow reads at its next use.

    DLPack is the public way to share memory. `tests/memories/test_storage.py` breaks if TensorFlow starts to copy.
    """
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def free_memory() -> int | None:
    """Bytes that are free on this machine; None: it does not say."""
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None
