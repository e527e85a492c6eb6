"""A policy and its loss, both given by a function of symbolic tensors."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from kagent import distributions, networks
from kagent.config.saveability import WithoutConfigurationError
from kagent.estimators.heads import log_scale
from kagent.estimators.tracing import Trace
from kagent.networks.backbones import Seeds
from kagent.policies.role import ROLES, Role, observed_masks
from kagent.spaces import Leaf, Structure


@ROLES.register()
@keras.saving.register_keras_serializable("kagent")
class ModelPolicy(Role):
    """What a function predicts, as a policy, which learns by the loss of that function: see `trace`.

    The actor takes the prediction "results". Where that is the argmax of a tensor, it takes the tensor and the argmax is its
    own, which NumPy computes as long as the layers before are of those it knows.

    Args:
        trace: What `trace` made of the function. One agent's only.
        sampled: Whether actions are to be sampled where the predictions say of what: of "logits", or of the normal
            distribution of "loc" and "scale".

    Attributes:
        samples: Whether they are.
    """

    def __init__(self, trace: Trace, sampled: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(trace, Trace):
            raise TypeError(f"`policy.trace` must be what kagent.estimators.tracing.trace returns. Received: {trace!r}")
        self.trace = trace
        self.samples, self.kind, heads = _heads(trace, sampled)
        self.model = keras.Model(trace.inputs, heads, name=self.name)
        self.acting, self.learning = trace.acting, trace.learning  # parts of this layer

    def decision(self, leaf: Leaf) -> str:
        """Name of the actor's decision for an action leaf."""
        return self.kind

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        self.joint = distributions.Joint([distributions.for_leaf(leaf, self.kind) for leaf in action.leaves])
        networks.note_images(self.model, None, observation.leaves)

    def contents(self) -> list[Any]:
        result: list[Any] = self.learning.layers
        return result

    def twin(self, name: str) -> TargetModel:
        return TargetModel(self, name=name)

    def get_part(self) -> dict[str, Any]:
        raise WithoutConfigurationError(
            "A policy that a function makes has no configuration: save the agent's weights, `save_weights`, and make "
            "the agent by the same function"
        )

    def get_config(self) -> dict[str, Any]:
        return self.get_part()

    def predictions(self, observation: Any) -> dict[str, tf.Tensor]:
        """All predictions for a batch of observations."""
        result: dict[str, tf.Tensor] = self.acting(self.leaves(observation), training=False)
        return result

    def parameters_of(self, observation: Any, mask: list[Any] | None = None) -> list[tf.Tensor]:
        """The heads for a batch of observations, float32, masks applied."""
        heads = self.heads(observation)
        return heads if mask is None else self.joint.mask(heads, mask)

    def log_prob(self, parameters: list[tf.Tensor], action: Any) -> tf.Tensor:
        """Log-probability `(N,)` of canonical actions; 0 of those that are no samples of a distribution."""
        parts = self.action.flatten(action)
        return self.joint.log_prob(parameters, parts) if self.kind != "direct" else tf.zeros(tf.shape(parts[0])[:1])

    def greedy(self, observation: Any) -> list[tf.Tensor]:
        """The predicted action that the observation's mask allows, one canonical array `(N, *leaf.shape)`."""
        mask = observed_masks(self.observation, self.action, self.leaves(observation))
        return self.joint.mode(self.parameters_of(observation, mask))

    def learn_from(self, batch: dict[str, Any]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Loss and metrics of the function, as in training, on a minibatch with its columns."""
        given = list(self.leaves(batch["observation"]))
        for name in self.trace.columns:
            if name == "next_observation":
                given += self.leaves(batch[name])
            elif name == "action":
                given += self.action.flatten(batch[name])
            elif name == "done":
                given.append(tf.logical_or(batch["terminated"], batch["truncated"]))
            else:
                given.append(batch[name])
        found = self.trace.learning(given, training=True)
        metrics = {name: tf.cast(value, tf.float32) for name, value in found["metrics"].items()}
        return tf.cast(found["loss"], tf.float32), metrics


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
        result: list[Any] = self._online().model.inputs
        return result

    def contents(self) -> list[Any]:
        return []

    def inner_models(self) -> list[Any]:
        return []  # those of the policy are not its own

    def call(self, leaves: Any) -> Any:
        with self._values():
            return self._online().model(leaves)

    def compute_output_spec(self, leaves: Any) -> Any:
        return self._online().compute_output_spec(leaves)

    def predictions(self, observation: Any) -> dict[str, tf.Tensor]:
        """All predictions for a batch of observations."""
        with self._values():
            return self._online().predictions(observation)

    def start_from(self, online: Role) -> None:
        for own, other in self.follows(online):
            own.assign(other)

    def _values(self) -> Any:
        return keras.StatelessScope(state_mapping=list(zip(self._online().variables, self.variables)))


def _heads(trace: Trace, sampled: bool) -> tuple[bool, str, list[Any]]:
    # Whether actions are samples, the kind of decision that makes them of the heads, and these.
    leaf, predictions = trace.action.leaves[0], trace.predictions
    results = predictions["results"]
    if leaf.is_discrete:
        width = leaf.num_values
        if sampled and "logits" in predictions:
            return True, "categorical", [_of_width(predictions["logits"], "logits", width)]
        scores = _scores(trace.inputs, results, width)
        return False, "categorical", [keras.ops.one_hot(results, width, dtype="float32") if scores is None else scores]
    if sampled and {"loc", "scale"} <= set(predictions):
        mean, scale = (_flat(predictions[name], leaf) for name in ("loc", "scale"))
        widths = [_of_width(x, name, leaf.size) for name, x in (("loc", mean), ("scale", scale))]
        return True, "gaussian", [widths[0], log_scale(widths[1])]
    return False, "direct", [_flat(results, leaf)]


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
