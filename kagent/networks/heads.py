"""Heads of more than one layer, on symbolic features: what a model predicts beside a plain dense layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from kagent.networks.layers import Dueling
from kagent.ops import naf

_SMALL = 3e-3  # Lillicrap et al. 2016, arXiv:1509.02971, section 7


def dueling(features: Any, num_actions: int, aggregator: str | None) -> dict[str, Any]:
    """Value of a state, advantages of actions, and of both the actions' values (Wang et al. 2016, arXiv:1511.06581).

    Args:
        features: `(N, width)`.
        num_actions: How many there are.
        aggregator: See `kagent.ops.dueling`; None: values are the advantages, and the state's stands beside them.

    Returns:
        `v` `(N,)`, `a` and `q` `(N, num_actions)`.
    """
    advantage, value = layers.Dense(num_actions, name="a")(features), layers.Dense(1, name="v")(features)
    q = advantage if aggregator is None else Dueling([num_actions], aggregator, name="q")([value, advantage])
    return {"a": advantage, "v": ops.squeeze(value, -1), "q": q}


def normalized_advantage(torso: Callable[[], Any], size: int, bound: float | None = None) -> dict[str, Any]:
    """The best action, its value, and how the value falls around it: see `kagent.ops.naf`.

    Args:
        torso: Gives the features `(N, width)` of each of the three.
        size: Components of an action.
        bound: The best action is `bound * tanh(head)`; None: the head.

    Returns:
        `mean` `(N, size)`, `v` `(N,)`, and `lower`, the triangular L, `(N, size, size)`.
    """
    small = keras.initializers.RandomUniform(-_SMALL, _SMALL)  # tanh is to begin where it is steep
    activation = None if bound is None else "tanh"
    mean = layers.Dense(size, activation=activation, kernel_initializer=small, name="mu")(torso())
    if bound is not None:
        mean = layers.Rescaling(float(bound), name="mu_bound")(mean)
    entries = layers.Dense(size * (size + 1) // 2, name="l")(torso())
    value = ops.squeeze(layers.Dense(1, name="v")(torso()), -1)
    return {"mean": mean, "v": value, "lower": naf.lower_triangular(entries, size)}


def normal(features: Any, size: int, log_std: float = 0.0) -> dict[str, Any]:
    """Mean and standard deviation of independent normal distributions, both of which depend on the features.

    Args:
        features: `(N, width)`.
        size: Components of an action.
        log_std: Logarithm of the standard deviation at the start, about.

    Returns:
        `loc` and `scale`, `(N, size)`.
    """
    start = keras.initializers.Constant(log_std)
    scale = layers.Dense(size, activation="exponential", bias_initializer=start, name="scale")
    return {"loc": layers.Dense(size, name="loc")(features), "scale": scale(features)}
