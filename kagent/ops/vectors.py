"""Tensors of many shapes as vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

LARGE = 1 << 14  # entries, from which on copying a tensor costs more than handling it on its own


def flatten(tensors: Sequence[Any]) -> tf.Tensor:
    """All entries, one tensor behind the other.

    Args:
        tensors: At least one, of any static shapes.

    Returns:
        float32 `(n,)`.

    Example:

    >>> flatten([[[1.0, 2.0]], 3.0]).numpy().tolist()
    [1.0, 2.0, 3.0]
    """
    flat = [tf.reshape(tf.cast(tf.convert_to_tensor(x), tf.float32), (-1,)) for x in tensors]
    return flat[0] if len(flat) == 1 else tf.concat(flat, axis=0)


def unflatten(vector: Any, like: Sequence[Any]) -> list[tf.Tensor]:
    """The inverse of `flatten`.

    Args:
        vector: `(n,)`.
        like: Tensors or variables of the shapes to return, of n entries together.

    Returns:
        Tensors of the shapes of `like`.

    Example:

    >>> [x.numpy().tolist() for x in unflatten([1.0, 2.0, 3.0], [tf.zeros((1, 2)), tf.zeros(())])]
    [[[1.0, 2.0]], 3.0]
    """
    parts = tf.split(vector, [math.prod(x.shape) for x in like])
    return [tf.reshape(part, x.shape) for part, x in zip(parts, like)]


def pieces(tensors: Sequence[Any], large: int = LARGE) -> list[tf.Tensor]:
    """As `flatten`, in few pieces: neighbours together, but those with `large` entries or more each on their own.

    XLA's code for CPUs joins large matrices at 17 ns a number, 1.2 ms for one of 256 x 256.

    Args:
        tensors: Of any static shapes.
        large: Entries.

    Returns:
        float32 vectors, which one behind the other are all entries.

    Example:

    >>> [x.numpy().tolist() for x in pieces([[1.0], [2.0], [3.0, 4.0], [5.0]], large=2)]
    [[1.0, 2.0], [3.0, 4.0], [5.0]]
    """
    runs: list[list[Any]] = []
    open_run = False
    for x in map(tf.convert_to_tensor, tensors):
        small = math.prod(x.shape) < large
        if small and open_run:
            runs[-1].append(x)
        else:
            runs.append([x])
        open_run = small
    return [flatten(run) for run in runs]
