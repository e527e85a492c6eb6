"""The equations of intrinsic rewards: how new an observation is. NumPy, float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Weights = list[tuple[np.ndarray, np.ndarray]]  # kernel (inputs, outputs) and bias (outputs,) of each layer


def features(x: np.ndarray, weights: Weights) -> list[np.ndarray]:
    """A perceptron with ReLU between its layers: what comes into each layer, and last of all its result.

    Args:
        x: `(n, inputs)`.
        weights: Of one or more layers.

    Returns:
        One array more than there are layers, each `(n, units)`.

    Example:

    >>> one = [(np.array([[2.0]]), np.array([-1.0])), (np.array([[3.0]]), np.array([0.5]))]
    >>> [found.tolist() for found in features(np.array([[1.0], [0.0]]), one)]
    [[[1.0], [0.0]], [[1.0], [0.0]], [[3.5], [0.5]]]
    """
    found = [x]
    for index, (kernel, bias) in enumerate(weights):
        if index:
            found[-1] = np.maximum(found[-1], 0.0)
        found.append(found[-1] @ kernel + bias)
    return found


def distillation_error(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """How far a network is from a random one on each observation: the mean squared difference of their features.

    It is small where observations like it were learned from before (Burda et al. 2019, "Exploration by Random Network
    Distillation", arXiv:1810.12894, section 2.2).

    Args:
        predicted, target: `(n, features)`.

    Returns:
        `(n,)`.

    Example:

    >>> distillation_error(np.array([[1.0, 2.0]]), np.array([[0.0, 4.0]])).tolist()
    [2.5]
    """
    error: np.ndarray = np.square(predicted - target).mean(axis=-1)
    return error


def distillation_gradients(found: Sequence[np.ndarray], target: np.ndarray, weights: Weights) -> Weights:
    """The gradient of the mean of `distillation_error` over a batch, by kernels and biases.

    Args:
        found: As `features` returned it for the learning network.
        target: `(n, features)`, of the random network.
        weights: Of the learning network.

    Returns:
        In the form of `weights`.

    Example:

    >>> one = [(np.array([[2.0]]), np.array([0.0]))]
    >>> distillation_gradients(features(np.array([[3.0]]), one), np.array([[5.0]]), one)  # 2 (6 - 5) times 3, and times 1
    [(array([[6.]]), array([2.]))]
    """
    slope = (found[-1] - target) * (2.0 / target.size)
    gradients: Weights = []
    for index in range(len(weights) - 1, -1, -1):
        below = found[index]
        gradients.append((below.T @ slope, slope.sum(axis=0)))
        if index:
            slope = (slope @ weights[index][0].T) * (below > 0.0)
    return gradients[::-1]


def adam_step(
    first: np.ndarray, second: np.ndarray, gradient: np.ndarray, count: int, learning_rate: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One step of Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1) with its usual 0.9, 0.999 and 1e-8.

    Args:
        first, second: Both moments before the step, zeros at first.
        gradient: Of their shape.
        count: Of steps, this one included: 1 at first.
        learning_rate: > 0.

    Returns:
        Both moments after it, and the difference to add to the weights.

    Example:

    >>> first, second, step = adam_step(np.zeros(1), np.zeros(1), np.array([4.0]), 1, 0.5)
    >>> first.round(3).tolist(), second.round(3).tolist(), step.round(6).tolist()
    ([0.4], [0.016], [-0.5])
    """
    first = 0.9 * first + 0.1 * gradient
    second = 0.999 * second + 0.001 * np.square(gradient)
    mean, deviation = first / (1.0 - 0.9**count), np.sqrt(second / (1.0 - 0.999**count))
    return first, second, -learning_rate * mean / (deviation + 1e-8)
