"""Policies whose value of an action is a quadratic function of it."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from kagent import ops
from kagent.networks.backbones import Auto, Seeds, dense
from kagent.policies.deterministic import DeterministicPolicy
from kagent.policies.role import ROLES, outputs
from kagent.spaces import Structure

_MOST_COMPONENTS = 255  # of an action: the matrix has so many rows


@ROLES.register("normalized_advantage", "naf")
@keras.saving.register_keras_serializable("kagent")
class NormalizedAdvantagePolicy(DeterministicPolicy):
    """The best action mu(s), its value V(s), and how fast the value falls around it, a matrix L(s) (Gu et al. 2016,
    arXiv:1603.00748, section 4): `Q(s, a) = V(s) - (a - mu(s))' L(s) L(s)' (a - mu(s)) / 2`.

    Actions are canonical, in [-1, 1]; those of several leaves stand side by side, so that there is one matrix of all. One
    network has the three heads.

    Args:
        network: As for every role.
        head_gain: Scale of the initial (orthogonal) weights of the heads of mu and L.

    Raises:
        ValueError: `head_gain` is not a finite number; at the agent's making, an action that is not a Box with finite
            bounds, or one of more than 255 components.

    Example:

    >>> policy = NormalizedAdvantagePolicy(network={"type": "mlp", "units": [64, 64]})
    """

    default_network = Auto(units=(256, 256), activation="relu", initialization="fan_in")

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        self.size = sum(leaf.size for leaf in action.leaves)
        if self.size > _MOST_COMPONENTS:
            raise ValueError(
                f"{type(self).__name__} has a matrix of all components of an action, and takes at most "
                f"{_MOST_COMPONENTS} of them. Received: {self.size} in {action.space}"
            )
        super().make(observation, action, seeds, skip)
        # Acting needs mu alone: `model` has no other outputs. The whole one comes first, whose layers Keras saves.
        self.estimates = self.model
        self.model = keras.Model(
            self.estimates.inputs, self.estimates.outputs[: len(action.leaves)], name=f"{self.name}_actions"
        )

    def make_heads(self, features: Any, action: Structure, seeds: Seeds) -> list[Any]:
        entries = self.size * (self.size + 1) // 2
        return [
            *super().make_heads(features, action, seeds),
            dense(features, 1, None, "state_value", "fan_in", 1.0, seeds),
            dense(features, entries, None, "lower", "orthogonal", self.head_gain, seeds),
        ]

    def inner_models(self) -> list[Any]:
        return [self.estimates]

    def contents(self) -> list[Any]:
        result: list[Any] = self.estimates.layers
        return result

    def values(self, observation: Any, action: Any, training: bool = False) -> tf.Tensor:
        """Values of canonical actions, nested as the action space, float32 `(N,)`."""
        *means, value, entries = self._estimate(observation, training)
        flat = [tf.reshape(x, (-1, leaf.size)) for x, leaf in zip(self.action.flatten(action), self.action.leaves)]
        lower = ops.lower_triangular(entries, self.size)
        found: tf.Tensor = ops.naf_value(tf.concat(flat, axis=-1), tf.concat(means, axis=-1), lower, value)
        return found

    def state_values(self, observation: Any, training: bool = False) -> tf.Tensor:
        """Values of the best actions, float32 `(N,)`."""
        return self._estimate(observation, training)[-2][:, 0]

    def _estimate(self, observation: Any, training: bool) -> list[tf.Tensor]:
        return outputs(self.estimates(self.leaves(observation), training=training))
