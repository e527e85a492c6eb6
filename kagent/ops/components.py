"""Flat tables of `sum(nvec)` numbers (logits, Q-values, masks) seen as one row per action component.

A discrete action leaf has one or more components; component i has `nvec[i]` values, and its numbers lie side
by side in the last axis of a `(B, sum(nvec))` tensor.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

# Not -inf, which turns 0 * log 0 and every gradient through it into NaN; exp(-1e9) is 0 in float32.
MASKED = -1e9
ABSENT = 2.0 * MASKED  # below MASKED, so that an index out of range loses even where all values are masked


def by_component(table: Any, nvec: Sequence[int], fill: float = ABSENT) -> tf.Tensor:
    """A flat table with one row per component.

    Args:
        table: Tensor of shape `(B, sum(nvec))`.
        nvec: Number of values of each component.
        fill: What stands behind the last value of components that have fewer than `max(nvec)`.

    Returns:
        Tensor of shape `(B, len(nvec), max(nvec))` and the dtype of `table`.

    Raises:
        ValueError: The width of `table` is not `sum(nvec)`.

    Example:

    >>> by_component([[1.0, 2.0, 3.0, 4.0, 5.0]], nvec=[2, 3], fill=0.0).numpy().tolist()
    [[[1.0, 2.0, 0.0], [3.0, 4.0, 5.0]]]
    """
    table = tf.convert_to_tensor(table)
    sizes = [int(n) for n in np.ravel(nvec)]
    if table.shape.rank != 2 or table.shape[-1] != sum(sizes):
        raise ValueError(
            f"`table` must have shape (batch, {sum(sizes)}), the sum of nvec={sizes}. Received: shape {table.shape}"
        )
    width, start, blocks = max(sizes), 0, []
    # Neighbours of one size share a reshape, so the graph grows with the number of different sizes, not
    # components; slices and pads have cheap gradients where a gather would cost a scatter.
    for size, group in itertools.groupby(sizes):
        count = len(list(group))
        part = table if count == len(sizes) else table[:, start : start + count * size]
        block = tf.reshape(part, (-1, count, size))
        padding = [[0, 0], [0, 0], [0, width - size]]
        blocks.append(block if size == width else tf.pad(block, padding, constant_values=tf.cast(fill, table.dtype)))
        start += count * size
    return blocks[0] if len(blocks) == 1 else tf.concat(blocks, axis=1)


def mask_values(table: Any, mask: Any = None) -> tf.Tensor:
    """`table` with `MASKED` (-1e9) where `mask` is False.

    Args:
        table: Logits or Q-values, shape `(B, sum(nvec))`.
        mask: bool of the same shape, True = allowed; None leaves `table` as it is.

    Returns:
        float32 tensor of shape `(B, sum(nvec))`. No gradient flows to masked entries.
    """
    table = tf.cast(table, tf.float32)
    return table if mask is None else tf.where(tf.cast(mask, tf.bool), table, MASKED)


def select(table: Any, action: Any, nvec: Sequence[int]) -> tf.Tensor:
    """The entries of the chosen values, e.g. the Q-values of the actions taken.

    Args:
        table: float32 of shape `(B, sum(nvec))`.
        action: Integer indices of shape `(B, *shape)` with `prod(shape) == len(nvec)`.
        nvec: Number of values of each component.

    Returns:
        float32 of shape `(B, len(nvec))`. An index out of range selects 0.

    Example:

    >>> select([[1.0, 2.0, 3.0, 4.0, 5.0]], [[1, 0]], nvec=[2, 3]).numpy().tolist()
    [[2.0, 3.0]]
    """
    rows = by_component(tf.cast(table, tf.float32), nvec)
    return pick(rows, tf.reshape(action, (-1, rows.shape[1])))


def pick(rows: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """`rows[b, i, index[b, i]]` for rows `(B, C, M)` and index `(B, C)`."""
    # A comparison with all indices fuses into its neighbours under XLA; a gather's gradient is a serial
    # scatter.
    chosen = tf.one_hot(index, rows.shape[-1], on_value=True, off_value=False, dtype=tf.bool)
    return tf.reduce_sum(tf.where(chosen, rows, 0.0), axis=-1)
