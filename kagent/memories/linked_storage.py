"""Rows of transitions whose next observations, where other rows hold them, are not stored again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kagent.memories.storage import Column, Storage, check_free, layout, shared_array, shared_tensor

_NEXT = "next_"
LEAST = 512  # bytes of an observation
_UNCHECKED = 64 << 20  # bytes of extra rows that are taken without a look at what is free


def pays(columns: Iterable[Column]) -> bool:
    """Whether links are worth it for rows of these columns: whether an observation has `LEAST` bytes or more.

    Links cost time: 1 microsecond of each transition stored, 2 of each minibatch drawn. They save time where an observation
    has some kilobytes, and half the memory anywhere; but a million transitions with smaller observations than this fit into
    about a gigabyte as they are.

    Example:

    >>> pays([Column("observation.0", (4,), np.dtype(np.float32))])
    False
    >>> pays([Column("observation.0", (84, 84, 4), np.dtype(np.uint8))])
    True
    """
    observed = [column for column in columns if column.name.startswith("observation.")]
    return sum(column.size * np.dtype(column.block).itemsize for column in observed) >= LEAST


class Successors:
    """A column that is read where the link of each row leads.

    Args:
        links: int64 `(rows,)`.
        values: The column, with the extra rows.
    """

    def __init__(self, links: np.ndarray, values: np.ndarray):
        self._links, self._values = links, values

    def __getitem__(self, index: Any) -> np.ndarray:
        rows, *inner = index if isinstance(index, tuple) else (index,)
        found: np.ndarray = self._values[self._links[rows]]
        return found[(slice(None),) * np.ndim(self._links[rows]) + tuple(inner)] if inner else found


class LinkedStorage(Storage):
    """A ring of transitions. The next observation of a row is the observation of the row that its link names.

    That is the next row of the same environment, once that has arrived. Until then, and for good at the end of an episode or
    where the environment goes on elsewhere, it is in an extra row behind the ring. Address space is reserved for as many
    extra rows as the ring has; memory is taken for those that were used. A row never outlives the one that it links to,
    since that is newer.

    Whether an observation is the one before's next observation is decided by its bytes.

    Args:
        columns: Those of a row; `next_observation.*` beside `observation.*`, which come first.
        rows: How many the ring has.
        directory: As for `Storage`.

    Attributes:
        links: int64 `(rows,)`: of each row the one that holds its next observation, from `rows` on an extra one.
        ahead: The columns of observations with the extra rows, where next observations are written.
        observed, heads: The columns of observations, and how wide they are in each block, which they begin.
        compared: These parts of the blocks as integers, `(2 * rows, width)`.

    Raises:
        ValueError: The ring would not fit into the machine's free memory, or onto the disk.
    """

    def __init__(self, columns: list[Column], rows: int, directory: Path | None = None):
        followed = [column for column in columns if not column.name.startswith("next_observation")]
        self.observed = [column for column in followed if column.name.startswith("observation.")]
        _, self.heads = layout(self.observed)
        super().__init__(followed, rows, {name: rows for name in self.heads}, directory)
        self.links = shared_array((self.rows,), "int64")
        self._link_tensor = shared_tensor(self.links)
        self.ahead = [self._view(column, 2 * self.rows) for column in self.observed]
        for column, values in zip(self.observed, self.ahead):
            self.views[_NEXT + column.name] = Successors(self.links, values)
        # As integers: a NaN is equal to itself.
        blocks = {name: self.blocks[name].view(f"i{self.blocks[name].itemsize}") for name in self.heads}
        self.compared = [blocks[name][:, :width] for name, width in self.heads.items()]

    def reserve_extra(self, count: int) -> None:
        """Takes room for twice as many extra rows as there are, before they are used.

        Args:
            count: How many there are.

        Raises:
            ValueError: There is not so much room.
        """
        if self.files:
            for name in self.heads:
                self.files[name].reserve(self.rows + min(2 * count, self.rows))
            return
        taken = count * sum(np.dtype(name).itemsize * self.widths[name] for name in self.heads)
        if taken > _UNCHECKED:
            check_free(taken, "next observations that no other transition begins with")

    def take(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        both = np.stack([rows, self.links[rows]], axis=-1)
        return {name: a.take(both if name in self.heads else rows, axis=0) for name, a in self.blocks.items()}

    def gather(self, rows: tf.Tensor, shape: tuple[int, ...]) -> dict[str, tf.Tensor]:
        both = tf.stack([rows, tf.gather(self._link_tensor, rows)], axis=1)  # side by side: the caches have the second
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
