"""Numbers in proportion to which entries are drawn."""

from __future__ import annotations

import numpy as np


class SumTree:
    """Weights of a fixed number of entries, changed and drawn from in time logarithmic in their number.

    A binary tree of sums (Schaul et al. 2016, appendix B.2.1). Each sum is that of its two children, never corrected by
    differences: equal weights make equal trees, whatever came before.

    Args:
        size: Number of entries; all weigh 0 at first.

    Example:

    >>> tree = SumTree(3)
    >>> tree.set(np.array([0, 2]), np.array([1.0, 3.0]))
    >>> tree.total, tree.find(np.array([0.5, 1.0, 3.9])).tolist()
    (4.0, [0, 2, 2])
    """

    def __init__(self, size: int):
        self.size = size
        self._leaves = 1 << (size - 1).bit_length()
        self._nodes = np.zeros(2 * self._leaves)  # the root is 1, the children of n are 2 n and 2 n + 1

    @property
    def total(self) -> float:
        """Sum of all weights."""
        return float(self._nodes[1])

    @property
    def weights(self) -> np.ndarray:
        """The weights, `(size,)`: a view that must not be written into."""
        return self._nodes[self._leaves : self._leaves + self.size]

    def set(self, entries: np.ndarray, weights: np.ndarray | float) -> None:
        """Gives entries weights, finite and at least 0. Of an entry given twice the last one counts."""
        places = np.asarray(entries, np.int64) + self._leaves
        self._nodes[places] = weights
        pairs, width = self._nodes.reshape(-1, 2), self._leaves if len(places) else 1
        while width > 1:
            width //= 2
            if len(places) < width:
                # Two entries may have one parent, whose sum is then taken twice: that costs less than to look for it.
                places >>= 1
                both = pairs.take(places, axis=0)
                self._nodes[places] = both[:, 0] + both[:, 1]
            else:
                both = pairs[width : 2 * width]
                np.add(both[:, 0], both[:, 1], out=self._nodes[width : 2 * width])

    def find(self, masses: np.ndarray) -> np.ndarray:
        """The entries whose part of the line of all weights, put end to end, holds these points.

        Args:
            masses: float64 of any shape, from 0 to less than `total`. An entry of weight 0 is never found.

        Returns:
            int64 of that shape.
        """
        nodes, masses = np.ones(np.shape(masses), np.int64), np.array(masses, np.float64)
        for _ in range(self._leaves.bit_length() - 1):
            nodes *= 2
            left = self._nodes.take(nodes)
            # Rounding may leave more than there is on the right, where all may be 0.
            right = (masses >= left) & (self._nodes.take(nodes + 1) > 0.0)
            masses -= left * right
            nodes += right
        return nodes - self._leaves
