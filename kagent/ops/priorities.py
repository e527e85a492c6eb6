"""How often prioritized transitions are drawn, and what they count (Schaul et al. 2016, arXiv:1511.05952, section 3).

These run on the host, beside the memory: functions of NumPy arrays, in float64.
"""

from __future__ import annotations

import numpy as np

# Between these a share is positive in every sum of 2**63 of them, and their ratios are numbers of float64.
LEAST, MOST = 1e-120, 1e120


def shares(priorities: np.ndarray, alpha: float) -> np.ndarray:
    """`priorities**alpha`: to what transitions are drawn in proportion. From 1e-120 to 1e120, whatever the arguments.

    Args:
        priorities: float64 of any shape, finite and more than 0.
        alpha: At least 0.

    Returns:
        float64 of that shape.

    Example:

    >>> shares(np.array([1.0, 4.0]), 0.5).tolist(), shares(np.array([1e-6, 1e30]), 60.0).tolist()
    ([1.0, 2.0], [1e-120, 1e+120])
    """
    with np.errstate(over="ignore", under="ignore"):
        return np.clip(np.asarray(priorities, np.float64) ** alpha, LEAST, MOST)


def importance_weights(probabilities: np.ndarray, size: int, beta: float) -> np.ndarray:
    """`(size * probabilities)**-beta`, divided by the largest of each minibatch: what drawn transitions count.

    Args:
        probabilities: float64 `(K, B)`, of the drawn transitions of K minibatches; more than 0.
        size: Transitions in the memory.
        beta: From 0 to 1.

    Returns:
        float32 `(K, B)`, more than 0 (at least the smallest normal number) and at most 1.

    Example:

    >>> importance_weights(np.array([[0.5, 0.25]]), 4, 1.0).tolist()
    [[0.5, 1.0]]
    """
    weights = (size * probabilities) ** -beta
    least = float(np.finfo(np.float32).tiny)
    found: np.ndarray = np.maximum(weights / weights.max(axis=1, keepdims=True), least).astype(np.float32)
    return found


def sequence_priorities(errors: np.ndarray, eta: float) -> np.ndarray:
    """`eta * max + (1 - eta) * mean` of the absolute errors of each sequence (Kapturowski et al. 2019, section 2.3).

    Args:
        errors: float64 `(L, B)`, errors of L timesteps of B sequences.
        eta: From 0 to 1.

    Returns:
        float64 `(B,)`, at least 0.

    Example:

    >>> sequence_priorities(np.array([[1.0], [-3.0]]), 0.5).tolist()
    [2.5]
    """
    sizes = np.abs(errors)
    found: np.ndarray = eta * sizes.max(axis=0) + (1.0 - eta) * sizes.mean(axis=0)
    return found
