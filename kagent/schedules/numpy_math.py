"""What schedules compute with on the host, where time is a Python float. Mirrored by `tensor_math`."""

from __future__ import annotations

import functools
import math
from math import cos, log, sqrt
from typing import Any

import numpy as np

from kagent.schedules import noise

__all__ = ["ceil", "cos", "discounted_noise", "floor", "log", "maximum", "minimum", "power", "sqrt", "step", "where"]

# The built-in ones compare whole sequences; these are three times faster on two numbers.


def minimum(a: float, b: float) -> float:
    """The smaller of two numbers."""
    return a if a < b else b


def maximum(a: float, b: float) -> float:
    """The larger of two numbers."""
    return a if a > b else b


def where(condition: bool, a: float, b: float) -> float:
    """`a` where the condition holds, else `b`."""
    return a if condition else b


def floor(x: float) -> float:
    """The largest whole number up to `x`, as float; infinity as it is."""
    return float(math.floor(x)) if x < math.inf else x


def ceil(x: float) -> float:
    """The smallest whole number from `x` on, as float; infinity as it is."""
    return float(math.ceil(x)) if x < math.inf else x


def power(base: float, exponent: float) -> float:
    """`base**exponent`; infinity where that overflows."""
    try:
        result: float = base**exponent
        return result
    except OverflowError:  # tensors overflow to infinity
        return math.inf


def step(time: float) -> int:
    """The whole steps of a time >= 0: what noise is counted by."""
    return int(time)


def discounted_noise(seed: int, last: int, decay: float) -> float:
    """`noise[last] + decay * noise[last - 1] + decay**2 * noise[last - 2] + ...` of normal noise from step 1 on."""
    weights = noise.weights(decay)
    first = max(last - len(weights) + 1, 1)
    count = last + 1 - first
    if count < 1:
        return 0.0
    size = max(1024, len(weights))
    number, begin = divmod(first, size)
    recent = _block(seed, size, number)[begin : begin + count]
    if len(recent) < count:
        recent = np.concatenate([recent, _block(seed, size, number + 1)[: count - len(recent)]])
    return float(np.dot(weights[-count:], recent))


# Time goes in small steps, so the noise of many is made at once and kept. It could be made again any time: this is no
# state. A sum reaches into two blocks at most.
@functools.lru_cache(maxsize=256)
def _block(seed: int, size: int, number: int) -> Any:
    return noise.normal(seed, np.arange(number * size, (number + 1) * size, dtype=np.int64), np)
