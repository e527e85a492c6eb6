"""Policies whose action is a function of the observation, with a gradient."""

from __future__ import annotations

import math
import numbers
from typing import Any

import keras
import tensorflow as tf

from kagent import distributions, networks
from kagent.networks.backbones import Auto, Seeds
from kagent.policies.role import ROLES, Role, head
from kagent.spaces import Leaf, Structure


@ROLES.register("deterministic")
@keras.saving.register_keras_serializable("kagent")
class DeterministicPolicy(Role):
    """mu(s): one action per state, for Boxes with finite bounds (Silver et al. 2014; Lillicrap et al. 2016,
    arXiv:1509.02971).

    One head with tanh per action leaf gives canonical actions in [-1, 1], which are stretched to the bounds for the
    environment. What is tried in training is `exploration`: `ActionNoise` adds noise in the environment's units.

    Args:
        network: As for every role.
        head_gain: Scale of the initial (orthogonal) head weights; small: actions near the middle of the bounds at the
            start, where tanh has its full slope.

    Raises:
        ValueError: `head_gain` is not a finite number; at the agent's making, an action that is not a Box with finite
            bounds.

    Example:

    >>> policy = DeterministicPolicy(network={"type": "mlp", "units": [256, 256]})
    """

    default_network = Auto(units=(256, 256), activation="relu", initialization="fan_in")

    def __init__(self, network: Any = "auto", head_gain: float = 0.01, **kwargs: Any):
        if isinstance(head_gain, bool) or not isinstance(head_gain, numbers.Real) or not math.isfinite(head_gain):
            raise ValueError(f"`policy.head_gain` must be a finite number. Received: {head_gain!r}")
        super().__init__(network, **kwargs)
        self.head_gain: float = float(head_gain)

    def get_part(self) -> dict[str, Any]:
        return {**super().get_part(), "head_gain": self.head_gain}

    def decision(self, leaf: Leaf) -> str:
        """Name of the actor's decision for an action leaf."""
        return "deterministic"

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        for leaf in action.leaves:
            if leaf.is_discrete or not leaf.is_bounded:
                where = f" at {leaf.name!r}" if leaf.name else ""
                raise ValueError(
                    f"{type(self).__name__} needs an action space of Box with finite bounds, or a nesting of these. "
                    f"Received: {leaf.kind}{where} in {action.space}"
                )
        self.joint = distributions.Joint([distributions.for_leaf(leaf, "deterministic") for leaf in action.leaves])
        heads = lambda features: self.make_heads(features, action, seeds)  # noqa: E731
        self.model = networks.functional(self.network, observation, heads, seeds, self.name, skip)

    def make_heads(self, features: Any, action: Structure, seeds: Seeds) -> list[Any]:
        """Symbolic actions in [-1, 1], `(N, leaf.size)` for each leaf, from the network's features."""
        return [
            head(features, leaf.size, "tanh", f"action_{i}", "orthogonal", self.head_gain, seeds)
            for i, leaf in enumerate(action.leaves)
        ]

    def actions(self, observation: Any, training: bool = False) -> Any:
        """Canonical actions in [-1, 1], nested as the action space, `(N, *leaf.shape)` float32 each; gradients flow."""
        return self.action.unflatten(self.joint.mode(self.heads(observation, training)))

    def greedy(self, observation: Any) -> list[tf.Tensor]:
        """`actions` as a list, one array per leaf."""
        return self.joint.mode(self.heads(observation))
