"""Learning to do what was done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from .td import by_component, mask_values, pick


def cross_entropy(table: Any, action: Any, nvec: Sequence[int], mask: Any = None) -> tf.Tensor:
    """Negative log-likelihood of the actions taken, under the softmax of a flat table of logits or Q-values.

    `-sum_i log softmax(table_i)[action_i]` over the components i: behaviour cloning (Pomerleau 1991) of discrete actions,
    with the table as preferences. Values that `mask` forbids have probability 0.

    Args:
        table: float32 `(B, sum(nvec))`.
        action: Integer indices `(B, *shape)` with `prod(shape) == len(nvec)`.
        nvec: Number of values of each component.
        mask: bool `(B, sum(nvec))`, True = allowed; None allows all.

    Returns:
        float32 `(B,)`, to be averaged by `weighted_mean`. About 1e9 where the action taken was forbidden.

    Example:

    >>> round(float(cross_entropy([[0.0, 0.0]], [1], nvec=[2])[0]), 4)
    0.6931
    """
    rows = tf.nn.log_softmax(by_component(mask_values(table, mask), nvec), axis=-1)
    return -tf.reduce_sum(pick(rows, tf.reshape(action, (-1, rows.shape[1]))), axis=-1)
