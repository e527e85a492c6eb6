"""Rows of arrays that have the same bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_WIDE = 512  # integers in a row, from which on its bytes are hashed one row at a time
_FACTORS = np.random.default_rng(1).integers(2**63, size=_WIDE, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def first_equal(sources: Sequence[np.ndarray], begin: np.ndarray, targets: Sequence[np.ndarray]) -> np.ndarray:
    """Of each source row the first target row, from some place on, that has the same bytes.

    Rows are found by a hash of 64 bits and compared then. Of two unequal target rows with the same hash the second is not found.

    Args:
        sources: What makes up the N source rows: integers `(N, width)`, an array for each part.
        begin: int64 `(N,)`, the first target row that counts for each.
        targets: The same of the M target rows.

    Returns:
        int64 `(N,)`, indices of target rows; -1: there is none.

    Example:

    >>> first_equal([np.array([[5], [7], [5]])], np.array([0, 0, 2]), [np.array([[7], [5], [7]])])
    array([ 1,  0, -1])
    """
    most, found = len(targets[0]), np.full(len(begin), -1, np.int64)
    if not len(begin) or not most:
        return found
    own, others = _hashes(sources), _hashes(targets)
    order = np.sort(others)
    maybe = np.flatnonzero(order[np.minimum(np.searchsorted(order, own), most - 1)] == own)
    if not len(maybe):
        return found
    # The hash and the place as one number, so that one search finds the first place from `begin` on.
    _, kinds = np.unique(np.concatenate([others, own[maybe]]), return_inverse=True)
    keys = np.sort(kinds[:most] * most + np.arange(most))
    wanted = kinds[most:] * most + np.minimum(begin[maybe], most - 1)
    key = keys[np.minimum(np.searchsorted(keys, wanted), most - 1)]
    place = key % most
    same = (key // most == kinds[most:]) & (key >= wanted) & (begin[maybe] < most)
    for source, target in zip(sources, targets):
        same[same] = (source[maybe[same]] == target[place[same]]).all(axis=1)
    found[maybe[same]] = place[same]
    return found


def _hashes(parts: Sequence[np.ndarray]) -> np.ndarray:
    found = np.zeros(len(parts[0]), np.uint64)
    for part in parts:
        found *= _FACTORS[0]
        if part.shape[1] <= _WIDE:
            found += (part.astype(np.uint64) * _FACTORS[: part.shape[1]]).sum(axis=1, dtype=np.uint64)
        else:
            found += np.array([hash(row.tobytes()) for row in part]).astype(np.uint64)
    return found
