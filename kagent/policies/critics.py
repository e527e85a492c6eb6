"""Critics: estimates of what a state, or an action in a state, is worth."""

from __future__ import annotations

import math
import numbers
from typing import Any

import keras
import tensorflow as tf

from kagent import networks
from kagent.config.checks import check_count
from kagent.networks.backbones import Auto, Seeds, dense
from kagent.policies.one_pass import OnePass
from kagent.policies.role import ROLES, Role, outputs
from kagent.spaces import Structure

_MOST_MEMBERS = 256  # networks of one critic


@ROLES.register("state_value", "parametrized_state_value")
@keras.saving.register_keras_serializable("kagent")
class StateValue(Role):
    """V(s): one number per state.

    Args:
        network: As for every role.
    """

    default_network = Auto(units=(64, 64), activation="tanh", initialization="orthogonal")

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        def heads(features: Any) -> list[Any]:
            return [dense(features, 1, None, "value", "orthogonal", 1.0, seeds)]

        self.model = networks.functional(self.network, observation, heads, seeds, self.name, skip, recurrent=True)
        self.state_sizes = networks.state_sizes(self.model)

    def follow(self, policy: Role) -> None:
        """Says whose states come before its own; before `setup`."""
        first = len(policy.state_sizes)
        self.carried = slice(first, first)

    def values(self, observation: Any, training: bool = False) -> tf.Tensor:
        """State values `(N,)`, float32."""
        return self.heads(observation, training)[0][:, 0]


@ROLES.register("shared_state_value", "shared")
@keras.saving.register_keras_serializable("kagent")
class SharedStateValue(StateValue):
    """V(s) by one more head on the policy's own network: what the critic learns moves the policy's features too.

    Its trainable variables are its head's and those of the policy's network (not of the policy's heads). As with every shared layer
    in Keras, `critic.trainable = False` freezes that network for the policy too; the head alone is `critic.model.get_layer("value")`.
    """

    def __init__(self, **kwargs: Any):
        kwargs.pop("network", None)
        super().__init__("auto", **kwargs)

    def get_part(self) -> dict[str, Any]:
        return {"type": "SharedStateValue"}

    @property
    def losses(self) -> list[Any]:
        """What regularizes its head; the rest is the policy's."""
        return self.model.get_layer("value").losses if self.ready else []

    def follow(self, policy: Role) -> None:
        """Says whose network it is, and whose states; before `setup`."""
        self._shared = lambda: policy  # not itself, which Keras would track

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        policy = self._shared()
        model = policy.model
        with keras.name_scope(self.name):
            value = dense(networks.features_of(model), 1, None, "value", "orthogonal", 1.0, seeds)
            self.state_sizes = networks.state_sizes(model)
            after = model.outputs[len(model.outputs) - len(self.state_sizes) :]
            self.model = keras.Model(model.inputs, [value, *after], name=self.name)
        if not networks.holds_noise(model):  # each loss has noise of its own
            self.one_pass = policy.one_pass = OnePass(model, self.model)


def chosen(identifier: Any, policy: Role, observation: Structure) -> Any:
    """What `{"type": "auto", ...}` means: a `SharedStateValue` where the policy's network sees images, else a `StateValue`.

    Args:
        identifier: What an agent got for its critic; all else is returned as it is.
        policy: The agent's.
        observation: What networks see.
    """
    if not isinstance(identifier, dict) or identifier.get("type") != "auto":
        return identifier
    if networks.sees_images(policy.network, observation):
        return {"type": "SharedStateValue"}
    return {**identifier, "type": "StateValue"}


@ROLES.register("action_value", "parametrized_action_value")
@keras.saving.register_keras_serializable("kagent")
class ActionValue(Role):
    """Q(s, a): an ensemble of independent networks over observation and canonical action.

    Args:
        network: As for every role. Each member gets its own weights, except those that a given layer has already: they are
            where all members begin.
        members: Size of the ensemble. Two, and the smaller value taken, keeps a critic from believing its own
            overestimates (Fujimoto et al. 2018, arXiv:1802.09477, section 4.2).
    """

    default_network = Auto(units=(256, 256), activation="relu", initialization="fan_in")
    width = 1  # of a member's output

    def __init__(self, network: Any = "auto", members: int = 2, **kwargs: Any):
        members = check_count(members, "critic.members", most=_MOST_MEMBERS)
        super().__init__(network, **kwargs)
        self.members = members

    def get_part(self) -> dict[str, Any]:
        return {**super().get_part(), "members": self.members}

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        def heads(features: Any) -> list[Any]:
            return [dense(features, self.width, None, "value", "fan_in", 1.0, seeds)]

        self.models = [
            networks.functional(network, observation, heads, seeds, f"{self.name}_{i}", skip, action)
            for i, network in enumerate(self.twins())
        ]

    def twins(self) -> list[Any]:
        """A network for each member, of which the first is the given one; called before the first is built.

        Only weights that were given are weights of all.
        """
        return [self.network, *(networks.clone(self.network) for _ in range(1, self.members))]

    def values(self, observation: Any, action: Any, training: bool = False) -> list[tf.Tensor]:
        """Each member's values, `(N,)` float32."""
        inputs = [*self.leaves(observation), *self.action.flatten(action)]
        return [outputs(model(inputs, training=training))[0][:, 0] for model in self.models]

    def inputs(self) -> list[Any]:
        result: list[Any] = self.models[0].inputs
        return result

    def contents(self) -> list[Any]:
        return self.models

    def inner_models(self) -> list[Any]:
        return self.models

    def call(self, leaves: Any) -> Any:
        return [model(leaves) for model in self.models]

    def compute_output_spec(self, leaves: Any) -> Any:
        return [keras.KerasTensor(x.shape, x.dtype) for model in self.models for x in model.outputs]


@ROLES.register("temperature")
@keras.saving.register_keras_serializable("kagent")
class Temperature(keras.layers.Layer):
    """The weight of entropy in soft objectives, kept as its logarithm.

    Args:
        initial: Its value at the start, > 0.
    """

    def __init__(self, initial: float = 1.0, **kwargs: Any):
        if isinstance(initial, bool) or not isinstance(initial, numbers.Real) or not 0 < initial < math.inf:
            raise ValueError(f"`temperature` must be a number > 0. Received: {initial!r}")
        super().__init__(**{"dtype": "float32", **kwargs})  # a half would round what is learned slowly
        self.initial: float = float(initial)
        logarithm = keras.ops.log(self.initial)
        self.logarithm: keras.Variable = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(float(logarithm)), name="logarithm", dtype="float32"
        )
        self.built = True
        self(keras.KerasTensor(()))  # so that `agent.summary()` knows its shape

    def call(self, inputs: Any = None) -> Any:
        return keras.ops.exp(self.logarithm)

    def compute_output_shape(self, input_shape: Any = None) -> Any:
        return ()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initial": self.initial}

    def get_part(self) -> dict[str, Any]:
        return {"type": "Temperature", "initial": self.initial}
