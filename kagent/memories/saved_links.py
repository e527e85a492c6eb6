"""Saved transitions with links, and those of whole rows: each is read into a memory of either form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from kagent.memories.saved_arrays import read_block, saved_array, saved_slices
from kagent.memories.storage import Storage, layout


class SavedLinks(NamedTuple):
    """The links of a file.

    Attributes:
        links: int64 `(size,)`: of each row the one that its next observation is the observation of; from `size` on, a row
            of `heads`.
        newest: int64 `(N,)`: of each environment the row of its latest transition, whose successor may still come; -1: none.
        heads: Next observations that are no row's observation, packed by block, `(count, width)`.
    """

    links: np.ndarray
    newest: np.ndarray
    heads: dict[str, np.ndarray]

    @classmethod
    def check(cls, state: Mapping[str, Any], size: int, cursor: int, widths: Mapping[str, int]) -> SavedLinks:
        """The links in a memory's state.

        Args:
            state: What was saved.
            size: Rows of it.
            cursor: The row behind the newest one, when it was saved.
            widths: How wide an observation is in each block.

        Raises:
            ValueError: Links that no memory has.
        """
        links = saved_array(state["links"], "links", np.int64, (size,))
        newest = saved_array(state["newest"], "newest", np.int64, (None,))
        heads = {
            name: saved_array(state[f"extra.{name}"], f"extra.{name}", np.dtype(name), (None, width))
            for name, width in widths.items()
        }
        extra, rows = links >= size, np.arange(size)
        count = int(extra.sum())
        ages = (cursor - 1 - np.where(extra, rows, links)) % max(size, 1), (cursor - 1 - rows) % max(size, 1)
        waiting = newest[newest >= 0]
        if (
            any(len(head) != count for head in heads.values())
            or not np.array_equal(links[extra], size + np.arange(count))
            or (links < 0).any()
            or (ages[0] >= ages[1])[~extra].any()
            or (newest < -1).any()
            or (waiting >= size).any()
            or len(np.unique(waiting)) != len(waiting)
            or not extra[waiting].all()
        ):
            raise ValueError("Saved memory does not fit: 'links' must lead from every row to a newer one")
        return cls(links, newest, heads)


def read_rows(storage: Storage, state: Mapping[str, Any], size: int, cursor: int) -> None:
    """Fills whole rows. Of a file with links each gets a copy of its next observation.

    Args:
        storage: The rows. In each block the observations come first, then the next observations.
        state, size, cursor: As for `SavedLinks.check`.

    Raises:
        ValueError: Links that no memory has, or rows of another width or dtype.
    """
    if "links" not in state:
        for name, block in storage.blocks.items():
            read_block(block, name, state[f"block.{name}"], size)
        return
    _, widths = layout(column for column in storage.columns if column.name.startswith("observation."))
    saved = SavedLinks.check(state, size, cursor, widths)
    for name, block in storage.blocks.items():
        head = widths.get(name, 0)
        for begin, end, part in saved_slices(
            state[f"block.{name}"], name, size, storage.widths[name] - head, block.dtype
        ):
            block[begin:end, :head], block[begin:end, 2 * head :] = part[:, :head], part[:, head:]
        if head:
            inside = saved.links < size
            following = block[:size, head : 2 * head]
            following[inside] = block[saved.links[inside], :head]
            following[~inside] = saved.heads[name]


def copy_split(block: np.ndarray, name: str, source: Any, size: int, head: int, ahead: int) -> None:
    """Fills rows of a block without next observations from whole ones, and further rows with the next observations.

    Args:
        block: The block, `(rows, width)`.
        name: Its name, for messages.
        source: The saved block, or an iterable of its slices: observations, next observations, and what else there is.
        size: Its rows.
        head: How wide an observation is in it.
        ahead: Where the next observation of row 0 belongs.

    Raises:
        ValueError: Another dtype, width or number of rows.
    """
    for begin, end, part in saved_slices(source, name, size, block.shape[1] + head, block.dtype):
        block[begin:end, :head], block[begin:end, head:] = part[:, :head], part[:, 2 * head :]
        if head:
            block[ahead + begin : ahead + end, :head] = part[:, head : 2 * head]
