"""Model functions: what they may take, and what one call of them makes."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

from kagent.estimators.spec import EstimatorSpec, Modes
from kagent.policies import tracing
from kagent.signatures import check_function
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
        if getattr(spec.train_op, "built", False) is True:
            raise ValueError("`train_op` trains another model already: make an optimizer in each call of `model_fn`")
        return spec

    def trace(self, observation: Structure, *others: Any, **given: Any) -> tuple[EstimatorSpec, tracing.Trace]:
        """Calls it for TRAIN with symbolic tensors.

        Args:
            observation, *others: As for `kagent.policies.tracing.trace`, the columns of which are labels by other names.
            **given: Its `params`, `config` and `model_dir`.

        Raises:
            ValueError, TypeError: A space or a result that does not suit.
        """
        made: list[EstimatorSpec] = []

        def describe(features: dict[str, Any], found: dict[str, Any]) -> tracing.Described:
            labels = {_LABELS.get(name, name): value for name, value in found.items()}
            if "next_state" in labels and not observation.is_nested:
                labels["next_state"] = labels["next_state"]["observation"]
            features = features if observation.is_nested else {"state": features["observation"]}
            spec = self(features, labels, Modes.TRAIN, **given)
            made.append(spec)
            tracing.check_tensors(spec.extra_ops, "extra_ops")
            loss = spec.loss(labels, spec.predictions) if callable(spec.loss) else spec.loss
            return tracing.Described(spec.predictions or {}, loss, spec.eval_metric_ops)

        traced = tracing.trace(describe, observation, *others)
        return made[0], traced
