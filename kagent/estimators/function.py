"""Model functions: what they may take, and the graph that one call of them makes."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import inspect
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from kagent.estimators.spec import EstimatorSpec
from kagent.networks.builder import encode
from kagent.spaces import Leaf, Structure

ARGUMENTS = ("features", "labels", "mode", "params", "config", "model_dir")


class ModelFunction:
    """A model function with the arguments that it takes, which are given by name and may be in any order.

    Args:
        function: Takes `features` and `labels`, and what it likes of `mode`, `params`, `config` and `model_dir`.
        params: Hyper-parameters, or None.

    Raises:
        ValueError: None, other arguments than these, or `params` that it does not take.
        TypeError: Not callable, or `params` that are no dict.
    """

    def __init__(self, function: Any, params: Mapping[str, Any] | None = None):
        if function is None:
            raise ValueError("`model_fn` must be a function (features, labels, ...). Received: None")
        if not callable(function):
            raise TypeError(f"`model_fn` must be a function. Received: {function!r} ({type(function).__name__})")
        if params is not None and not isinstance(params, Mapping):
            raise TypeError(f"`params` must be a dict or None. Received: {params!r}")
        self.function = function
        declared = _declared(function)
        for name in ("features", "labels"):
            if name not in declared:
                raise ValueError(f"`model_fn` must take `{name}`. It takes: {declared}")
        unknown = [name for name in declared if name not in ARGUMENTS]
        if unknown:
            raise ValueError(f"`model_fn` has unexpected arguments {unknown}. Known: {ARGUMENTS}")
        if params is not None and "params" not in declared:
            raise ValueError(
                f"`params` are given, and `model_fn` takes none. It takes: {declared}. Received: {params!r}"
            )
        if params is None and "params" in declared:
            warnings.warn("`model_fn` takes `params`, and none are given; it gets {}.", stacklevel=3)
        self.arguments = frozenset(declared)

    def __call__(self, features: Any, labels: Any, mode: str, **given: Any) -> EstimatorSpec:
        """Calls it once, with copies of `params`.

        Raises:
            ValueError: It returned something else than an `EstimatorSpec`, one of another mode, or one with the optimizer of
                another model.
        """
        given = {
            "features": features,
            "labels": labels,
            "mode": mode,
            **given,
            "params": copy.deepcopy(given["params"]),
        }
        spec = self.function(**{name: value for name, value in given.items() if name in self.arguments})
        if not isinstance(spec, EstimatorSpec):
            raise ValueError(f"model_fn should return an EstimatorSpec. Received: {spec!r} ({type(spec).__name__})")
        if "mode" in self.arguments and spec.mode != mode:
            raise ValueError(f"`model_fn` was called in mode {mode!r} and returned an EstimatorSpec of {spec.mode!r}")
        if getattr(spec.train_op, "built", False) is True:
            raise ValueError("`train_op` trains another model already: make an optimizer in each call of `model_fn`")
        return spec


def _declared(function: Any) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise ValueError(f"`model_fn` has no signature to be read. Received: {function!r}") from error
    # Of a `functools.partial`, what is bound by name is none of the agent's affair.
    bound = set(function.keywords) if isinstance(function, functools.partial) else set()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return [*dict.fromkeys([p.name for p in parameters if p.kind is not p.VAR_KEYWORD] + list(ARGUMENTS))]
    wrong = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL)]
    if wrong:
        raise ValueError(f"`model_fn` gets its arguments by name, and cannot take these: {wrong}")
    return [p.name for p in parameters if p.name not in bound]


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """What one call of a model function has made.

    Attributes:
        spec: What it returned.
        inputs: Observation leaves in stored form, `(B, *leaf.shape)`, symbolic.
        labels: Names of the labels behind them.
        acting: From `inputs` to the predictions, by name.
        learning: From `inputs` and labels to `{"loss", "metrics", "extra", "predictions"}`.
        observation, action: The agent's spaces.
    """

    spec: EstimatorSpec
    inputs: list[Any]
    labels: tuple[str, ...]
    acting: keras.Model
    learning: keras.Model
    observation: Structure
    action: Structure

    @property
    def leaf(self) -> Leaf:
        """The action."""
        return self.action.leaves[0]


def trace(
    call: Callable[[Any, Any], EstimatorSpec],
    observation: Structure,
    action: Structure,
    names: tuple[str, ...],
    seed: int,
) -> Trace:
    """Calls a model function with symbolic tensors.

    Args:
        call: The function, of features and labels.
        observation, action: The spaces.
        names: Labels beside `action`, `reward`, `done` and `terminated`.
        seed: Of the weights.

    Raises:
        ValueError: A space or a result that does not suit.
        TypeError: Results that are no tensors.
    """
    if action.is_nested or action.leaves[0].kind not in ("discrete", "box"):
        raise ValueError(f"An estimator's action space must be Discrete or Box. Received: {action.space}")
    leaf = action.leaves[0]
    with keras.name_scope("policy"), _seeded(seed):
        inputs, features = _states(observation, "state")
        given = {
            "action": keras.Input(leaf.shape, dtype="int32" if leaf.is_discrete else "float32", name="label_action"),
            "reward": keras.Input((), dtype="float32", name="label_reward"),
            "done": keras.Input((), dtype="bool", name="label_done"),
            "terminated": keras.Input((), dtype="bool", name="label_terminated"),
        }
        given |= {name: keras.Input((), name=f"label_{name}") for name in names if name != "next_state"}
        labels = dict(given)
        successors: list[Any] = []
        if "next_state" in names:
            successors, states = _states(observation, "next_state")
            labels["next_state"] = states if observation.is_nested else states["state"]
        spec = call(features, labels)
        predictions = _tensors(spec.predictions, "predictions")
        if "results" not in predictions:
            raise ValueError(f"`predictions` must have 'results', what the agent does. Received: {sorted(predictions)}")
        _check_results(predictions["results"], leaf)
        loss = spec.loss(labels, predictions) if callable(spec.loss) else spec.loss
        found = {
            "loss": _tensors({"loss": loss}, "loss")["loss"],
            "metrics": _tensors(spec.eval_metric_ops, "eval_metric_ops"),
            "extra": _tensors(spec.extra_ops, "extra_ops"),
            "predictions": predictions,
        }
        for name, value in {"loss": found["loss"], **found["metrics"]}.items():
            if tuple(value.shape) != ():
                raise ValueError(f"`{name}` must be a scalar. Received: shape {tuple(value.shape)}")
        try:
            acting = keras.Model(inputs, predictions, name="acting")
        except ValueError as error:
            raise ValueError(f"`predictions` must be computed from the features alone: {error}") from error
        learning = keras.Model([*inputs, *given.values(), *successors], found, name="learning")
    return Trace(
        spec, inputs, tuple(given) + (("next_state",) if successors else ()), acting, learning, observation, action
    )


def _states(observation: Structure, name: str) -> tuple[list[Any], dict[str, Any]]:
    # Stored form, and what a model function sees of it.
    inputs = [
        keras.Input(leaf.shape, dtype=leaf.stored_dtype.name, name=f"{name}_{i}")
        for i, leaf in enumerate(observation.leaves)
    ]
    encoded = {leaf.name or "state": encode(leaf, x) for leaf, x in zip(observation.leaves, inputs)}
    return inputs, encoded


def _tensors(found: Any, name: str) -> dict[str, Any]:
    for key, value in (found or {}).items():
        if not keras.backend.is_keras_tensor(value):
            raise TypeError(
                f"`{name}` must be symbolic tensors, computed from features (or labels) by layers and keras.ops. "
                f"Received: {key}={value!r}"
            )
    return dict(found or {})


def _check_results(results: Any, leaf: Leaf) -> None:
    shape = () if leaf.is_discrete else leaf.shape
    if tuple(results.shape[1:]) != shape or len(results.shape) == 0:
        raise ValueError(
            f"`predictions['results']` must be {('batch', *shape)} for the action space. Received: {tuple(results.shape)}"
        )


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # Initializers without a seed of their own draw one from Python's generator. It gets its state back.
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
