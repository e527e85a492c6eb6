"""Model functions: what they may take, and what one call of them makes."""

from __future__ import annotations

import copy
import functools
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

from kagent.estimators.spec import EstimatorSpec, Modes
from kagent.policies import tracing
from kagent.spaces import Structure

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


_LABELS = {"next_observation": "next_state", "return": "discount_reward", "old_log_prob": "log_prob"}


def trace(
    function: ModelFunction,
    observation: Structure,
    action: Structure,
    columns: tuple[str, ...],
    seed: int,
    **given: Any,
) -> tuple[EstimatorSpec, tracing.Trace]:
    """Calls a model function for TRAIN with symbolic tensors.

    Args:
        function: Which.
        observation, action, columns, seed: As for `kagent.policies.tracing.trace`; these are labels by their other names.
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
        spec = function(features, labels, Modes.TRAIN, **given)
        made.append(spec)
        tracing.check_tensors(spec.extra_ops, "extra_ops")
        loss = spec.loss(labels, spec.predictions) if callable(spec.loss) else spec.loss
        return tracing.Described(spec.predictions or {}, loss, spec.eval_metric_ops)

    traced = tracing.trace(describe, observation, action, columns, seed)
    return made[0], traced
