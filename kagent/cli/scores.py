"""What several seeds say together: the interquartile mean, and how sure it is (Agarwal et al. 2021, arXiv:2108.13264)."""

from __future__ import annotations

import itertools
import random
import statistics
from collections.abc import Sequence

_EXACT = 3125  # resamples of five seeds: so many are all looked at
_DRAWN = 10_000


def interquartile_mean(values: Sequence[float]) -> float:
    """Mean of the middle half; a quarter, rounded down, is left out at both ends.

    Args:
        values: One score each, at least one.

    Example:

    >>> interquartile_mean([0.0, 1.0, 2.0, 6.0, 500.0])  # of 1, 2 and 6
    3.0
    """
    cut = len(values) // 4
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


def bootstrap_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the interquartile mean: where it lies when the seeds are drawn again with replacement.

    Of up to five values all resamples are looked at, `n**n` of them; of more, 10,000 from a fixed seed.

    Args:
        values: One score for each seed, at least one. They are one stratum: those of one task.
        level: Share of the resamples that lie between the ends.

    Returns:
        Low and high.

    Example:

    >>> bootstrap_interval([0.0, 10.0], level=0.5)  # of the means 0, 5, 5 and 10
    (3.75, 6.25)
    """
    count = len(values)
    if count**count <= _EXACT:
        resamples = itertools.product(values, repeat=count)
    else:
        generator = random.Random(0)
        resamples = (tuple(generator.choices(values, k=count)) for _ in range(_DRAWN))  # type: ignore[assignment]
    found = sorted(interquartile_mean(resample) for resample in resamples)
    return quantile(found, (1.0 - level) / 2.0), quantile(found, (1.0 + level) / 2.0)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value with `share` of the others below it, linear between two neighbours.

    Args:
        ordered: Ascending, at least one.
        share: From 0 to 1.
    """
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
