"""Temporal-difference learning of action values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from .components import by_component, mask_values, pick, select
from .shapes import as_floats

__all__ = ["greedy_value", "huber", "q_learning", "select"]


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
