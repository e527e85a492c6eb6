"""Pools between the convolutions and the dense layers of automatic networks."""

from __future__ import annotations

import math

_MOST, _POOLED = 400, 144  # places that convolutions may leave to a dense layer, and that a pool leaves of more


def pooling(height: int, width: int) -> tuple[int, int]:
    """The windows of a pool behind convolutions that leave so many places: (1, 1), or as long on each axis as brings the longer one
    down until at most 144 places are left. The dense layer behind 5 x 198 places would have 32 million weights.

    Example:

    >>> pooling(7, 7), pooling(5, 198), pooling(59, 59)
    ((1, 1), (1, 8), (5, 5))
    """
    windows, left = [1, 1], [height, width]
    while height * width > _MOST and math.prod(left) > _POOLED:
        longer = int(left[1] > left[0])
        windows[longer] += 1
        left[longer] = -(-(height, width)[longer] // windows[longer])
    return windows[0], windows[1]
