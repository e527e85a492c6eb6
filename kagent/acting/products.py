"""Matrix products that a BLAS computes on one thread.

OpenBLAS, which NumPy's wheels contain, hands a product of more than some 2^18 multiplications to all cores. Where another process
has one of them, its threads wait for each other: a product of 30 microseconds takes 15 milliseconds. One of fewer multiplications
stays on the calling thread, and several of them take no longer than a large one on one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

_ON_ONE_THREAD = 1 << 18  # multiplications
_PIECES = 16  # a product of more of them is worth several threads


def steps(x: np.ndarray, kernel: np.ndarray, out: np.ndarray) -> list[Callable[[], object]]:
    """Calls that put `x @ kernel` into `out`, each small enough for one thread; a large product is one call.

    Args:
        x: `(rows, in)` or `(in,)`, float32. It, `kernel` and `out` are read and written at the time of the calls.
        kernel: `(in, out)`, float32.
        out: `(rows, out)` or `(out,)`, contiguous, float32.
    """
    rows = len(x) if x.ndim == 2 else 1
    width, columns = kernel.shape
    if not _ON_ONE_THREAD < rows * width * columns <= _ON_ONE_THREAD * _PIECES:
        return [partial(x.dot, kernel, out)]
    if rows > 1:
        some = max(_ON_ONE_THREAD // (width * columns), 1)
        parts = [slice(start, start + some) for start in range(0, rows, some)]
        return [step for part in parts for step in steps(x[part], kernel, out[part])]
    # One row: a sum over parts of the inputs, as rows of `kernel` are in one piece of memory.
    some = max(_ON_ONE_THREAD // columns, 1)
    scratch = np.empty_like(out)
    made: list[Callable[[], object]] = [partial(x[..., :some].dot, kernel[:some], out)]
    for start in range(some, width, some):
        part = slice(start, start + some)
        made.append(partial(x[..., part].dot, kernel[part], scratch))
        made.append(partial(np.add, out, scratch, out))
    return made
