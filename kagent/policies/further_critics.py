"""Critics of several numbers: quantiles of the return of an action, and values of all discrete actions at once."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from kagent import networks, ops
from kagent.config.checks import check_count
from kagent.networks.backbones import Seeds, dense
from kagent.policies.critics import ActionValue
from kagent.policies.role import ROLES, outputs
from kagent.spaces import Structure

_MOST_QUANTILES = 1 << 12


@ROLES.register("quantile_action_value")
@keras.saving.register_keras_serializable("kagent")
class QuantileActionValue(ActionValue):
    """Z(s, a): an ensemble of networks over observation and canonical action, each with `quantiles` equally likely returns
    (Kuznetsov et al. 2020, arXiv:2005.04269).

    Args:
        network, members: As for `ActionValue`.
        quantiles: How many returns: number i is the quantile at `(i - 1/2) / quantiles`.

    Raises:
        ValueError: Arguments outside their range.

    Example:

    >>> critic = QuantileActionValue(members=5, quantiles=25)
    """

    def __init__(self, network: Any = "auto", members: int = 2, quantiles: int = 25, **kwargs: Any):
        super().__init__(network, members, **kwargs)
        self.quantiles = self.width = check_count(quantiles, "critic.quantiles", most=_MOST_QUANTILES)

    def get_part(self) -> dict[str, Any]:
        return {**super().get_part(), "quantiles": self.quantiles}

    def atoms(self, observation: Any, action: Any, training: bool = False) -> list[tf.Tensor]:
        """Each member's quantiles, `(N, quantiles)` float32."""
        inputs = [*self.leaves(observation), *self.action.flatten(action)]
        return [outputs(model(inputs, training=training))[0] for model in self.models]

    def values(self, observation: Any, action: Any, training: bool = False) -> list[tf.Tensor]:
        """The means of each member's quantiles, `(N,)` float32."""
        return [tf.reduce_mean(atoms, axis=-1) for atoms in self.atoms(observation, action, training)]


@ROLES.register("action_and_state_value")
@keras.saving.register_keras_serializable("kagent")
class ActionAndStateValue(ActionValue):
    """Q(s, a) and V(s): an ensemble of networks over observation and canonical action, and one more over the observation
    (Kostrikov et al. 2021, arXiv:2110.06169).

    Args:
        network, members: As for `ActionValue`.
        state_network: Of V, in the same forms as `network`; None: the same configuration, and weights of its own.

    Example:

    >>> critic = ActionAndStateValue(network={"type": "mlp", "units": [64, 64]})
    """

    network_arguments = ("network", "state_network")

    def __init__(self, network: Any = "auto", members: int = 2, state_network: Any = None, **kwargs: Any):
        super().__init__(network, members, **kwargs)
        # A twin from before layers are built: those of `network` will be for observations and actions side by side.
        own = (
            networks.clone(self.network) if state_network is None else networks.get(state_network, self.default_network)
        )
        self._state_network = lambda: own  # not itself, which Keras would save a second time

    @property
    def state_network(self) -> Any:
        """The network of V."""
        return self._state_network()

    def get_part(self) -> dict[str, Any]:
        return {**super().get_part(), "state_network": networks.serialize(self.state_network)}

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        def heads(features: Any) -> list[Any]:
            return [dense(features, 1, None, "value", "fan_in", 1.0, seeds)]

        super().make(observation, action, seeds, skip)
        name = f"{self.name}_state"
        self.state_model = networks.functional(self.state_network, observation, heads, seeds, name, skip)

    def states(self, observation: Any, training: bool = False) -> tf.Tensor:
        """Values of states, `(N,)` float32."""
        return outputs(self.state_model(self.leaves(observation), training=training))[0][:, 0]

    def contents(self) -> list[Any]:
        return [*self.models, self.state_model]

    def inner_models(self) -> list[Any]:
        return self.contents()

    def call(self, leaves: Any) -> Any:
        return [*super().call(leaves), self.state_model(list(leaves)[: len(self.observation.leaves)])]

    def compute_output_spec(self, leaves: Any) -> Any:
        return [keras.KerasTensor(x.shape, x.dtype) for model in self.contents() for x in model.outputs]


@ROLES.register("discrete_action_value")
@keras.saving.register_keras_serializable("kagent")
class DiscreteActionValue(ActionValue):
    """Q(s, .): an ensemble of networks over observations, each with one value per action of a `Discrete` space
    (Christodoulou 2019, arXiv:1910.07207).

    Args:
        network, members: As for `ActionValue`; the networks see observations alone.

    Raises:
        ValueError: `members` outside its range; at the agent's making, another action space.

    Example:

    >>> critic = DiscreteActionValue(network={"type": "mlp", "units": [64, 64]}, members=2)
    """

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        if len(action.leaves) != 1 or action.leaves[0].kind != "discrete":
            raise ValueError(f"{type(self).__name__} needs a Discrete action space. Received: {action.space}")
        self.count = action.leaves[0].num_values

        def heads(features: Any) -> list[Any]:
            return [dense(features, self.count, None, "value", "fan_in", 1.0, seeds)]

        self.models = [
            networks.functional(network, observation, heads, seeds, f"{self.name}_{i}", skip)
            for i, network in enumerate(self.twins())
        ]

    def tables(self, observation: Any, training: bool = False) -> list[tf.Tensor]:
        """Each member's values of all actions, `(N, actions)` float32."""
        inputs = self.leaves(observation)
        return [outputs(model(inputs, training=training))[0] for model in self.models]

    def values(self, observation: Any, action: Any, training: bool = False) -> list[tf.Tensor]:
        """Each member's values of the given actions, `(N,)` float32."""
        (index,) = self.action.flatten(action)
        return [ops.select(table, index[:, None], [self.count])[:, 0] for table in self.tables(observation, training)]
