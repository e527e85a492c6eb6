"""Rows of transitions whose next observations, where other rows hold them, are not stored again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kagent.memories.links import Links, extra_rows
from kagent.memories.saved_arrays import Rows, read_block
from kagent.memories.saved_links import SavedLinks, copy_split, is_linked
from kagent.memories.storage import Column, Storage, check_free, layout, shared_tensor

_NEXT = "next_"
LEAST = 8  # bytes of an observation
LARGE = 512  # bytes of an observation in a rollout, which is small and forgotten soon
_CUT = 8 << 20  # bytes of next observations between two cuts of saved ones, at most
_UNCHECKED = 64 << 20  # bytes of extra rows that are taken without a look at what is free


def pays(columns: Iterable[Column], least: int | None = None) -> bool:
    """Whether links are worth it for rows of these columns: whether an observation has so many bytes. A link has 4.

    Args:
        columns: Those of whole transitions.
        least: Bytes; None: `LEAST`.

    Example:

    >>> pays([Column("observation.0", (), np.dtype(np.int32), 16)])
    False
    >>> pays([Column("observation.0", (4,), np.dtype(np.float32))])
    True
    """
    observed = [column for column in columns if column.name.startswith("observation.")]
    return sum(column.size * np.dtype(column.block).itemsize for column in observed) >= (least or LEAST)


def without_next(columns: Iterable[Column]) -> list[Column]:
    """What a row takes in a `LinkedStorage`, beside its link.

    Args:
        columns: Those of whole transitions.
    """
    return [column for column in columns if not column.name.startswith("next_observation")]


class Successors:
    """A column that is read where the link of each row leads.

    Args:
        links: int32 or int64 `(rows,)`.
        values: The column, with the rows behind the ring.
    """

    def __init__(self, links: np.ndarray, values: np.ndarray):
        self._links, self._values = links, values

    def __getitem__(self, index: Any) -> np.ndarray:
        rows, *inner = index if isinstance(index, tuple) else (index,)
        found: np.ndarray = self._values[self._links[rows]]
        return found[(slice(None),) * np.ndim(self._links[rows]) + tuple(inner)] if inner else found


class LinkedStorage(Storage):
    """A ring of transitions. The next observation of a row is the observation of the row that its link names; see `Links`.

    Address space is reserved for as many extra rows as the ring has and half as many again; memory is taken for those that were
    used.

    Args:
        columns: Those of whole transitions: `next_observation.*` beside `observation.*`, which come first.
        rows: How many the ring has.
        directory: As for `Storage`.
        window: How many transitions later an observation arrives that was a next observation, at most.
        groups: Rings in one another, each overwritten in the order of time: row i is of ring `i % groups`.

    Attributes:
        links: int32 or int64 `(rows,)`: of each row the one that holds its next observation, from `rows` on one behind the ring.
        observed, heads: The columns of observations, and how wide they are in each block, which they begin.

    Raises:
        ValueError: The ring would not fit into the machine's free memory, or onto the disk.
    """

    def __init__(
        self, columns: list[Column], rows: int, directory: Path | None = None, window: int = 1, groups: int = 1
    ):
        followed = without_next(columns)
        self.observed = [column for column in followed if column.name.startswith("observation.")]
        _, self.heads = layout(self.observed)
        self._groups, total, self._filling = groups, rows + extra_rows(rows), object()
        super().__init__(followed, rows, {name: total - rows for name in self.heads}, directory)
        self._ahead = [self._view(column, total) for column in self.observed]
        # As integers: a NaN is equal to itself.
        blocks = {name: self.blocks[name].view(f"i{self.blocks[name].itemsize}") for name in self.heads}
        parts = [blocks[name][:, :width] for name, width in self.heads.items()]
        self._links = Links(parts, self.rows, self._reserve, window, groups)
        self.links, self._link_tensor = self._links.links, shared_tensor(self._links.links)
        for column, values in zip(self.observed, self._ahead):
            self.views[_NEXT + column.name] = Successors(self.links, values)

    def _reserve(self, count: int) -> None:
        # Room for twice so many rows behind the ring.
        most = extra_rows(self.rows)
        if self.files:
            for name in self.heads:
                self.files[name].reserve(self.rows + min(2 * count, most))
            return
        taken = min(count, most) * sum(np.dtype(name).itemsize * self.widths[name] for name in self.heads)
        if taken > _UNCHECKED:
            check_free(taken, "next observations that no other transition begins with")

    # Writing --------------------------------------------------------------------------------------------------------

    @property
    def most(self) -> int:
        return self._links.span

    def following(self) -> Sequence[Any]:
        return self._ahead

    @property
    def lead(self) -> Callable[[Any], Any]:
        return self._links.lead  # without a call between, at every timestep

    def take_rows(self, rows: np.ndarray, blocks: Mapping[str, np.ndarray]) -> None:
        for name, block in self.blocks.items():
            head, given = self.heads.get(name, 0), blocks[name]
            block[rows, :head], block[rows, head:] = given[:, :head], given[:, 2 * head :]
        following = self.lead(rows)
        for name, head in self.heads.items():
            self.blocks[name][following, :head] = blocks[name][:, head : 2 * head]

    def repeat(self, rows: np.ndarray, begin: int) -> None:
        super().repeat(rows, begin)
        self.links[begin:] = self.links[rows]

    def expect(self, window: int, size: int, ages: np.ndarray) -> None:
        """Takes another `window`.

        Args:
            window: As of the class.
            size: Rows that are filled.
            ages: As for `restore`.
        """
        self._links.widen(window, size, ages)

    def clear(self) -> None:
        self._filling = object()
        self._links.clear()

    # Reading --------------------------------------------------------------------------------------------------------

    def take(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        both = np.stack([rows, self.links[rows]], axis=-1)
        return {name: a.take(both if name in self.heads else rows, axis=0) for name, a in self.blocks.items()}

    def gather(self, rows: tf.Tensor, shape: tuple[int, ...]) -> dict[str, tf.Tensor]:
        following = tf.cast(tf.gather(self._link_tensor, rows), rows.dtype)
        both = tf.stack([rows, following], axis=1)  # side by side: the caches have the second
        return {
            name: tf.reshape(tf.gather(tensor, both), (*shape, 2, self.widths[name]))
            if name in self.heads
            else tf.reshape(tf.gather(tensor, rows), (*shape, self.widths[name]))
            for name, tensor in self.tensors.items()
        }

    def specs(self, shape: tuple[int, ...]) -> dict[str, tf.TensorSpec]:
        return {
            name: tf.TensorSpec((*spec.shape[:-1], 2, spec.shape[-1]) if name in self.heads else spec.shape, spec.dtype)
            for name, spec in super().specs(shape).items()
        }

    def unpack(self, blocks: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        own = super().unpack(
            {name: block[..., 0, :] if name in self.heads else block for name, block in blocks.items()}
        )
        heads = {name: blocks[name][..., 1, :width] for name, width in self.heads.items()}
        return own | {_NEXT + name: part for name, part in self._unpacked(self.observed, heads).items()}

    def put(self, blocks: dict[str, np.ndarray], column: str, values: np.ndarray, rows: Any = slice(None)) -> None:
        name, place = self._packed(column)
        block, begin, end = self.places[name]
        part: Any = (rows, *place, slice(begin, end))
        blocks[block][part] = values.reshape(-1, end - begin)

    def join_ends(self, blocks: dict[str, np.ndarray], ends: Mapping[str, np.ndarray], columns: Iterable[str]) -> None:
        for column in columns:
            name, place = self._packed(column)
            block, begin, end = self.places[name]
            part: Any = (slice(None), *place, slice(begin, end))
            blocks[block][part] = ends[block][part]

    def _packed(self, column: str) -> tuple[str, tuple[int, ...]]:
        # In packed rows: the column that it lies in as, and which of the two rows of its block.
        following = column.startswith(_NEXT + "observation.")
        name = column.removeprefix(_NEXT) if following else column
        return name, (int(following),) if self.places[name][0] in self.heads else ()

    # In files -------------------------------------------------------------------------------------------------------

    def state(self, size: int) -> dict[str, Any]:
        links, places = self._links.state(size)
        rows, extra = np.arange(size), links >= size
        # How far ahead: a number that stays the same while others are written.
        ahead = np.where(extra, -1, (links - rows) % max(size, 1)).astype(self.links.dtype)
        found = {**super().state(size), "ahead": ahead}
        for name, width in self.heads.items():
            head = self.blocks[name][:, :width]
            begins = np.arange(0, max(size, 1), max(1, _CUT // (width * head.itemsize)))
            cuts = np.unique(np.searchsorted(np.flatnonzero(extra), begins))
            found[f"extra.{name}"] = Rows(head, places, cuts, self._links.stamps, self._filling)
        return found

    def restore(self, state: Mapping[str, Any], size: int, ages: np.ndarray, shift: int = 0) -> None:
        """Fills the first rows with those of a memory's state, which may be whole.

        Args:
            state: What was saved.
            size: Rows of it.
            ages: int64 `(size,)`: a number that is greater the later a row was written, the greatest of all `size - 1`; -1: it
                was not written.
            shift: How many rows the ring is turned back.

        Raises:
            ValueError: Links that no memory has, or rows of another width or dtype.
        """
        turned = np.roll(ages, -shift)
        if not is_linked(state):
            self._restore_whole(state, size, turned, shift)
            return
        for name, block in self.blocks.items():
            read_block(block, name, state[f"block.{name}"], size)
        self.turn(size, shift)
        saved = SavedLinks.check(state, size, ages, self.heads, self._groups)
        links = np.where(saved.links < size, (saved.links - shift) % max(size, 1), saved.links)
        places = self._links.restore(np.roll(links, -shift))
        for name, head in saved.heads.items():
            self.blocks[name][places, : head.shape[1]] = head
        self._links.wait_again(turned)

    def _restore_whole(self, state: Mapping[str, Any], size: int, ages: np.ndarray, shift: int) -> None:
        # Next observations take as much memory as in the memory that was saved.
        ahead = self._links.take_whole(size, shift)
        for name, block in self.blocks.items():
            copy_split(block, name, state[f"block.{name}"], size, self.heads.get(name, 0), ahead.start)
        self.turn(size, shift)
        self._links.join(ages)
        self._links.wait_again(ages)
