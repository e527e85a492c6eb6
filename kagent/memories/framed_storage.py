"""Rows of transitions whose observations are stacks of frames, each frame of which is stored once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kagent.memories.frames import FrameColumn, FramePool, is_framed, large_axes
from kagent.memories.saved_arrays import read_block, saved_slices
from kagent.memories.saved_links import SavedLinks, is_linked, ring_ages
from kagent.memories.storage import Column, Storage, layout

_NEXT = "next_"


def framed_columns(columns: list[Column]) -> list[Column]:
    """What a row takes in a `FramedStorage`: of stacks the newest frame and the places of all.

    Args:
        columns: Those of whole transitions.
    """
    known, found = large_axes(columns), []
    for column in columns:
        if column.name.removeprefix(_NEXT) not in known:
            found.append(column)
        elif column.name in known:
            axis = known[column.name]
            count = 1 if axis is None else column.shape[axis]
            frame = column.shape if axis is None else column.shape[:axis] + column.shape[axis + 1 :]
            found.append(Column(column.name, frame, np.dtype(column.block)))
            found.append(Column(f"frame_ids.{column.name}", (2 * count * 4,), np.dtype(np.uint8)))
    return found


class FramedStorage(Storage):
    """A ring of transitions. Large observations, and the frames of those that are stacks, are in `FramePool`s, all else is in rows.

    Of n-step transitions as well as of single timesteps, from any number of environments.

    Args:
        columns: Those of whole transitions.
        rows: How many the ring has.
        directory: As for `Storage`.

    Attributes:
        pools: By the names of the columns of observations.

    Raises:
        ValueError: It does not fit into the machine's free memory, or onto the disk.
    """

    def __init__(self, columns: list[Column], rows: int, directory: Path | None = None):
        axes = large_axes(columns)
        self._whole = columns
        super().__init__([c for c in columns if c.name.removeprefix(_NEXT) not in axes], rows, directory=directory)
        by_name = {column.name: column for column in columns}
        self.pools = {name: FramePool(by_name[name], axis, rows, directory) for name, axis in axes.items()}
        for name, pool in self.pools.items():
            self.views[name] = FrameColumn(pool, following=False)
            self.views[_NEXT + name] = FrameColumn(pool, following=True)

    def clear(self) -> None:
        for pool in self.pools.values():
            pool.clear()

    def take(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        return super().take(rows) | {f"frames.{name}": pool.take(rows) for name, pool in self.pools.items()}

    def gather(self, rows: tf.Tensor, shape: tuple[int, ...]) -> dict[str, tf.Tensor]:
        framed = {f"frames.{name}": pool.gather(rows, shape) for name, pool in self.pools.items()}
        return super().gather(rows, shape) | framed

    def specs(self, shape: tuple[int, ...]) -> dict[str, tf.TensorSpec]:
        return super().specs(shape) | {f"frames.{name}": pool.spec(shape) for name, pool in self.pools.items()}

    def unpack(self, blocks: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        found = super().unpack(blocks)
        for name, pool in self.pools.items():
            found[name], found[_NEXT + name] = pool.unpack(blocks[f"frames.{name}"])
        return found

    def state(self, size: int) -> dict[str, Any]:
        found = super().state(size)
        for name, pool in self.pools.items():
            found[f"frame_ids.{name}"], found[f"frames.{name}"] = pool.state(size)
        return found

    def restore(self, state: Mapping[str, Any], size: int, cursor: int, shift: int) -> None:
        """Fills the first rows with those of a memory's state, which may be whole or linked as well.

        Args:
            state: What was saved.
            size: Rows of it.
            cursor: The row behind the newest one, when it was saved.
            shift: How many rows the ring is turned back.

        Raises:
            ValueError: They do not fit.
        """
        if is_framed(state):
            framed = [name for name in self.pools if f"frame_ids.{name}" in state]
            if len(framed) == len(self.pools):
                for name, block in self.blocks.items():
                    read_block(block, name, state[f"block.{name}"], size)
            else:  # of a version that pooled stacks alone
                self._fill(state, [c for c in self._whole if c.name.removeprefix(_NEXT) not in framed], size)
            for name in framed:
                self.pools[name].restore(state[f"frame_ids.{name}"], state[f"frames.{name}"], size)
        elif is_linked(state):
            self._restore_linked(state, size, cursor)
        else:
            self._fill(state, self._whole, size)
        self.turn(size, shift)
        for pool in self.pools.values():
            pool.turn(size, shift)
            pool.settle(size, (cursor - shift) % max(size, 1))

    def _restore_linked(self, state: Mapping[str, Any], size: int, cursor: int) -> None:
        followed = [column for column in self._whole if not column.name.startswith("next_observation")]
        observed = [column for column in followed if column.name.startswith("observation.")]
        saved = SavedLinks.check(state, size, ring_ages(size, cursor), layout(observed)[1])
        self._fill(state, followed, size)
        places, _ = layout(observed)
        inside = np.flatnonzero(saved.links < size)
        outside = np.flatnonzero(saved.links >= size)
        for column in observed:
            block, begin, end = places[column.name]
            heads = saved.heads[block][:, begin:end].reshape((-1, *column.shape))
            target = self.views[_NEXT + column.name]
            pool = self.pools.get(column.name)
            if pool is None:
                target[inside] = self.views[column.name][saved.links[inside]]
                target[outside] = heads
                continue
            pool.ids[inside, pool.count :] = pool.ids[saved.links[inside], : pool.count]
            pool.write_apart(outside, heads)

    def _fill(self, state: Mapping[str, Any], columns: list[Column], size: int) -> None:
        # From packed rows of these columns.
        places, widths = layout(columns)
        for name, width in widths.items():
            for begin, end, part in saved_slices(state[f"block.{name}"], name, size, width, np.dtype(name)):
                for column in columns:
                    block, first, last = places[column.name]
                    if block == name:
                        values = part[:, first:last].reshape((len(part), *column.shape))
                        self.views[column.name][begin:end] = values
