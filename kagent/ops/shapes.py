"""One check, made while tracing: tensors that belong together have one shape."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


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
