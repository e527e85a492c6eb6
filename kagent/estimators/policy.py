"""The policy that a model function makes, and what it learns."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kagent import ops
from kagent.estimators.function import Trace
from kagent.estimators.spec import Bootstrap
from kagent.networks.trunks import Seeds
from kagent.objectives.objective import OBJECTIVES, Objective, Term
from kagent.policies import distributions
from kagent.policies.roles import ROLES, Role, observed_masks, outputs
from kagent.spaces import Leaf, Structure


@ROLES.register()
@keras.saving.register_keras_serializable("kagent")
class ModelPolicy(Role):
    """What a model function predicts, as a policy.

    The actor takes `predictions["results"]`. Where these are the argmax of a tensor, it takes that tensor and the argmax is
    its own, which NumPy computes as long as the layers before are of those it knows.

    Args:
        trace: What the model function made.
        sampled: Whether actions may be sampled: from `logits`, or from the normal distribution of `loc` and `scale`.
    """

    def __init__(self, trace: Trace, sampled: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(trace, Trace):
            raise TypeError(f"`policy.trace` must be what a model function made. Received: {trace!r}")
        self.trace = trace
        self.samples = sampled
        self.kind, heads = _heads(trace, sampled)
        self.model = keras.Model(trace.inputs, heads, name=self.name)
        self.acting, self.learning = trace.acting, trace.learning

    def decision(self, leaf: Leaf) -> str:
        """Name of the actor's decision for an action leaf."""
        return self.kind

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        self.joint = distributions.Joint([distributions.for_leaf(leaf, self.kind) for leaf in action.leaves])

    def contents(self) -> list[Any]:
        return self.learning.layers

    def twin(self, name: str) -> TargetModel:
        return TargetModel(self, name=name)

    def get_part(self) -> dict[str, Any]:
        raise ValueError(
            "A policy that a model function makes has no configuration: save the agent's weights, `save_weights`, and make "
            "the agent by the same function"
        )

    def get_config(self) -> dict[str, Any]:
        return self.get_part()

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        for i, state in enumerate(self._random_states()):
            store[f"random.{i}"] = state

    def load_own_variables(self, store: Any) -> None:
        keys = list(store.keys())
        super().load_own_variables({key: store[key] for key in keys if not key.startswith("random.")})
        states = self._random_states()
        if len(keys) != len(states):
            raise ValueError(f"The file's model has {len(keys)} random states. The agent's has {len(states)}")
        for i, state in enumerate(states):
            state.assign(np.asarray(store[f"random.{i}"]))

    def _random_states(self) -> list[Any]:
        # Of layers such as dropout: Keras does not take them for weights, and leaves them out of files.
        weights = {id(weight) for weight in self.weights}
        return [variable for variable in self.variables if id(variable) not in weights]

    def predictions(self, observation: Any) -> dict[str, tf.Tensor]:
        """All predictions for a batch of observations."""
        return self.acting(self.leaves(observation), training=False)

    def parameters_of(self, observation: Any, mask: list[Any] | None = None) -> list[tf.Tensor]:
        """The heads for a batch of observations, float32, masks applied."""
        heads = outputs(self.model(self.leaves(observation)))
        return heads if mask is None else self.joint.mask(heads, mask)

    def greedy(self, observation: Any) -> list[tf.Tensor]:
        """The predicted action that the observation's mask allows, one canonical array `(N, *leaf.shape)`."""
        mask = observed_masks(self.observation, self.action, self.leaves(observation))
        return self.joint.mode(self.parameters_of(observation, mask))

    def learn_from(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Loss, metrics, extra tensors and predictions of the model in training, on a minibatch with its labels."""
        given = list(self.leaves(batch["observation"]))
        labels = {
            "action": lambda: self.action.flatten(batch["action"])[0],
            "done": lambda: tf.logical_or(batch["terminated"], batch["truncated"]),
        }
        for name in self.trace.labels:
            if name == "next_state":
                given += self.leaves(batch["next_observation"])
            else:
                given.append(labels[name]() if name in labels else batch[name])
        return self.learning(given, training=True)


class TargetModel(Role):
    """A `ModelPolicy` with values of its own for its variables, which layers of any kind are computed with.

    Args:
        online: The policy.
    """

    def __init__(self, online: ModelPolicy, **kwargs: Any):
        super().__init__(**kwargs)
        self._online = lambda: online  # no part of this one: Keras would count its variables twice

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        for i, variable in enumerate(self._online().variables):
            self.add_weight(
                shape=variable.shape, dtype=variable.dtype, initializer="zeros", trainable=False, autocast=False,
                name=f"variable_{i}",
            )  # fmt: skip

    def inputs(self) -> list[Any]:
        return self._online().model.inputs

    def contents(self) -> list[Any]:
        return []

    def call(self, leaves):
        with self._values():
            return self._online().model(leaves)

    def compute_output_spec(self, leaves):
        return self._online().compute_output_spec(leaves)

    def predictions(self, observation: Any) -> dict[str, tf.Tensor]:
        """All predictions for a batch of observations."""
        with self._values():
            return self._online().predictions(observation)

    def _values(self) -> Any:
        return keras.StatelessScope(state_mapping=list(zip(self._online().variables, self.variables)))


@OBJECTIVES.register()
@dataclasses.dataclass(frozen=True)
class ModelObjective(Objective):
    """The loss of a model function, on transitions.

    Args:
        bootstrap: How `labels["target"]` is made; None: it is the reward.
    """

    bootstrap: Bootstrap | None = None

    policies = ("ModelPolicy",)

    @property
    def targets(self) -> tuple[str, ...]:  # type: ignore[override]
        return () if self.bootstrap is None else ("policy",)

    def check(self, agent: Any) -> None:
        agent.reward_estimation.check_transitions(type(self).__name__, agent.memory)

    def next_values(self, agent: Any, batch: dict[str, Any], seed: Any = None) -> tf.Tensor:
        """What the target network says that the next observations are worth, `(B,)`."""
        bootstrap = self.bootstrap
        if bootstrap is None:
            return tf.zeros_like(batch["reward"])
        values = tf.cast(agent.target_policy.predictions(batch["next_observation"])[bootstrap.value], tf.float32)
        if len(values.shape) == 1 or values.shape[-1] == 1:
            return tf.reshape(values, (-1,))
        mask = batch.get("next_action_mask", [None])[0]
        online = agent.policy.predictions(batch["next_observation"])[bootstrap.value] if bootstrap.double else None
        return ops.greedy_value(values, [values.shape[-1]], mask, online)[:, 0]

    def terms(self, agent: Any, batch: dict[str, Any]) -> list[Term]:
        best = self.next_values(agent, batch)
        discount = agent.reward_estimation.bootstrap_discounts(batch, agent.clock)
        _, target = ops.q_learning(best, batch["reward"], discount, best)
        return [Term("policy", lambda part: loss_of(agent, part), {**batch, "target": target})]


def loss_of(agent: Any, batch: dict[str, Any]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Loss and metrics of the agent's model function on a minibatch with its labels."""
    found = agent.policy.learn_from(batch)
    metrics = {name: tf.cast(value, tf.float32) for name, value in found["metrics"].items()}
    return tf.cast(found["loss"], tf.float32), metrics


def check_bootstrap(trace: Trace) -> Bootstrap | None:
    """The bootstrap that a specification asks for.

    Raises:
        ValueError: It asks for a prediction that there is not, or that values nothing.
    """
    bootstrap, predictions = trace.spec.bootstrap, trace.spec.predictions or {}
    if bootstrap is None:
        return Bootstrap() if "q" in predictions else None
    if bootstrap.value not in predictions:
        raise ValueError(f"`bootstrap.value` must be one of {sorted(predictions)}. Received: {bootstrap.value!r}")
    shape = tuple(predictions[bootstrap.value].shape)
    if len(shape) not in (1, 2):
        raise ValueError(
            f"`predictions[{bootstrap.value!r}]` must be (batch,) or (batch, n) to be bootstrapped: {shape}"
        )
    return bootstrap


def _heads(trace: Trace, sampled: bool) -> tuple[str, list[Any]]:
    # The kind of decision that makes actions of the heads, and these.
    leaf, predictions = trace.leaf, trace.spec.predictions or {}
    results = predictions["results"]
    if leaf.is_discrete:
        width = leaf.num_values
        if sampled and "logits" in predictions:
            return "categorical", [_of_width(predictions["logits"], "logits", width)]
        scores = _scores(trace.inputs, results, width)
        return "categorical", [keras.ops.one_hot(results, width, dtype="float32") if scores is None else scores]
    if sampled and {"loc", "scale"} <= set(predictions):
        mean, scale = (_flat(predictions[name], leaf) for name in ("loc", "scale"))
        widths = [_of_width(x, name, leaf.size) for name, x in (("loc", mean), ("scale", scale))]
        return "gaussian", [widths[0], keras.ops.log(widths[1])]
    return "direct", [_flat(results, leaf)]


def _flat(x: Any, leaf: Leaf) -> Any:
    return x if len(x.shape) == 2 else keras.layers.Reshape((leaf.size,))(x)


def _of_width(x: Any, name: str, width: int) -> Any:
    if tuple(x.shape[1:]) != (width,):
        raise ValueError(f"`predictions[{name!r}]` must be (batch, {width}). Received: {tuple(x.shape)}")
    return x


def _scores(inputs: list[Any], results: Any, width: int) -> Any:
    # The tensor whose argmax the results are, if they are one's.
    operations = keras.Model(inputs, results).operations
    while True:
        made_by = [op for op in operations if any(x is results for x in keras.tree.flatten(op.output))]
        kind = type(made_by[0]).__name__ if made_by else None
        if kind == "Cast":
            results = made_by[0].input
        elif kind == "Argmax" and made_by[0].axis in (-1, 1) and not made_by[0].keepdims:
            scores = made_by[0].input
            if len(scores.shape) == 2 and (scores.shape[-1] or 0) > width:
                raise ValueError(
                    f"`predictions['results']` must be below {width}, the action space's choices. "
                    f"Received: the argmax of {scores.shape[-1]} numbers"
                )
            return scores if tuple(scores.shape[1:]) == (width,) else None
        else:
            return None
