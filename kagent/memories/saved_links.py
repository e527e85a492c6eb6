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
        heads: Next observations that are no row's observation, packed by block, `(count, width)`.
    """

    links: np.ndarray
    heads: dict[str, np.ndarray]

    @classmethod
    def check(
        cls, state: Mapping[str, Any], size: int, ages: np.ndarray, widths: Mapping[str, int], groups: int = 1
    ) -> SavedLinks:
        """The links in a memory's state.

        Args:
            state: What was saved.
            size: Rows of it.
            ages: int64 `(size,)`: a number that is greater the later a row was written; -1: it was not.
            widths: How wide an observation is in each block.
            groups: Rings in one another: a row and the one that its link names are of the same.

        Raises:
            ValueError: Links that no memory has.
        """
        if "links" in state:  # rows themselves, as they were written before
            links = saved_array(state["links"], "links", np.int64, (size,))
        else:
            ahead = saved_array(state["ahead"], "ahead", None, (size,)).astype(np.int64)
            links = np.where(ahead < 0, size + np.cumsum(ahead < 0) - 1, (np.arange(size) + ahead) % max(size, 1))
            if (ahead < -1).any() or (ahead >= max(size, 1)).any():
                links[:] = -1
        heads = {
            name: saved_array(state[f"extra.{name}"], f"extra.{name}", np.dtype(name), (None, width))
            for name, width in widths.items()
        }
        extra, rows = links >= size, np.flatnonzero((links < size) & (ages >= 0))
        count = int(extra.sum())
        if (
            any(len(head) != count for head in heads.values())
            or not np.array_equal(links[extra], size + np.arange(count))
            or (links < 0).any()
            or (ages[links[rows]] < ages[rows]).any()
            or (links[rows] % groups != rows % groups).any()
        ):
            raise ValueError("Saved memory does not fit: its links must lead from every row to a newer one")
        return cls(links, heads)


def ring_ages(size: int, cursor: int) -> np.ndarray:
    """When the rows of a ring were written: int64 `(size,)`, numbers that are greater the later that was.

    Args:
        size: Rows that are filled.
        cursor: The row behind the newest one.

    Example:

    >>> ring_ages(4, 1)
    array([3, 0, 1, 2])
    """
    found: np.ndarray = (np.arange(size) - cursor) % max(size, 1)
    return found


def is_linked(state: Mapping[str, Any]) -> bool:
    """Whether a memory's state has links."""
    return "ahead" in state or "links" in state


def read_rows(storage: Storage, state: Mapping[str, Any], size: int, ages: np.ndarray) -> None:
    """Fills whole rows. Of a file with links each gets a copy of its next observation.

    Args:
        storage: The rows. In each block the observations come first, then the next observations.
        state, size, ages: As for `SavedLinks.check`.

    Raises:
        ValueError: Links that no memory has, or rows of another width or dtype.
    """
    if not is_linked(state):
        for name, block in storage.blocks.items():
            read_block(block, name, state[f"block.{name}"], size)
        return
    _, widths = layout(column for column in storage.columns if column.name.startswith("observation."))
    saved = SavedLinks.check(state, size, ages, widths)
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
