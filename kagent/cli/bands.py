"""Many runs as one line with a band: at each point over the seeds, as `kagent.cli.scores` for one score."""

from __future__ import annotations

import itertools
import math

import numpy as np

SPREADS = ("iqm", "mean", "range", "iqr")
_EXACT = 3125  # resamples of five seeds: so many are all looked at
_DRAWN = 2000
_CELLS = 4_000_000  # numbers in memory at a time


def caption(spread: str) -> str:
    """In words the line and the band of a spread."""
    return {
        "iqm": "line: interquartile mean of seeds, band: its 95 % bootstrap interval",
        "mean": "line: mean of seeds, band: its 95 % bootstrap interval",
        "range": "line: mean of seeds, band: worst to best",
        "iqr": "line: median of seeds, band: middle half",
    }[spread]


def band(table: np.ndarray, spread: str = "iqm") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The line and the ends of the band.

    Args:
        table: A row for each seed, `(seeds, points)` float64.
        spread: `"iqm"`, the interquartile mean and its 95 % bootstrap interval over seeds; `"mean"`, the same for the mean;
            `"range"`, the mean, the worst and the best seed; `"iqr"`, the median and the middle half.

    Returns:
        Line, low and high, `(points,)` each.

    Example:

    >>> [values.tolist() for values in band(np.array([[0.0], [3.0], [9.0]]), "range")]
    [[4.0], [0.0], [9.0]]
    """
    if spread == "range":
        return table.mean(axis=0), table.min(axis=0), table.max(axis=0)
    if spread == "iqr":
        low, line, high = np.percentile(table, [25, 50, 75], axis=0)
        return line, low, high
    return (middle(table, spread), *_interval(table, spread))


def middle(table: np.ndarray, spread: str = "iqm", axis: int = 0) -> np.ndarray:
    """The mean, or the mean of the middle half: a quarter of the seeds, rounded down, is left out at both ends."""
    count = table.shape[axis]
    cut = count // 4 if spread == "iqm" else 0
    kept = np.take(np.sort(table, axis=axis), range(cut, count - cut), axis=axis) if cut else table
    result: np.ndarray = kept.mean(axis=axis)
    return result


def _interval(table: np.ndarray, spread: str) -> tuple[np.ndarray, np.ndarray]:
    seeds, points = table.shape
    if math.pow(seeds, seeds) <= _EXACT:
        picks = np.array(list(itertools.product(range(seeds), repeat=seeds)))
    else:
        picks = np.random.default_rng(0).integers(seeds, size=(_DRAWN, seeds))
    width = max(_CELLS // picks.size, 1)
    ends = [
        np.percentile(middle(table[picks, at : at + width], spread, axis=1), [2.5, 97.5], axis=0)
        for at in range(0, points, width)
    ]
    low, high = np.concatenate(ends, axis=1)
    return low, high
