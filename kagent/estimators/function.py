"""Model functions: what they may take, and what one call of them makes."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from kagent.config.signatures import check_function
from kagent.estimators import tracing
from kagent.estimators.spec import EstimatorSpec, Modes
from kagent.spaces import Structure

ARGUMENTS = ("features", "labels", "mode", "params", "config", "model_dir")
_LABELS = {"next_observation": "next_state", "return": "discount_reward", "old_log_prob": "log_prob"}


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
        declared = check_function(function, "model_fn", ("features", "labels"), ARGUMENTS)
        if params is not None and not isinstance(params, Mapping):
            raise TypeError(f"`params` must be a dict or None. Received: {params!r}")
        if params is not None and "params" not in declared:
            raise ValueError(f"`params` are given, and `model_fn` takes {declared}. Received: {params!r}")
        if params is None and "params" in declared:
            warnings.warn("`model_fn` takes `params`, and none are given; it gets {}.", stacklevel=3)
        self.function, self.arguments = function, frozenset(declared)

    def __call__(self, features: Any, labels: Any, mode: str, **given: Any) -> EstimatorSpec:
        """Calls it once, with copies of `params`.

        Raises:
            ValueError: It returned something else than an `EstimatorSpec`, one of another mode, or one with the optimizer of
                another model.
        """
        given |= {"features": features, "labels": labels, "mode": mode, "params": copy.deepcopy(given["params"])}
        spec = self.function(**{name: value for name, value in given.items() if name in self.arguments})
        if not isinstance(spec, EstimatorSpec):
            raise ValueError(f"model_fn should return an EstimatorSpec. Received: {spec!r} ({type(spec).__name__})")
        if "mode" in self.arguments and spec.mode != mode:
            raise ValueError(f"`model_fn` was called in mode {mode!r} and returned an EstimatorSpec of {spec.mode!r}")
        if mode == Modes.TRAIN and getattr(spec.train_op, "built", False) is True:
            raise ValueError("`train_op` trains another model already: make an optimizer in each call of `model_fn`")
        return spec

    def trace(self, observation: Structure, *others: Any, **given: Any) -> tuple[EstimatorSpec, tracing.Trace]:
        """Calls it for TRAIN with symbolic tensors.

        Args:
            observation, *others: As for `kagent.estimators.tracing.trace`, the columns of which are labels by other names.
            **given: Its `params`, `config` and `model_dir`.

        Raises:
            ValueError, TypeError: A space or a result that does not suit.
        """
        made: list[EstimatorSpec] = []

        def describe(features: dict[str, Any], found: dict[str, Any]) -> tracing.Described:
            labels = _labels(observation, found)
            spec = self(_features(observation, features), labels, Modes.TRAIN, **given)
            made.append(spec)
            tracing.check_tensors(spec.extra_ops, "extra_ops")
            loss = spec.loss(labels, spec.predictions) if callable(spec.loss) else spec.loss
            return tracing.Described(spec.predictions or {}, loss, spec.eval_metric_ops)

        traced = tracing.trace(describe, observation, *others)
        return made[0], traced

    def describe(
        self, mode: str, observation: Structure, action: Structure, columns: tuple[str, ...], seed: int, **given: Any
    ) -> tuple[EstimatorSpec, keras.Model | None]:
        """Calls it for EVAL, or for PREDICT, with labels of None.

        Args:
            mode: Which.
            observation, action, columns, seed: As for `kagent.estimators.tracing.trace`.
            **given: As for `trace`.

        Returns:
            Its specification, and what it predicts, a model with layers of its own, or None.

        Raises:
            ValueError, TypeError: A result that does not suit.
        """
        made: list[EstimatorSpec] = []

        def predict(features: dict[str, Any], found: dict[str, Any] | None) -> Any:
            labels = None if found is None else _labels(observation, found)
            made.append(self(_features(observation, features), labels, mode, **given))
            return made[0].predictions

        model = tracing.predicting(predict, observation, action, None if Modes.is_infer(mode) else columns, seed)
        return made[0], model


class State(keras.KerasTensor):
    """The state of an observation space that is not nested: a tensor, which is its own only part, `features["state"]`."""

    @classmethod
    def of(cls, tensor: Any) -> Any:
        """A symbolic tensor as one of this class. Keras compares tensors by identity: it stays the same object."""
        tensor.__class__ = cls
        return tensor

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        if key != "state":
            raise KeyError(key)
        return self

    def __contains__(self, key: Any) -> bool:
        return bool(key == "state")

    def __iter__(self) -> Iterator[str]:
        return iter(("state",))

    def get(self, key: str, default: Any = None) -> Any:
        """As of a dict."""
        return self if key == "state" else default

    def keys(self) -> list[str]:
        """As of a dict."""
        return ["state"]

    def values(self) -> list[Any]:
        """As of a dict."""
        return [self]

    def items(self) -> list[tuple[str, Any]]:
        """As of a dict."""
        return [("state", self)]


def _features(observation: Structure, features: dict[str, Any]) -> Any:
    return features if observation.is_nested else State.of(features["observation"])


def _labels(observation: Structure, found: dict[str, Any]) -> dict[str, Any]:
    labels = {_LABELS.get(name, name): value for name, value in found.items()}
    if "next_state" in labels and not observation.is_nested:
        labels["next_state"] = State.of(labels["next_state"]["observation"])
    return labels
