"""One gradient step by hand: linear networks on vectors, plain gradient descent, NumPy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

LINEAR = {"type": "mlp", "units": []}
RATE = 0.1
SGD = {"type": "SGD", "learning_rate": RATE}


def heads(role: Any) -> list[np.ndarray]:
    """Every variable of a role, in float64."""
    return [variable.numpy().astype(np.float64) for variable in role.variables]


def randomize(role: Any, seed: int = 0, scale: float = 1.0) -> None:
    """Known weights, large enough to tell the parts of a loss apart."""
    generator = np.random.default_rng(seed)
    for variable in role.variables:
        variable.assign(scale * generator.normal(size=variable.shape))


def tensors(batch: dict[str, Any]) -> dict[str, Any]:
    """Floats as float32, everything as tensors."""

    def convert(x: Any) -> Any:
        array = np.asarray(x)
        return tf.convert_to_tensor(array.astype(np.float32) if array.dtype == np.float64 else array)

    return tf.nest.map_structure(convert, batch)


def numeric_gradient(loss: Any, variables: list[np.ndarray], step: float = 1e-6) -> list[np.ndarray]:
    """Central differences of `loss(variables)`, entry by entry."""
    gradients = []
    for position, variable in enumerate(variables):
        gradient = np.zeros_like(variable)
        for index in np.ndindex(variable.shape):
            ends = []
            for sign in (1, -1):
                moved = [v.copy() for v in variables]
                moved[position][index] += sign * step
                ends.append(loss(moved))
            gradient[index] = (ends[0] - ends[1]) / (2 * step)
        gradients.append(gradient)
    return gradients
