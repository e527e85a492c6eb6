"""A role: a Keras layer around one functional model, buildable again for its target."""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kagent import networks
from kagent.acting import Decision
from kagent.acting import distributions as decisions
from kagent.config.registry import Registry
from kagent.networks.backbones import Auto, Seeds, initializers
from kagent.ops.narrow import COLUMNS, narrow_product
from kagent.policies.one_pass import OnePass
from kagent.policies.unrolled import Unrolled
from kagent.spaces import Leaf, Structure

ROLES = Registry("policy", {"distributions": "distribution"})
EXPANDED: contextvars.ContextVar[bool] = contextvars.ContextVar("EXPANDED", default=False)
_XLA: contextvars.ContextVar[bool] = contextvars.ContextVar("XLA", default=False)


class Role(keras.layers.Layer):
    """Base of everything with weights in an agent: policies, critics.

    A role is configured by its constructor and made by `setup`, which knows the spaces. Subclasses say their
    `default_network` and make their model in `make`.

    Layers such as `BatchNormalization` and `Dropout` are in training mode where the role's own loss is computed, on the
    observations of the minibatch, and in inference mode elsewhere: in acting and evaluation, in targets, in old
    log-probabilities and values of rollouts, in priorities, and where another role's loss reads the role (the critic in the
    loss of the policy). A gradient step moves moving statistics once for each loss that its network is in; once for policy and
    critic together where they share a network and an optimizer. Random layers
    draw by the agent's seed, also where they have a seed of their own; under XLA Keras draws other numbers than without,
    of the same distribution.

    Args:
        network: "auto", a name, a dict, a part of `kagent.networks`, or a Keras layer or model: observation to features.
            A layer gets the observation as the space declares it (`kagent.networks.functional`); a dict without a type
            changes some arguments of `default_network`. Targets and critics get twins of a layer: the same configuration,
            and the weights and other state that it has already, see `kagent.networks.clone`; so layers such as
            `keras.layers.Normalization` are adapted before the agent is made.

    Attributes:
        keeps_state: Whether losses need the state that each timestep was acted from; memories keep it then, and batches have it
            as `actor_state`.
        state_sizes: Numbers in each part of the state that its recurrent layers carry through an episode; `()`: it has none.
        carried: Which parts these are of all that the agent's networks carry.
        one_pass: Runs the network that it shares with another role; None: it shares none.
        network_arguments: Arguments that take a network, and attributes that hold it, of which targets get twins.
        layer_noise: Makes a context in which `NoisyDense` layers draw; of a role without such layers, one that changes nothing.
    """

    default_network = Auto()
    network_arguments: tuple[str, ...] = ("network",)
    keeps_state = False
    state_sizes: tuple[int, ...] = ()
    carried = slice(0, 0)
    one_pass: OnePass | None = None
    layer_noise: Callable[[], AbstractContextManager[None]] = nullcontext

    def __init__(self, network: Any = "auto", **kwargs: Any):
        super().__init__(**kwargs)
        self.network = networks.get(network, self.default_network)
        self.ready = False

    def setup(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...] = ()) -> None:
        """Builds the model. Called once, by the agent.

        Raises:
            ValueError: Called twice: one role object belongs to one agent.
        """
        if self.ready:
            raise ValueError(f"This {type(self).__name__} belongs to another agent already; give each agent its own")
        self.observation, self.action = observation, action
        self.make(observation, action, seeds, skip)
        self.carried = slice(self.carried.start, self.carried.start + len(self.state_sizes))
        for state in self.random_states():
            state.assign(np.asarray([seeds(), 0], state.dtype))
        if any(map(networks.holds_noise, self.inner_models())):
            self.layer_noise = networks.noise
        self.ready = self.built = True
        self(list(self.inputs()))  # so that `agent.summary()` knows its shapes

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        raise NotImplementedError

    def inputs(self) -> list[Any]:
        """Symbolic inputs of the model."""
        result: list[Any] = self.model.inputs
        return result

    @property
    def layers(self) -> list[Any]:
        """The layers inside, for `summary(expand_nested=True)` alone: elsewhere Keras would save them a second time."""
        if not EXPANDED.get():
            raise AttributeError(f"{type(self).__name__!r} object has no attribute 'layers'")
        return self.contents()

    def contents(self) -> list[Any]:
        """What a summary shows inside this role."""
        result: list[Any] = self.model.layers
        return result

    def heads(self, observation: Any, training: bool = False) -> list[tf.Tensor]:
        """The model's outputs for a batch of observations, float32 `(N, width)` each.

        Args:
            observation: In stored form, nested as the space, or its leaves.
            training: Whether layers are in training mode, in which dropout draws and moving statistics move: for the
                loss of this role alone.
        """
        if self.state_sizes:
            return self.unroll(observation, training)[0]
        return outputs(self._run(self.leaves(observation), training))

    def _run(self, inputs: list[Any], training: bool) -> Any:
        if self.one_pass is None:
            return self.model(inputs, training=training)
        return self.one_pass(self.model, inputs, training)

    def unroll(self, observation: Any, training: bool = False) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Heads as `heads`, and the states after each row, float32 `(N, size)` for each of the role's own parts.

        Args:
            observation: `Unrolled`; other observations are each an episode's first.
            training: As for `heads`.
        """
        if not isinstance(observation, Unrolled):
            leaves = self.leaves(observation)
            rows = leaves[0].shape[0] or tf.shape(leaves[0])[0]
            zeros = [tf.zeros((rows, size)) for size in self.state_sizes]
            observation = Unrolled.of_single(leaves, [*[None] * self.carried.start, *zeros])
        seen = [*observation.leaves, *observation.states[self.carried]]
        parts = len(self.state_sizes)
        found = outputs(self._run([*seen, observation.begins] if parts else observation.leaves, training))
        return found[: len(found) - parts], found[len(found) - parts :]

    def random_states(self) -> list[Any]:
        """The states of layers that draw, such as dropout. Keras does not count them among the weights."""
        weights = {id(weight) for weight in self.weights}
        return [variable for variable in self.variables if id(variable) not in weights]

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        for i, state in enumerate(self.random_states()):
            store[f"random.{i}"] = state

    def load_own_variables(self, store: Any) -> None:
        keys = list(store.keys())
        drawn = [key for key in keys if key.startswith("random.")]
        super().load_own_variables({key: store[key] for key in keys if key not in drawn})
        states = self.random_states()
        if drawn and len(drawn) != len(states):  # files of before networks were in training mode have none
            raise ValueError(f"The file's {self.name} has {len(drawn)} random states. The agent's has {len(states)}")
        for i in range(len(drawn)):
            states[i].assign(np.asarray(store[f"random.{i}"]))

    def follows(self, online: Role) -> list[tuple[Any, Any]]:
        """Pairs of this target's variables and those of `online` that they follow: all but random states."""
        weights = {id(weight) for weight in self.weights}
        return [(own, other) for own, other in zip(self.variables, online.variables) if id(own) in weights]

    def start_from(self, online: Role) -> None:
        """Gives this target the state of `online`: variables, and what its layers hold beside them."""
        for own, other in self.follows(online):
            own.assign(other)
        for own, other in zip(self.inner_models(), online.inner_models()):
            networks.copy_state(other, own)

    def inner_models(self) -> list[Any]:
        """The functional models inside."""
        return [self.model]

    def get_theta(self) -> np.ndarray:
        """The trainable variables side by side, float32 `(n,)`."""
        parts = [np.ravel(variable.numpy()) for variable in self.trainable_variables]
        return np.concatenate(parts).astype(np.float32)

    def set_theta(self, theta: Any) -> None:
        """The inverse of `get_theta`. An agent that acts meanwhile hears of it by `agent.actor.expire()`.

        Raises:
            ValueError: Numbers that are not so many, or not finite.
        """
        variables = self.trainable_variables
        ends = np.cumsum([math.prod(variable.shape) for variable in variables])
        values = np.asarray(theta, np.float32)
        if values.shape != (ends[-1],) or not np.isfinite(values).all():
            raise ValueError(f"`theta` must be {ends[-1]} finite numbers. Received: shape {values.shape}")
        for variable, part in zip(variables, np.split(values, ends[:-1])):
            variable.assign(part.reshape(variable.shape))

    def acting_model(self) -> Any:
        """The functional model that an actor computes: `model`, unless its decisions need more than a distribution does."""
        return self.model

    def acting_heads(self, observation: Any) -> list[tf.Tensor]:
        """The outputs of `acting_model`, as `heads`; of a recurrent one for the first observations of episodes."""
        if self.state_sizes:
            return self.heads(observation)
        return outputs(self.acting_model()(self.leaves(observation), training=False))

    def actor_decision(self, leaf: Leaf) -> Decision:
        """The actor's decision for an action leaf."""
        return decisions.make(self.decision(leaf), leaf)

    def leaves(self, observation: Any) -> list[Any]:
        """An observation in stored form, nested as its space, as a list of leaves; a list is taken as that already."""
        if isinstance(observation, list):
            return observation
        if isinstance(observation, Unrolled):
            return observation.leaves
        return self.observation.flatten(observation) if self.observation.is_nested else [observation]

    def twin(self, name: str) -> Role:
        """A role of the same configuration and another name, not yet set up."""
        # First: it says what is wrong with a network that has no configuration.
        given = {argument: networks.clone(getattr(self, argument)) for argument in self.network_arguments}
        config = {key: value for key, value in self.get_part().items() if key not in ("type", *given)}
        return type(self)(**config, **given, name=name)

    def get_part(self) -> dict[str, Any]:
        """`{"type": name, **arguments}`, JSON-ready."""
        return {"type": type(self).__name__, "network": networks.serialize(self.network)}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **{k: v for k, v in self.get_part().items() if k != "type"}}

    def call(self, leaves: Any) -> Any:
        return self.model(leaves)

    def compute_output_spec(self, leaves: Any) -> Any:
        # Known without tracing the layers again.
        outputs = [keras.KerasTensor(x.shape, x.dtype) for x in self.model.outputs]
        return outputs if len(outputs) > 1 else outputs[0]


def get(identifier: Any, allowed: tuple[str, ...], argument: str) -> Any:
    """A role from a name, a dict, an object, a list of layers or a Keras model.

    Args:
        identifier: What is given. A dict without a `"type"`, "auto", "default", a network by name or as a dict, a list of
            layers and a Keras layer that is no role stand for the first allowed class, the latter three as its network.
        allowed: Names of classes.
        argument: What it is called in messages, and the role's name.
    """
    if identifier in ("auto", "default") if isinstance(identifier, str) else False:
        identifier = {}
    if isinstance(identifier, list) or (
        isinstance(identifier, keras.layers.Layer) and not isinstance(identifier, Role)
    ):
        identifier = {"network": identifier}
    kind = identifier.get("type") if isinstance(identifier, dict) else identifier
    if isinstance(kind, str) and not ROLES.knows(kind) and networks.NETWORKS.knows(kind):
        identifier = {"network": identifier}
    if isinstance(identifier, dict) and "type" not in identifier and allowed:
        identifier = {"type": allowed[0], **identifier}
    return ROLES.get(identifier, argument, name=argument)


def observed_masks(observation: Structure, action: Structure, leaves: list[Any]) -> list[Any] | None:
    """The masks that a batch of observations holds under its key `"action_mask"`.

    Args:
        observation, action: The agent's spaces.
        leaves: Observation leaves `(N, *leaf.shape)`.

    Returns:
        Per action leaf a bool tensor `(N, sum(nvec))`, True = allowed, or None without a mask; None for no masks.
    """
    parts = [
        (leaf.path[1:], tf.reshape(x, (-1, leaf.size)))
        for leaf, x in zip(observation.leaves, leaves)
        if leaf.path[:1] == ("action_mask",)
    ]
    masks: list[Any] = []
    for leaf in action.leaves:
        own = [part for path, part in parts if leaf.is_discrete and path[: len(leaf.path)] == leaf.path]
        flat = tf.concat(own, axis=-1) if own else None  # a MultiDiscrete's mask may come component by component
        if flat is not None and leaf.kind == "multi_binary" and flat.shape[-1] == leaf.size:
            # gymnasium's form: 0 or 1, the only value allowed; 2, both.
            masks.append(tf.reshape(tf.stack([flat != 1, flat != 0], axis=-1), (-1, leaf.num_values)))
        else:
            masks.append(None if flat is None else flat != 0)
    return None if all(mask is None for mask in masks) else masks


def outputs(result: Any) -> list[tf.Tensor]:
    """A model's outputs as float32 list, whatever its precision and their number."""
    values = result if isinstance(result, list | tuple) else [result]
    return [tf.cast(value, tf.float32) for value in values]


@contextlib.contextmanager
def xla(compiles: bool) -> Iterator[None]:
    """Within it, layers are traced for a program that XLA compiles, or not."""
    token = _XLA.set(compiles)
    try:
        yield
    finally:
        _XLA.reset(token)


# It has the name of Keras's layer, as files of weights name groups by it.
@keras.saving.register_keras_serializable("kagent")
class Dense(keras.layers.Dense):
    """Keras's `Dense`, with gradients that XLA computes fast where there are 2 to 4 units (`ops.narrow_product`)."""

    actor_class = keras.layers.Dense  # as it computes without gradients

    def call(self, inputs: Any, training: Any = None) -> Any:
        if not _XLA.get() or self.units not in COLUMNS or len(inputs.shape) != 2 or self.compute_dtype != "float32":
            return super().call(inputs, training=training)
        x = narrow_product(inputs, tf.convert_to_tensor(self.kernel))
        if self.use_bias:
            x = x + self.bias
        return x if self.activation is None else self.activation(x)

    def quantize(self, mode: Any = None, type_check: bool = True, config: Any = None) -> None:
        """As Keras's layer, which refuses subclasses where `type_check` is True. Quantized, it computes as that."""
        super().quantize(mode, type_check=False, config=config)


def head(x: Any, units: int, activation: Any, name: str, initialization: str, gain: float, seeds: Seeds) -> Any:
    """A dense layer at the end of a role's model. Args as of `networks.dense`."""
    if units not in COLUMNS:
        return networks.dense(x, units, activation, name, initialization, gain, seeds)
    kernel, bias = initializers(initialization, gain, seeds)(int(x.shape[-1]))
    return Dense(units, activation, kernel_initializer=kernel, bias_initializer=bias, name=name)(x)
