"""Schedules in a program, as precise as they are on the host."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from kagent import schedules
from kagent.schedules import Clock


def evaluated(value: Any, clock: Clock) -> tf.Tensor:
    """A number or a schedule at a time, float64. `tf.cast` of a number would go by way of float32."""
    now = schedules.evaluate(value, clock)
    return tf.cast(now, tf.float64) if tf.is_tensor(now) else tf.constant(now, tf.float64)
