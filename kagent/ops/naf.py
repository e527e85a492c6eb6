"""Normalized advantage functions: Q-learning of continuous actions (Gu et al. 2016, arXiv:1603.00748, section 4).

`Q(s, u) = V(s) - (u - mu(s))' P(s) (u - mu(s)) / 2` with `P = L L'` positive definite: the best action is `mu` and its
value is `V`, so that targets need no search.

Written with `keras.ops`: symbolic tensors of a model's functional graph are taken too.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


def lower_triangular(entries: Any, size: int) -> Any:
    """The matrices L: lower-triangular, with the exponentials of the given numbers on the diagonal.

    Args:
        entries: float32 `(B, size * (size + 1) / 2)`: row by row what is on and below the diagonal.
        size: Rows of a matrix.

    Returns:
        float32 `(B, size, size)`, zero above the diagonal.

    Raises:
        ValueError: Another number of entries.

    Example:

    >>> lower_triangular([[0.0, 2.0, 0.0]], size=2).numpy().tolist()
    [[[1.0, 0.0], [2.0, 1.0]]]
    """
    entries = _floats(entries)
    count = size * (size + 1) // 2
    if entries.shape[-1] != count:
        raise ValueError(f"`entries` must be (B, {count}) for size={size}. Received: shape {tuple(entries.shape)}")
    rows, columns = np.tril_indices(size)
    diagonal = rows == columns
    # Only the diagonal is exponentiated, also on the way back: an infinite exponential times 0 is no number.
    grown = ops.exp(ops.where(diagonal, entries, 0.0))
    entries = ops.where(diagonal, grown, entries)
    places = np.full((size, size), count, np.int32)
    places[rows, columns] = np.arange(count)
    filled = ops.concatenate([entries, ops.zeros_like(entries[:, :1])], axis=-1)
    return ops.reshape(ops.take(filled, places.ravel(), axis=-1), (-1, size, size))


def precision(lower: Any) -> Any:
    """`P = L L'`.

    Args:
        lower: float32 `(B, n, n)`.

    Returns:
        float32 `(B, n, n)`.

    Example:

    >>> precision([[[1.0, 0.0], [2.0, 3.0]]]).numpy().tolist()
    [[[1.0, 2.0], [2.0, 13.0]]]
    """
    lower = _floats(lower)
    return ops.matmul(lower, ops.transpose(lower, (0, 2, 1)))


def quadratic_advantage(action: Any, mean: Any, lower: Any) -> Any:
    """`A = -(action - mean)' L L' (action - mean) / 2`, which is 0 at the mean and negative elsewhere.

    Args:
        action, mean: float32 `(B, n)`.
        lower: float32 `(B, n, n)`.

    Returns:
        float32 `(B,)`.

    Example:

    >>> quadratic_advantage([[1.0, 0.0]], [[0.0, 1.0]], [[[1.0, 0.0], [2.0, 3.0]]]).numpy().tolist()
    [-5.0]
    """
    distance = _floats(action) - _floats(mean)
    seen = ops.sum(_floats(lower) * ops.expand_dims(distance, -1), axis=1)  # L' (action - mean)
    return -0.5 * ops.sum(ops.square(seen), axis=-1)


def naf_value(action: Any, mean: Any, lower: Any, value: Any) -> Any:
    """`Q = V + A`.

    Args:
        action, mean, lower: As for `quadratic_advantage`.
        value: float32 `(B,)` or `(B, 1)`.

    Returns:
        float32 `(B,)`.

    Example:

    >>> naf_value([[2.0]], [[0.5]], [[[1.0]]], [3.0]).numpy().tolist()
    [1.875]
    """
    return ops.reshape(_floats(value), (-1,)) + quadratic_advantage(action, mean, lower)


def _floats(x: Any) -> Any:
    return ops.cast(x if keras.backend.is_keras_tensor(x) else ops.convert_to_tensor(x), "float32")
