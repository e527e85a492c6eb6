"""Observations standardized by frozen statistics, before the policy's program sees them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


class Standardization:
    """`clip((x - mean) / deviation, -clip, clip)` of some leaves, reckoned in float64, as float32.

    Args:
        leaves: For each observation leaf None, or a dict `{"mean", "deviation", "clip"}`: nested lists of numbers that
            broadcast to the leaf's shape, deviations > 0, and a number > 0 or None. It may come from an untrusted file.
        shapes: Of the observation's leaves.

    Attributes:
        config: `leaves`, JSON-ready.

    Raises:
        ValueError: Numbers that do not fit the leaves.
    """

    def __init__(self, leaves: Sequence[dict[str, Any] | None], shapes: Sequence[tuple[int, ...]]):
        if not isinstance(leaves, list | tuple) or len(leaves) != len(shapes):
            raise ValueError(
                f"`standardization` must have an entry for each of {len(shapes)} leaves. Received: {leaves!r}"
            )
        self.config = list(leaves)
        self._steps = [None if leaf is None else _read(leaf, shape) for leaf, shape in zip(leaves, shapes)]

    def __call__(self, leaves: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Leaves `(N, *shape)` as the policy takes them."""
        return [x if step is None else _apply(x, *step) for x, step in zip(leaves, self._steps)]

    def dtypes(self, before: Sequence[np.dtype]) -> list[np.dtype]:
        """Of the leaves afterwards: float32 where it changes them."""
        return [dtype if step is None else np.dtype(np.float32) for dtype, step in zip(before, self._steps)]


def _read(leaf: dict[str, Any], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, float]:
    mean, deviation = (np.asarray(leaf[name], np.float64) for name in ("mean", "deviation"))
    clip = math.inf if leaf["clip"] is None else float(leaf["clip"])
    for numbers in (mean, deviation):
        if np.broadcast_shapes(numbers.shape, shape) != shape or not np.isfinite(numbers).all():
            raise ValueError(
                f"`standardization` must be finite numbers of the shape {shape}. Received: {numbers.shape}"
            )
    if not (deviation > 0.0).all() or not clip > 0.0:
        raise ValueError(f"`standardization` must have deviations and a clip > 0. Received: {deviation}, {clip}")
    return mean, deviation, clip


def _apply(x: np.ndarray, mean: np.ndarray, deviation: np.ndarray, clip: float) -> np.ndarray:
    with np.errstate(over="ignore"):  # what is not finite is refused by whoever looks at the heads
        result: np.ndarray = np.clip((x.astype(np.float64) - mean) / deviation, -clip, clip).astype(np.float32)
    return result
