"""How much the variables of an agent that is made from a file may take, together: it is counted before they are made."""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

_counting: contextvars.ContextVar[bool] = contextvars.ContextVar("counting", default=False)


@contextlib.contextmanager
def of_variables(most: int | None, reason: str) -> Iterator[None]:
    """Variables that are made in the block may have `most` bytes in all. A block in another one has the bound of that.

    Layers are small enough each, and a few hundred characters may still name networks, twins and optimizers of any size.

    Args:
        most: Bytes; None: any number.
        reason: What the bound is, for the message.

    Raises:
        ValueError: At the variable that would go beyond it, which is not made.

    Example:

    >>> import keras
    >>> with of_variables(100, "the file holds 100 bytes"):
    ...     keras.layers.Dense(5).build((None, 5))
    Traceback (most recent call last):
        ...
    ValueError: The configuration asks for variables of 120 bytes and more, and the file holds 100 bytes
    """
    if most is None or _counting.get():
        yield
        return
    taken, scratch = 0, tf.Graph()  # in a graph that is never run an initial value has a shape and no content

    def make(next_creator: Any, **kwargs: Any) -> Any:
        nonlocal taken
        value = kwargs["initial_value"]
        if callable(value):
            with scratch.as_default():
                value = value()
        taken += math.prod(value.shape) * tf.as_dtype(value.dtype).size
        if taken > most:
            raise ValueError(f"The configuration asks for variables of {taken} bytes and more, and {reason}")
        return next_creator(**kwargs)

    token = _counting.set(True)
    try:
        with tf.variable_creator_scope(make):
            yield
    finally:
        _counting.reset(token)
