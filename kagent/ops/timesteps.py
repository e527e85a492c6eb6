"""Consecutive timesteps, given as arrays or tensors, in the one form that returns are computed of."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

_FLAGS = ("terminated", "truncated")


class Timesteps(NamedTuple):
    """Consecutive timesteps as tensors `(T, N)`, and the form in which the result goes back.

    Attributes:
        rewards, next_values, values, weight: float32; None where not given.
        terminated, truncated: bool.
        flat: Whether `(T,)` was given, and goes back.
        symbolic: Whether a tensor was given, and goes back; else a NumPy array does.
    """

    rewards: tf.Tensor
    terminated: tf.Tensor
    truncated: tf.Tensor
    flat: bool
    symbolic: bool
    next_values: tf.Tensor | None = None
    values: tf.Tensor | None = None
    weight: tf.Tensor | None = None

    @property
    def ended(self) -> tf.Tensor:
        """Where an episode ended, bool `(T, N)`."""
        return tf.logical_or(self.terminated, self.truncated)

    def release(self, found: tf.Tensor) -> Any:
        """A result of these timesteps, float32 `(T, N)`, in the form that they were given in."""
        found = found[:, 0] if self.flat else found
        return found if self.symbolic else found.numpy()


def read(**given: Any) -> Timesteps:
    """Timesteps from arrays, lists or tensors.

    Args:
        **given: `rewards`, `terminated`, `truncated`, `next_values`, `values`, `weight`, each `(T,)` of one environment or `(T, N)`
            of N side by side; the latter three may be None.

    Raises:
        ValueError: Different shapes, empty ones, entries that are not finite.
        TypeError: Flags that are no bools, numbers that are none.

    Example:

    >>> read(rewards=[1, 2], terminated=[False, True], truncated=[0, 0]).ended.numpy().tolist()
    [[False], [True]]
    """
    symbolic = any(isinstance(value, tf.Tensor) for value in given.values())
    arrays = {
        name: value if value is None or isinstance(value, tf.Tensor) else _array(name, value)
        for name, value in given.items()
    }
    shapes = {name: tuple(value.shape) for name, value in arrays.items() if value is not None}
    if len(set(shapes.values())) > 1 or len(shapes["rewards"]) not in (1, 2) or 0 in shapes["rewards"]:
        raise ValueError(f"Arrays must be of one shape, (T,) or (T, N), none empty. Received: {shapes}")
    flat = len(shapes["rewards"]) == 1
    tensors = {
        name: tf.cast(value[:, None] if flat else value, tf.bool if name in _FLAGS else tf.float32)
        for name, value in arrays.items()
        if value is not None
    }
    return Timesteps(**tensors, flat=flat, symbolic=symbolic)


def _array(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if name in _FLAGS:
        if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
            raise TypeError(f"`{name}` must be bools. Received: {value!r}")
        return array.astype(bool)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"`{name}` must be numbers. Received: {value!r}")
    if not np.isfinite(array).all():
        raise ValueError(f"`{name}` must be finite. Received: {value!r}")
    return array.astype(np.float32)
