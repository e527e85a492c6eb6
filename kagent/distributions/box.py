"""What distributions over a box share: shape, bounds, and the way into them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kagent.distributions.distribution import Distribution


class BoxDistribution(Distribution):
    """A distribution over actions of `shape`, clipped to `[low, high]` on the way to the environment.

    Every head has as many numbers as an action.

    Args:
        shape: Shape of one action.
        low, high: Bounds, a number or an array that broadcasts to `shape`; infinite (or `"inf"`) where there
            is none.

    Raises:
        ValueError: Bounds that do not fit `shape`, are not ordered, or are NaN; an empty shape.
    """

    def __init__(self, shape: Sequence[int], low: Any = -math.inf, high: Any = math.inf):
        self.shape = tuple(int(n) for n in shape)
        size = math.prod(self.shape)
        if size == 0:
            raise ValueError(f"`shape` must have at least one element. Received: {self.shape}")
        lows, highs = _numbers("low", low, self.shape), _numbers("high", high, self.shape)
        if not (lows <= highs).all():
            raise ValueError(f"`low` must be at most `high` everywhere. Received: low={low}, high={high}")
        self.low, self.high = _inward(lows, toward=math.inf), _inward(highs, toward=-math.inf)
        # Bounds with no float32 between them, as those of a fixed component: the nearest one is all there is.
        crossed = self.low > self.high
        largest = np.finfo(np.float32).max
        self.low = np.where(crossed, np.clip(highs, -largest, largest).astype(np.float32), self.low)
        self.high = np.where(crossed, self.low, self.high)
        self.head_sizes = (size,) * len(self.head_names)

    def to_env(self, action: Any) -> tf.Tensor:
        """Clips to `[low, high]`; float32 `(B, *shape)`."""
        return tf.clip_by_value(tf.cast(action, tf.float32), self.low, self.high)

    def get_config(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "low": _to_json(self.low), "high": _to_json(self.high)}


class ScaledDistribution(BoxDistribution):
    """A distribution over canonical actions in [-1, 1], stretched to finite bounds on the way to the environment.

    Args:
        shape: Shape of one action.
        low, high: Finite bounds, a number or an array that broadcasts to `shape`.

    Raises:
        ValueError: An infinite bound, or what `BoxDistribution` refuses.
    """

    def __init__(self, shape: Sequence[int], low: Any, high: Any):
        super().__init__(shape, low, high)
        if not (np.isfinite(self.low).all() and np.isfinite(self.high).all()):
            raise ValueError(
                f"`low` and `high` of a {type(self).__name__} must be finite: it reaches no further. "
                f"Received: low={low}, high={high}. Allowed for unbounded actions: 'gaussian'"
            )

    def to_env(self, action: Any) -> tf.Tensor:
        """`low + (action + 1) / 2 * (high - low)`, exact at both ends; float32 `(B, *shape)`."""
        upper = 0.5 + 0.5 * tf.cast(action, tf.float32)
        # The weighted form cannot overflow for wide bounds; the clip catches its rounding.
        return tf.clip_by_value(self.low * (1.0 - upper) + self.high * upper, self.low, self.high)

    def _inside(self, action: Any) -> tf.Tensor:
        """Actions `(B, d)` with -1 and 1, which float32 rounds to, as their inner neighbours."""
        limit = float(np.nextafter(np.float32(1.0), np.float32(0.0)))
        return tf.clip_by_value(self._flat(tf.cast(action, tf.float32)), -limit, limit)


def _numbers(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A bound as float64 array of `shape`."""
    array = np.asarray(value, dtype=object)
    try:
        array = np.broadcast_to(np.array([float(v) for v in array.ravel()]).reshape(array.shape), shape)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be numbers that broadcast to {shape}. Received: {value!r}") from error
    if np.isnan(array).any():
        raise ValueError(f"`{name}` must not be NaN. Received: {value!r}")
    return array


def _inward(array: np.ndarray, toward: float) -> np.ndarray:
    """A bound as float32, rounded towards the inside so that clipped actions are legal."""
    with np.errstate(over="ignore"):
        rounded = array.astype(np.float32)
    outside = rounded < array if toward > 0 else rounded > array
    return np.where(outside, np.nextafter(rounded, np.float32(toward)), rounded)


def _to_json(bound: np.ndarray) -> Any:
    """One number where all are equal, else nested lists; infinities, which JSON does not have, as words."""
    words = np.vectorize(lambda v: float(v) if math.isfinite(v) else str(float(v)), otypes=[object])(bound)
    return words.flat[0] if (bound == bound.flat[0]).all() else words.tolist()
