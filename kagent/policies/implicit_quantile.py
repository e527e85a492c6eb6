"""A policy that acts by the mean of returns whose quantiles are a function of the fraction."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kagent import ops
from kagent.config.checks import check_count
from kagent.networks.backbones import Seeds, initializers, widths
from kagent.networks.layers import Expectation, FractionFeatures
from kagent.policies.role import ROLES, Role, outputs
from kagent.policies.value import ValuePolicy
from kagent.spaces import Structure

_MOST = 1 << 12


@ROLES.register("implicit_quantile")
@keras.saving.register_keras_serializable("kagent")
class ImplicitQuantilePolicy(ValuePolicy):
    """The returns of each choice as a function of the fraction tau, from 0 to 1, whose quantile they are (Dabney et al. 2018,
    arXiv:1806.06923).

        Z_tau(s, .) = f(psi(s) * phi(tau))
        phi(tau)    = relu(a dense layer of cos(pi * i * tau), i = 0 ... cosines - 1)

    psi is `network`, f has dense ReLU layers of `head_units` and a linear one. The policy takes the choice of the largest mean of Z
    over `samples` fractions. The paper draws them at random; here they are the midpoints `(k - 1/2) / samples`, so that the mean
    has no noise, and an actor in NumPy draws nothing.

    For discrete actions, as `ValuePolicy`, without dueling streams and noisy layers.

    Args:
        network: As for every role.
        samples: Fractions in the mean by which it acts, K in the paper.
        cosines: How many cosines a fraction has, n in the paper.
        head_units: Widths of the dense ReLU layers in f.

    Raises:
        ValueError, TypeError: Arguments outside their range; at the agent's making, an action that is not discrete.

    Example:

    >>> policy = ImplicitQuantilePolicy(network={"type": "mlp", "units": [256]}, samples=16, head_units=[128])
    """

    def __init__(
        self,
        network: Any = "auto",
        samples: int = 32,
        cosines: int = 64,
        head_units: Sequence[int] = (64,),
        **kwargs: Any,
    ):
        super().__init__(network, dueling=False, stream_units=(), noisy=False, **kwargs)
        self.samples = check_count(samples, "policy.samples", most=_MOST)
        self.cosines = check_count(cosines, "policy.cosines", most=_MOST)
        self.head_units = widths(head_units, "policy.head_units")

    def get_part(self) -> dict[str, Any]:
        own = {"samples": self.samples, "cosines": self.cosines, "head_units": list(self.head_units)}
        return {**Role.get_part(self), **own}

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        super().make(observation, action, seeds, skip)
        given, tables = self._graph()
        model = keras.Model([*self.model.inputs, given], tables, name=f"{self.name}_quantiles")
        self._quantiles = lambda: model

    def make_heads(self, features: Any, action: Structure, seeds: Seeds) -> list[Any]:
        width = int(features.shape[-1])
        sizes = (width, *self.head_units)
        kernel, bias = initializers("fan_in", 1.0, seeds)(self.cosines)
        embed = FractionFeatures(width, self.samples, self.cosines, kernel, bias, name="fraction")
        hidden = [
            _dense(f"quantile_dense_{i}", *ends, "relu", seeds) for i, ends in enumerate(itertools.pairwise(sizes))
        ]
        last = [
            _dense(f"quantiles_{i}", sizes[-1], leaf.num_values, None, seeds) for i, leaf in enumerate(action.leaves)
        ]
        row = keras.layers.Reshape((1, width), name="state")(features)

        def tables(fractions: Any) -> list[Any]:
            x = keras.layers.Multiply()([row, fractions])
            for layer in hidden:
                x = layer(x)
            return [keras.layers.Permute((2, 1))(layer(x)) for layer in last]  # (N, choices, fractions)

        even = tables(embed(features))
        given = keras.Input((None, self.cosines), name="cosines")
        graph = (given, tables(embed(given)))
        self._graph = lambda: graph  # a function, through which Keras does not look for layers
        mean = [1.0 / self.samples] * self.samples
        flat = [keras.layers.Flatten()(table) for table in even]
        return [
            Expectation(leaf.num_values, mean, name=f"value_{i}")(x)
            for i, (leaf, x) in enumerate(zip(action.leaves, flat))
        ]

    def quantiles(self, observation: Any, fractions: Any, training: bool = False) -> tf.Tensor:
        """Quantiles of the returns of all choices.

        Args:
            observation: In stored form, nested as the space, or its leaves.
            fractions: float32 `(N, T)`, tau.
            training: As of `heads`.

        Returns:
            float32 `(N, sum(components), T)`.
        """
        leaves = [tf.convert_to_tensor(leaf) for leaf in self.leaves(observation)]
        cosines = ops.fraction_cosines(fractions, self.cosines)
        found = outputs(self._quantiles()([*leaves, cosines], training=training))
        return found[0] if len(found) == 1 else tf.concat(found, axis=1)


def _dense(name: str, inputs: int, units: int, activation: str | None, seeds: Seeds) -> keras.layers.Dense:
    # Not yet applied: each is, to fractions that are given and to even ones.
    kernel, bias = initializers("fan_in", 1.0, seeds)(inputs)
    return keras.layers.Dense(units, activation, kernel_initializer=kernel, bias_initializer=bias, name=name)
