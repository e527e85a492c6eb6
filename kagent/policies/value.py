"""Policies that act by the value of actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kagent import distributions, networks
from kagent.networks.backbones import Auto, Seeds, widths
from kagent.networks.layers import Dueling
from kagent.networks.noisy import SIGMA, check_sigma, noisy_dense
from kagent.policies.role import ROLES, Role, head, observed_masks
from kagent.spaces import Leaf, Structure


@ROLES.register("value", "parametrized_value_policy")
@keras.saving.register_keras_serializable("kagent")
class ValuePolicy(Role):
    """One action value per choice, the best allowed one taken.

    A `Discrete` leaf has one component. `MultiDiscrete` and `MultiBinary` leaves, and nested action spaces, have one
    branch of values per component on shared features (Tavakoli et al. 2018, arXiv:1711.08946), so that the number of
    outputs is the sum, not the product, of the choices.

    Args:
        network: As for every role.
        dueling: Whether values come from two streams, a state value and advantages per choice, as `V + A - mean(A)`
            (Wang et al. 2016, arXiv:1511.06581, eq. 9). The mean is over a component's own choices, also the forbidden
            ones; all components share the state value (Tavakoli et al. 2018, section "Dueling networks").
        stream_units: Widths of dense ReLU layers that each stream has of its own before its head.
        noisy: Whether heads and streams are `kagent.networks.NoisyDense` layers, whose noise explores (Fortunato et al. 2018,
            arXiv:1706.10295): True, or a number in place of their `sigma`, 0.5.

    Raises:
        ValueError, TypeError: Arguments outside their range; at the agent's making, an action that is not discrete.

    Example:

    >>> policy = ValuePolicy(network={"type": "mlp", "units": [256, 256]}, dueling=True)
    """

    default_network = Auto(units=(64, 64), activation="relu", initialization="fan_in")

    def __init__(
        self,
        network: Any = "auto",
        dueling: bool = False,
        stream_units: Sequence[int] = (),
        noisy: bool | float = False,
        **kwargs: Any,
    ):
        if not isinstance(dueling, bool):
            raise TypeError(f"`policy.dueling` must be True or False. Received: {dueling!r}")
        super().__init__(network, **kwargs)
        self.dueling, self.stream_units = dueling, widths(stream_units, "policy.stream_units")
        if self.stream_units and not dueling:
            raise ValueError(f"`policy.stream_units` needs policy.dueling=True. Received: {stream_units!r}")
        self.noisy = noisy if isinstance(noisy, bool) else check_sigma(noisy, "policy.noisy")

    def get_part(self) -> dict[str, Any]:
        return {
            **super().get_part(),
            "dueling": self.dueling,
            "stream_units": list(self.stream_units),
            "noisy": self.noisy,
        }

    def decision(self, leaf: Leaf) -> str:
        """Name of the actor's decision for an action leaf."""
        return "categorical"

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        refused = [leaf for leaf in action.leaves if not leaf.is_discrete]
        if refused:
            where = f" at {refused[0].name!r}" if refused[0].name else ""
            raise ValueError(
                f"{type(self).__name__} needs a discrete action space: Discrete, MultiDiscrete, MultiBinary or a nesting of these. "
                f"Received: Box{where} in {action.space}"
            )
        self.joint = distributions.Joint([distributions.for_leaf(leaf) for leaf in action.leaves])
        self.nvec = [[int(n) for n in leaf.nvec.ravel()] for leaf in action.leaves]  # type: ignore[union-attr]
        heads = lambda features: self.make_heads(features, action, seeds)  # noqa: E731
        self.model = networks.functional(self.network, observation, heads, seeds, self.name, skip, recurrent=True)
        self.state_sizes = networks.state_sizes(self.model)
        if self.noisy and self.state_sizes:
            raise ValueError(
                "`policy.noisy` needs a network without recurrent layers. "
                f"Received: {self.noisy} with a recurrent network. Allowed there: False"
            )

    def make_heads(self, features: Any, action: Structure, seeds: Seeds) -> list[Any]:
        """Symbolic values of each action leaf, `(N, leaf.num_values)`, from the network's features."""
        if self.dueling:
            return self._duel(features, action, seeds)
        return [self.linear(features, leaf.num_values, f"value_{i}", seeds) for i, leaf in enumerate(action.leaves)]

    def linear(self, x: Any, units: int, name: str, seeds: Seeds, activation: str | None = None) -> Any:
        """A dense layer of the head, with noise where the policy is noisy."""
        if not self.noisy:
            return head(x, units, activation, name, "fan_in", 1.0, seeds)
        x = noisy_dense(x, units, SIGMA if self.noisy is True else self.noisy, name, seeds)
        return x if activation is None else keras.layers.Activation(activation, name=f"{name}_activation")(x)

    def streams(self, features: Any, seeds: Seeds) -> list[Any]:
        """Features of the state value and of the advantages, behind the layers that each has of its own."""
        streams = []
        for name in ("state", "advantage"):
            x = features
            for number, units in enumerate(self.stream_units):
                x = self.linear(x, units, f"{name}_dense_{number}", seeds, "relu")
            streams.append(x)
        return streams

    def _duel(self, features: Any, action: Structure, seeds: Seeds) -> list[Any]:
        streams = self.streams(features, seeds)
        state = self.linear(streams[0], 1, "state_value", seeds)
        made = []
        for i, (leaf, nvec) in enumerate(zip(action.leaves, self.nvec)):
            advantage = self.linear(streams[1], leaf.num_values, f"advantage_{i}", seeds)
            made.append(Dueling(nvec, name=f"value_{i}")([state, advantage]))
        return made

    def values(self, observation: Any, training: bool = False) -> tf.Tensor:
        """Action values `(N, sum(components))` of all leaves' components side by side, float32."""
        return _side_by_side(self.heads(observation, training))

    def indices(self, action: Any) -> tf.Tensor:
        """A batch of actions as indices `(N, len(components))`, int32."""
        leaves = self.action.flatten(action) if self.action.is_nested else [action]
        flat = [tf.reshape(a, (-1, len(n))) for a, n in zip(leaves, self.nvec)]
        return _side_by_side(flat)

    def join_masks(self, mask: list[Any] | None) -> tf.Tensor | None:
        """Masks by leaf (None: all allowed) as one, `(N, sum(components))`."""
        if mask is None or all(part is None for part in mask):
            return None
        rows = next(tf.shape(part)[0] for part in mask if part is not None)
        filled = [tf.ones((rows, sum(n)), tf.bool) if m is None else m for m, n in zip(mask, self.nvec)]
        return _side_by_side(filled)

    def greedy(self, observation: Any) -> list[tf.Tensor]:
        """The best action that the observation's mask allows, one canonical array `(N, *leaf.shape)` per leaf."""
        leaves = self.leaves(observation)
        mask = observed_masks(self.observation, self.action, leaves)
        return self.joint.mode(self.joint.mask(self.heads(leaves), mask))

    @property
    def components(self) -> list[int]:
        """Number of choices of each component, over all leaves."""
        return [n for nvec in self.nvec for n in nvec]


def _side_by_side(parts: list[tf.Tensor]) -> tf.Tensor:
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)
