"""Variables that a program reads and writes, on whatever device it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


class ProgramVariable:
    """A variable of a program, of any dtype.

    TensorFlow has no int32 variables on a GPU: it puts them on the CPU, where a program of XLA on the GPU does not find them. They are
    kept as uint32, bit for bit.

    Args:
        value: Its value, an array or a tensor. Its shape and dtype stay.
    """

    def __init__(self, value: Any):
        value = tf.convert_to_tensor(value)
        self._is_int32 = value.dtype == tf.int32
        self._variable = tf.Variable(self._kept(value), trainable=False)

    def assign(self, value: Any) -> None:
        """Sets it, in a program or on the host."""
        self._variable.assign(self._kept(value))

    def read_value(self) -> tf.Tensor:
        """Its value, in a program."""
        value = self._variable.read_value()
        return tf.bitcast(value, tf.int32) if self._is_int32 else value

    def numpy(self) -> Any:
        """Its value, on the host."""
        value = self._variable.numpy()
        return value.view(np.int32) if self._is_int32 else value

    def _kept(self, value: Any) -> Any:
        return tf.bitcast(tf.convert_to_tensor(value, tf.int32), tf.uint32) if self._is_int32 else value
