"""Random numbers as a pure function of a seed and a count, the same in Python, NumPy and TensorFlow.

A generator has a state, which would have to be saved, and would differ between the host and the compiled learner. A
counter-based one has none: Threefry-2x32-20 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as
1, 2, 3", the generator of JAX and one of XLA's) makes 64 random bits from a 64-bit key and a 64-bit counter.

Everything here is written once, with operators that Python's integers, NumPy's int64 arrays and TensorFlow's int64
tensors share. Tensors have no shifts, hence the multiplications and divisions by powers of two, which compilers turn
into shifts; int64 holds all of it, as a rotated word of 32 bits has 61 at most.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

_WORD = 2**32
_LOW = _WORD - 1
_PARITY = 0x1BD11BDA
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PRECISION = 2.0**-24  # of float32


def threefry(seed: Any, count: Any) -> tuple[Any, Any]:
    """Two independent words of 32 random bits.

    Args:
        seed: The key, an integer from 0 to 2**64 - 1, or a uint64 array that broadcasts with an array or tensor of counters.
        count: The counter, integers from 0 on: an int, an int64 array or an int64 tensor.

    Returns:
        Two integers from 0 to 2**32 - 1, or arrays or tensors of them.

    Example:

    >>> [hex(word) for word in threefry(0, 0)]
    ['0x6b200159', '0x99ba4efe']
    """
    low, high = seed & _LOW, seed // _WORD
    if isinstance(seed, np.ndarray):
        low, high = low.astype(np.int64), high.astype(np.int64)
    keys = (low, high, low ^ high ^ _PARITY)
    a, b = (count + keys[0]) & _LOW, (count // _WORD + keys[1]) & _LOW
    for group in range(1, 6):
        for rotation in _ROTATIONS[(group + 1) % 2]:
            a = (a + b) & _LOW
            b = b * 2**rotation
            b = ((b ^ (b // _WORD)) & _LOW) ^ a
        a = (a + keys[group % 3]) & _LOW
        b = (b + (keys[(group + 1) % 3] + group)) & _LOW
    return a, b


def uniform(seed: Any, count: Any) -> Any:
    """Numbers from the uniform distribution over [0, 1). Args as for `threefry`.

    Example:

    >>> round(uniform(0, 0), 6)
    0.418457
    """
    return threefry(seed, count)[0] / _WORD


def normal(seed: Any, count: Any, numerics: Any) -> Any:
    """Numbers from the normal distribution with mean 0 and standard deviation 1, by Box and Muller 1958.

    Args:
        seed, count: As for `threefry`.
        numerics: Whose `sqrt`, `log` and `cos` apply to `count`: `math`, `numpy`, `tf.math`.

    Example:

    >>> round(normal(0, 0, math), 6)
    -1.065452
    """
    first, second = threefry(seed, count)
    radius = numerics.sqrt(-2.0 * numerics.log((first + 1) / _WORD))  # of (0, 1]: the logarithm of 0 is infinite
    return radius * numerics.cos(2.0 * math.pi * (second / _WORD))


@functools.lru_cache(maxsize=64)
def weights(decay: float) -> Any:
    """`decay**n, ..., decay**2, decay, 1` in float64, as far back as float32 can tell the sum from the infinite one.

    Args:
        decay: In [0, 1).

    Example:

    >>> weights(0.5)[-3:].tolist(), len(weights(0.5))
    ([0.25, 0.5, 1.0], 24)
    """
    length = max(1, math.ceil(math.log(_PRECISION) / math.log(decay))) if decay > 0 else 1
    found = decay ** np.arange(length - 1, -1, -1, dtype=np.float64)
    found.flags.writeable = False  # everyone gets the same array
    return found
