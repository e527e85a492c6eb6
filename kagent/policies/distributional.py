"""Policies that act by the mean of each action's distribution of returns."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kagent.config.checks import check_count
from kagent.networks.backbones import Seeds
from kagent.networks.layers import Dueling, Expectation
from kagent.policies.role import ROLES, outputs
from kagent.policies.value import ValuePolicy
from kagent.spaces import Structure

_MOST_ATOMS = 1 << 12


class DistributionalPolicy(ValuePolicy):
    """A distribution of returns per choice, of `atoms` numbers, and the choice of the largest mean.

    What the numbers are is for subclasses to say: they have `support`, the weights of the mean, and `softmax`, whether the
    numbers are logits of probabilities. Components, branches, masks and dueling streams are those of `ValuePolicy`; of two
    streams each has `atoms` numbers where that has one.

    Attributes:
        atoms: How many numbers a distribution has.
        support: Their weights in the mean, as many.
        softmax: Whether they are logits.
    """

    atoms: int
    support: list[float]
    softmax = False

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        super().make(observation, action, seeds, skip)
        tables = [self.model.get_layer(f"atoms_{i}").output for i in range(len(action.leaves))]
        model = keras.Model(self.model.inputs, tables, name=f"{self.name}_atoms")
        self._tables = lambda: model  # a function, through which Keras does not look for layers

    def make_heads(self, features: Any, action: Structure, seeds: Seeds) -> list[Any]:
        state, advantage = self.streams(features, seeds) if self.dueling else (None, features)
        if state is not None:
            state = self.linear(state, self.atoms, "state_value", seeds)
            state = keras.layers.Reshape((self.atoms, 1), name="state_value_atoms")(state)
        made = []
        for i, (leaf, nvec) in enumerate(zip(action.leaves, self.nvec)):
            width = leaf.num_values * self.atoms
            if state is None:
                table = self.linear(features, width, f"atoms_{i}", seeds)
            else:
                x = self.linear(advantage, width, f"advantage_{i}", seeds)
                x = keras.layers.Reshape((self.atoms, leaf.num_values), name=f"advantage_atoms_{i}")(x)
                x = keras.layers.Permute((2, 1), name=f"by_value_{i}")(Dueling(nvec, name=f"joined_{i}")([state, x]))
                table = keras.layers.Flatten(name=f"atoms_{i}")(x)
            made.append(Expectation(leaf.num_values, self.support, self.softmax, name=f"value_{i}")(table))
        return made

    def tables(self, observation: Any, training: bool = False) -> tf.Tensor:
        """The numbers of all choices, float32 `(N, sum(components), atoms)`."""
        found = outputs(self._tables()(self.leaves(observation), training=training))
        rows = [tf.reshape(x, (-1, sum(nvec), self.atoms)) for x, nvec in zip(found, self.nvec)]
        return rows[0] if len(rows) == 1 else tf.concat(rows, axis=1)

    def means(self, tables: tf.Tensor) -> tf.Tensor:
        """The means of distributions `(..., atoms)`, float32 `(...)`."""
        weights = tf.nn.softmax(tables) if self.softmax else tables
        return tf.linalg.matvec(weights, tf.constant(self.support, tf.float32))


@ROLES.register("quantile")
@keras.saving.register_keras_serializable("kagent")
class QuantilePolicy(DistributionalPolicy):
    """The returns of each choice as `quantiles` equally likely numbers (Dabney et al. 2017, arXiv:1710.10044).

    For discrete actions, as `ValuePolicy`.

    Args:
        network: As for every role.
        quantiles: How many: number i is the quantile at `(i - 1/2) / quantiles`.
        dueling, stream_units, noisy: As for `ValuePolicy`.

    Raises:
        ValueError, TypeError: Arguments outside their range; at the agent's making, an action that is not discrete.

    Example:

    >>> policy = QuantilePolicy(network={"type": "mlp", "units": [256, 256]}, quantiles=50)
    """

    def __init__(
        self,
        network: Any = "auto",
        quantiles: int = 200,
        dueling: bool = False,
        stream_units: Sequence[int] = (),
        noisy: bool | float = False,
        **kwargs: Any,
    ):
        super().__init__(network, dueling, stream_units, noisy, **kwargs)
        self.quantiles = self.atoms = check_count(quantiles, "policy.quantiles", most=_MOST_ATOMS)
        self.support = [1.0 / self.atoms] * self.atoms

    def get_part(self) -> dict[str, Any]:
        return {**super().get_part(), "quantiles": self.quantiles}


@ROLES.register("categorical_return")
@keras.saving.register_keras_serializable("kagent")
class CategoricalReturnPolicy(DistributionalPolicy):
    """The returns of each choice as probabilities of evenly spaced numbers (Bellemare et al. 2017, arXiv:1707.06887).

    For discrete actions, as `ValuePolicy`.

    Args:
        network: As for every role.
        atoms: How many numbers, at least 2.
        low, high: The first and the last of them, in units of the discounted return.
        dueling, stream_units, noisy: As for `ValuePolicy`.

    Raises:
        ValueError, TypeError: Arguments outside their range; at the agent's making, an action that is not discrete.

    Example:

    >>> policy = CategoricalReturnPolicy(atoms=21, low=0.0, high=100.0)
    >>> policy.support[:3]
    [0.0, 5.0, 10.0]
    """

    softmax = True

    def __init__(
        self,
        network: Any = "auto",
        atoms: int = 51,
        low: float = -10.0,
        high: float = 10.0,
        dueling: bool = False,
        stream_units: Sequence[int] = (),
        noisy: bool | float = False,
        **kwargs: Any,
    ):
        super().__init__(network, dueling, stream_units, noisy, **kwargs)
        self.atoms = check_count(atoms, "policy.atoms", least=2, most=_MOST_ATOMS)
        self.low, self.high = (_number(low, "low"), _number(high, "high"))
        if not self.low < self.high:
            raise ValueError(f"`policy.low` must be below `policy.high`. Received: low={low!r}, high={high!r}")
        step = (self.high - self.low) / (self.atoms - 1)
        self.support = [self.low + i * step for i in range(self.atoms)]
        with np.errstate(over="ignore", invalid="ignore"):
            stored = np.asarray([*self.support, self.high - self.low]).astype(np.float32)
            apart = np.diff(stored[:-1]) >= np.finfo(np.float32).tiny
        if not (np.isfinite(stored).all() and apart.all()):
            raise ValueError(
                f"`policy.low` and `policy.high` and their distance must be finite, and the {self.atoms} returns from the one "
                f"to the other distinct, as float32 numbers. Received: low={low!r}, high={high!r}"
            )

    def get_part(self) -> dict[str, Any]:
        return {**super().get_part(), "atoms": self.atoms, "low": self.low, "high": self.high}


def _number(value: Any, argument: str) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"`policy.{argument}` must be a finite number. Received: {value!r}")
    return float(value)
