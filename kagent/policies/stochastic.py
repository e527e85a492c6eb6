"""Policies that act by sampling from a distribution."""

from __future__ import annotations

import math
import numbers
from typing import Any

import keras
import tensorflow as tf

from kagent import networks, schedules
from kagent.networks.layers import Bound, StateIndependent
from kagent.networks.trunks import Auto, Seeds, dense
from kagent.policies import distributions
from kagent.policies.roles import ROLES, Role, observed_masks, outputs
from kagent.registry import plain
from kagent.spaces import Leaf, Structure

DISTRIBUTIONS = ("auto", "squashed_gaussian")


@ROLES.register("stochastic")
@keras.saving.register_keras_serializable("kagent")
class StochasticPolicy(Role):
    """An independent distribution per action leaf, on shared features.

    Discrete leaves are categorical. Boxes are Gaussian with a learned log standard deviation that does not depend on
    the state (clipped to the bounds by the environment's side only), or tanh-squashed Gaussian with a state-dependent
    one.

    Args:
        network: As for every role.
        distribution: `"auto"`, or `"squashed_gaussian"` for boxes with finite bounds.
        log_std: Initial log standard deviation of Gaussian leaves.
        log_std_range: Bounds of the state-dependent log standard deviation of squashed leaves.
        temperature: How far sampled actions spread, >= 0: 1 as the distributions say; logits are divided by it, standard
            deviations multiplied, and the density of a Beta distribution is taken to the power of its inverse. 0 takes
            the most likely action, as acting deterministically does. May be a schedule. It is for acting alone:
            log-probabilities and entropies that are learned from remain those at temperature 1. (The weight of
            entropy in soft objectives, `kagent.Agent(temperature=...)`, is another thing.)
        head_gain: Scale of the initial (orthogonal) head weights; small: nearly uniform choices at the start.
    """

    default_network = Auto(units=(64, 64), activation="tanh", initialization="orthogonal")

    def __init__(
        self,
        network: Any = "auto",
        distribution: str = "auto",
        log_std: float = 0.0,
        log_std_range: tuple[float, float] = (-20.0, 2.0),
        temperature: Any = 1.0,
        head_gain: float = 0.01,
        **kwargs: Any,
    ):
        if distribution not in DISTRIBUTIONS:
            raise ValueError(f"`policy.distribution` must be one of {DISTRIBUTIONS}. Received: {distribution!r}")
        for argument, value in (("log_std", log_std), ("head_gain", head_gain)):
            if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
                raise ValueError(f"`policy.{argument}` must be a finite number. Received: {value!r}")
        super().__init__(network, **kwargs)
        self.distribution = distribution
        self.temperature = schedules.get(temperature, "policy.temperature", 0.0)
        self.log_std, self.head_gain = float(log_std), float(head_gain)
        self.log_std_range = (float(log_std_range[0]), float(log_std_range[1]))

    def get_part(self) -> dict[str, Any]:
        return {
            **super().get_part(),
            "distribution": self.distribution,
            "log_std": self.log_std,
            "log_std_range": list(self.log_std_range),
            "temperature": plain(self.temperature),
            "head_gain": self.head_gain,
        }

    def decision(self, leaf: Leaf) -> str:
        """Name of the actor's decision for an action leaf."""
        if leaf.is_discrete:
            return "categorical"
        return "gaussian" if self.distribution == "auto" else self.distribution

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        kinds = ["auto" if leaf.is_discrete else self.distribution for leaf in action.leaves]
        self.joint = distributions.Joint([distributions.for_leaf(leaf, k) for leaf, k in zip(action.leaves, kinds)])
        squashed = self.distribution == "squashed_gaussian"
        initialization = "fan_in" if squashed else "orthogonal"

        def heads(features: Any) -> list[Any]:
            made = []
            for i, leaf in enumerate(action.leaves):
                width = leaf.num_values if leaf.is_discrete else leaf.size
                kind = "logits" if leaf.is_discrete else "mean"
                made.append(dense(features, width, None, f"{kind}_{i}", initialization, self.head_gain, seeds))
                if leaf.is_discrete:
                    continue
                if squashed:
                    spread = dense(features, width, None, f"log_std_{i}", initialization, 1.0, seeds)
                    made.append(Bound(*self.log_std_range, name=f"log_std_bound_{i}")(spread))
                else:
                    made.append(StateIndependent(width, self.log_std, name=f"log_std_{i}")(features))
            return made

        self.model = networks.functional(self.network, observation, heads, seeds, self.name, skip)

    def parameters_of(self, observation: Any, mask: list[Any] | None = None) -> list[tf.Tensor]:
        """The distributions' parameters for a batch: a flat list of heads, float32, masks applied."""
        heads = outputs(self.model(self.leaves(observation)))
        return heads if mask is None else self.joint.mask(heads, mask)

    def log_prob(self, parameters: list[tf.Tensor], action: Any) -> tf.Tensor:
        """Log-probability `(N,)` of canonical actions, nested as the action space."""
        return self.joint.log_prob(parameters, self.action.flatten(action))

    def sample_with_log_prob(self, parameters: list[tf.Tensor], seed: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """Canonical actions, nested as the action space, with their log-probability `(N,)`; reparameterized."""
        action, log_prob = self.joint.sample_with_log_prob(parameters, seed)
        return self.action.unflatten(action), log_prob

    def greedy(self, observation: Any) -> list[tf.Tensor]:
        """The most likely action that the observation's mask allows, one canonical array `(N, *leaf.shape)` per leaf."""
        mask = observed_masks(self.observation, self.action, self.leaves(observation))
        return self.joint.mode(self.parameters_of(observation, mask))
