"""Temporal-difference learning of action values: tables of values, the target, errors, and the mean of a loss.

Tables are flat, `(B, sum(nvec))`: Q-values, logits, or masks. A discrete action leaf has one or more components; component i has
`nvec[i]` values, and its numbers lie side by side in the last axis.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from . import replicas

# Not -inf, which turns 0 * log 0 and every gradient through it into NaN; exp(-1e9) is 0 in float32.
MASKED = -1e9
ABSENT = 2.0 * MASKED  # below MASKED, so that an index out of range loses even where all values are masked
_TINY = 1e-12


def greedy_value(q_next: Any, nvec: Sequence[int], mask: Any = None, selector: Any = None) -> tf.Tensor:
    """The value of the best allowed action in the next state, per component.

    Args:
        q_next: float32 `(B, sum(nvec))`, the target network's values.
        nvec: Number of values of each component.
        mask: bool `(B, sum(nvec))`, True = allowed; None allows all. A row (of a terminated step) that allows
            nothing gives -1e9, which the discount of 0 removes.
        selector: float32 `(B, sum(nvec))`, the network that chooses the action whose value `q_next` gives:
            the online network in double Q-learning (van Hasselt et al. 2016, eq. 4). None: `q_next` itself
            (Mnih et al. 2015).

    Returns:
        float32 `(B, len(nvec))`.

    Example:

    >>> q, online = [[1.0, 2.0, 3.0]], [[9.0, 8.0, 7.0]]
    >>> greedy_value(q, nvec=[3]).numpy().tolist()
    [[3.0]]
    >>> greedy_value(q, nvec=[3], selector=online).numpy().tolist()
    [[1.0]]
    """
    rows = by_component(mask_values(q_next, mask), nvec)
    if selector is None:
        return tf.reduce_max(rows, axis=-1)
    best = tf.argmax(by_component(mask_values(selector, mask), nvec), axis=-1, output_type=tf.int32)
    return pick(rows, best)


def q_learning(q_taken: Any, reward: Any, discount_t: Any, q_next_value: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Errors and targets of Q-learning.

    `target = reward + discount_t * mean(q_next_value, axis=-1)`: an action of several components has one
    target for all of them, from the mean over components of their next values (branching Q-network, Tavakoli
    et al. 2018). With one component this is the ordinary target (Watkins 1989; Mnih et al. 2015). Components
    of several action leaves are put side by side.

    Args:
        q_taken: float32 `(B, components)` (or `(B,)`), the values of the actions taken: `select(q, action,
            nvec)`.
        reward: float32 `(B,)` (or `(B, 1)`).
        discount_t: float32 `(B,)` (or `(B, 1)`), `discount_factor(discount, terminated)`.
        q_next_value: float32 `(B, components)` (or `(B,)`): `greedy_value(...)`.

    Returns:
        `td_error`, `target - q_taken` in the shape of `q_taken`; and `target`, `(B,)`, through which no
        gradient flows.

    Example:

    >>> td_error, target = q_learning([[1.0, 2.0]], [1.0], [0.5], [[4.0, 8.0]])
    >>> td_error.numpy().tolist(), target.numpy().tolist()
    ([[3.0, 2.0]], [4.0])
    """
    q_taken, q_next_value = tf.cast(q_taken, tf.float32), tf.cast(q_next_value, tf.float32)
    if q_next_value.shape.rank == 2:
        q_next_value = tf.reduce_mean(q_next_value, axis=-1)
    # Flat first: (B, 1) beside (B,) would silently become (B, B).
    flat = {"reward": tf.reshape(reward, (-1,)), "discount_t": tf.reshape(discount_t, (-1,))}
    reward, discount_t, q_next_value = as_floats(**flat, q_next_value=q_next_value)
    target = tf.stop_gradient(reward + discount_t * q_next_value)
    return (tf.expand_dims(target, 1) if q_taken.shape.rank == 2 else target) - q_taken, target


def huber(error: Any, delta: float = 1.0) -> tf.Tensor:
    """Huber's loss (1964) per element: `error**2 / 2` up to `delta`, then a line of slope `delta`.

    Args:
        error: float32 tensor of any shape.
        delta: Positive number.

    Returns:
        float32 tensor of that shape.

    Example:

    >>> huber([0.5, -3.0]).numpy().tolist()
    [0.125, 2.5]
    """
    size = tf.abs(tf.cast(error, tf.float32))
    bent = tf.minimum(size, delta)
    return bent * (size - 0.5 * bent)


def discount_factor(discount: Any, terminated: Any) -> tf.Tensor:
    """`discount * (1 - terminated)`: the weight of what follows. Truncation does not enter: it bootstraps.

    Args:
        discount: Number or tensor.
        terminated: bool tensor of any shape.

    Returns:
        float32 tensor of the shape of `terminated`.

    Example:

    >>> discount_factor(0.5, [False, True]).numpy().tolist()
    [0.5, 0.0]
    """
    return tf.cast(discount, tf.float32) * (1.0 - tf.cast(terminated, tf.float32))


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


def weighted_mean(values: Any, weight: Any = None) -> tf.Tensor:
    """`sum(weight * values) / sum(weight)`: the mean in which padding does not count.

    Args:
        values: float32 tensor of shape `(B, ...)`.
        weight: Tensor of the shape of `values` or of its leading axes, e.g. `(B,)`; at least 0, 0 for
            padding. None gives the plain mean.

    Returns:
        float32 scalar; 0 where all weights are 0. Of rows on several replicas of `tf.distribute` it is the mean of all. Forward, an
        entry of weight 0 has no effect whatever it holds, even NaN; backward, it must be finite, as every gradient of TensorFlow.

    Example:

    >>> float(weighted_mean([1.0, 2.0, 100.0], [1.0, 1.0, 0.0]))
    1.5
    """
    values = tf.cast(values, tf.float32)
    spreads = tf.distribute.has_strategy()
    if weight is None or _is_one(weight):
        if not spreads:
            return tf.reduce_mean(values)
        weight = tf.ones_like(values)
    weight = spread(weight, values)
    total = tf.reduce_sum(tf.where(weight > 0.0, weight * values, 0.0))
    if spreads:
        return replicas.ratio(total, tf.reduce_sum(weight), _TINY)
    return total / tf.maximum(tf.reduce_sum(weight), _TINY)


def _is_one(weight: Any) -> bool:
    # Where that is known when a program is traced: the plain mean has no operations for it.
    found = tf.get_static_value(weight)
    return found is not None and bool((np.asarray(found) == 1).all())


def spread(weight: Any, values: tf.Tensor) -> tf.Tensor:
    """`weight` of the leading axes of `values`, as float32 of the full shape."""
    weight = tf.cast(weight, tf.float32)
    missing = values.shape.rank - weight.shape.rank
    if missing < 0:
        raise ValueError(
            f"`weight` must have the leading axes of `values`, {values.shape}. Received: weight of shape {weight.shape}"
        )
    for _ in range(missing):
        weight = weight[..., tf.newaxis]
    return tf.broadcast_to(weight, tf.shape(values))


def as_floats(**tensors: Any) -> list[tf.Tensor]:
    """The named tensors as float32, in order.

    Raises:
        ValueError: Their shapes differ. Without this, `(B,)` beside `(B, 1)` would silently become `(B, B)`.
    """
    floats = [tf.cast(tensor, tf.float32) for tensor in tensors.values()]
    if not all(floats[0].shape.is_compatible_with(tensor.shape) for tensor in floats):
        shapes = ", ".join(f"{name} {tensor.shape}" for name, tensor in zip(tensors, floats))
        raise ValueError(f"`{'`, `'.join(tensors)}` must have one shape. Received: {shapes}")
    return floats
