"""What is done to observations and rewards on their way from the environment to the agent.

Unlike the equations of `kagent.ops` these run on the host, between two environment steps: they take and return NumPy arrays, and
reckon in float64, so that what is increasing stays so when the results are rounded to float32.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

LUMINANCE = (0.2989, 0.5870, 0.1140)


def linear_normalization(x: Any, low: Any, high: Any) -> np.ndarray:
    """`4 (x - low) / (high - low) - 2`: -2 at `low`, 2 at `high`.

    Args:
        x: `(..., *shape)`.
        low, high: Bounds of `shape`. Components of which one is infinite are returned as they are; components whose bounds
            are equal are 0, the middle.

    Returns:
        float64, of the shape of `x`.

    Example:

    >>> linear_normalization([[0.0, 5.0], [2.5, 7.0]], [0.0, 0.0], [10.0, np.inf]).tolist()
    [[-2.0, 5.0], [-1.0, 7.0]]
    """
    x, low, high = (np.asarray(value, np.float64) for value in (x, low, high))
    finite = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(finite, low, 0.0), np.where(finite, high, 1.0)
    middle, half = high / 2.0 + low / 2.0, high / 2.0 - low / 2.0
    with np.errstate(over="ignore", invalid="ignore"):
        width = high - low
        wide = ~np.isfinite(4.0 * width)  # halves first: the difference is more than a float64 holds
        scaled = np.where(
            wide,
            2.0 * ((x - middle) / np.where(wide, half, 1.0)),
            4.0 * (x - low) / np.where(wide | (width == 0.0), 1.0, width) - 2.0,
        )
    return np.where(finite, np.where(width == 0.0, 0.0, scaled), x)


def merged_moments(
    weight: float, mean: Any, variance: Any, other_weight: float, other_mean: Any, other_variance: Any
) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean and variance of two groups of numbers together (Chan, Golub and LeVeque 1979).

    With counts as weights these are the moments of all numbers so far. With the weights
    `decay**n * weight` and `1 - decay**n` they are moments in which a number that is k steps old counts `decay**k`,
    divided by the sum of these, so that they are not drawn towards where they began.

    Args:
        weight, other_weight: How much each group counts, >= 0. Where both are 0 the first group stays as it is.
        mean, other_mean: Means, of one shape.
        variance, other_variance: Variances (of the group, not estimates of a population's), of that shape.

    Returns:
        Weight, mean and variance of both, float64.

    Example:

    >>> merged_moments(2.0, 1.0, 1.0, 1.0, 7.0, 0.0)  # of 0, 2 and 7
    (3.0, np.float64(3.0), np.float64(8.666666666666666))
    """
    total = weight + other_weight
    share = other_weight / total if total > 0.0 else 0.0
    difference = np.asarray(other_mean, np.float64) - mean
    merged = (1.0 - share) * np.asarray(variance, np.float64) + share * np.asarray(other_variance, np.float64)
    return total, mean + share * difference, merged + share * (1.0 - share) * np.square(difference)


def luminance(x: np.ndarray, weights: Any = LUMINANCE) -> np.ndarray:
    """The weighted sum of an image's channels.

    Args:
        x: `(..., channels)`.
        weights: `(channels,)`. Default: those of ITU-R BT.601 for red, green and blue.

    Returns:
        float64 `(..., 1)`.

    Example:

    >>> luminance(np.array([[1.0, 2.0, 4.0]]), (0.5, 0.25, 0.25)).tolist()
    [[2.0]]
    """
    return (np.asarray(x, np.float64) @ np.asarray(weights, np.float64))[..., None]


def resize_bilinear(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Images of another size, by linear interpolation between the centres of the pixels, without anti-aliasing.

    As `tf.image.resize(x, (height, width))`: pixel i of n covers the range from i / n to (i + 1) / n of the image, and
    beyond the outermost centres there are the outermost pixels.

    Args:
        x: `(N, rows, columns, channels)`.
        height, width: Rows and columns of the results.

    Returns:
        `(N, height, width, channels)`, float64.

    Example:

    >>> resize_bilinear(np.array([0.0, 1.0, 2.0, 3.0]).reshape(1, 1, 4, 1), 1, 2)[0, 0, :, 0].tolist()
    [0.5, 2.5]
    """
    x = np.asarray(x, np.float64)
    for axis, size in ((1, height), (2, width)):
        if x.shape[axis] == size:
            continue
        below, above, part = _neighbours(x.shape[axis], size)
        first = np.take(x, below, axis)
        second = np.take(x, above, axis)
        second -= first
        second *= part[:, None, None] if axis == 1 else part[:, None]
        first += second
        x = first
    return x


@functools.lru_cache(maxsize=64)
def _neighbours(size: int, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # Of each wanted pixel: the two it lies between, and how far it is from the first to the second.
    where = (np.arange(wanted) + 0.5) * (size / wanted) - 0.5
    whole = np.floor(where)
    below, above = (np.clip(whole + k, 0, size - 1).astype(np.intp) for k in (0, 1))
    found = below, above, where - whole
    for array in found:
        array.flags.writeable = False  # everyone gets the same arrays
    return found


def standardize(x: Any, mean: Any, variance: Any, floor: float = 0.0, epsilon: float = 0.0) -> np.ndarray:
    """`(x - mean) / sqrt(max(variance, floor) + epsilon)`.

    Example:

    >>> standardize([3.0, 5.0], 1.0, 4.0).tolist()
    [1.0, 2.0]
    """
    result: np.ndarray = (np.asarray(x, np.float64) - mean) / np.sqrt(np.maximum(variance, floor) + epsilon)
    return result


def running_return(before: Any, reward: Any, discount: float, fresh: Any) -> np.ndarray:
    """`discount * before + reward`: rewards of an episode so far, the one k timesteps ago times `discount**k`.

    Divided by the standard deviation of these sums, rewards of any scale have returns of a scale near 1 (Engstrom et al. 2020,
    "Implementation Matters in Deep Policy Gradients", arXiv:2005.12729, section 2).

    Args:
        before: The sums of the timestep before, `(n,)`, one for each environment.
        reward: `(n,)`.
        discount: From 0 to 1.
        fresh: bool `(n,)`: where an episode begins, and nothing came before.

    Returns:
        float64 `(n,)`.

    Example:

    >>> running_return([8.0, 8.0], [1.0, 1.0], 0.5, [False, True]).tolist()
    [5.0, 1.0]
    """
    kept = np.where(np.asarray(fresh, bool), 0.0, np.asarray(before, np.float64))
    return discount * kept + np.asarray(reward, np.float64)
