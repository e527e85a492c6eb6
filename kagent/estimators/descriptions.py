"""What a model function returned, for each mode that it was called for."""

from __future__ import annotations

import copy
import warnings
from typing import Any

from kagent.estimators import tracing
from kagent.estimators.branches import Branch
from kagent.estimators.config import RunConfig
from kagent.estimators.function import ModelFunction
from kagent.estimators.function_policy import ModelPolicy
from kagent.estimators.spec import EstimatorSpec, Modes
from kagent.spaces import Structure


class Descriptions:
    """Calls a model function once for each mode, and keeps its results.

    Args:
        function: The function.
        columns: Labels beside those of all, by kagent's names.
        config: The configuration that it gets, with `model_dir`.
        seed: Of the layers that it makes.

    Attributes:
        training: Its `EstimatorSpec` for TRAIN, or None before `trace`.
    """

    def __init__(self, function: ModelFunction, columns: tuple[str, ...], config: RunConfig, seed: int):
        self._function, self._columns, self._config, self._seed = function, columns, config, seed
        self._others: dict[str, tuple[EstimatorSpec, Branch | None]] = {}
        self.training: Any = None

    def trace(self, observation: Structure, action: Structure, params: dict[str, Any]) -> tracing.Trace:
        """Calls it for TRAIN; see `ModelFunction.trace`. `params` are copied."""
        given = self._given(params)
        self.training, traced = self._function.trace(observation, action, self._columns, self._seed, **given)
        return traced

    def of(self, mode: str, policy: ModelPolicy, params: dict[str, Any]) -> tuple[EstimatorSpec, Branch | None]:
        """Its specification for EVAL or PREDICT, and what it predicts there with the weights of TRAIN.

        Args:
            mode: Which.
            policy: Made of what `trace` returned.
            params: As for `trace`.
        """
        if mode not in self._others:
            if mode == Modes.EVAL and "mode" not in self._function.arguments:  # it cannot tell it from TRAIN
                return self.training, None
            structures, given = (policy.observation, policy.action), self._given(params)
            try:
                spec, model = self._function.describe(mode, *structures, self._columns, self._seed, **given)
            except Exception as error:
                if not Modes.is_infer(mode):
                    raise
                warnings.warn(
                    f"`model_fn` does not take labels=None, as in mode {mode!r}: predictions are those of 'train'. "
                    f"Its error: {type(error).__name__}: {error}",
                    stacklevel=3,
                )
                spec, model = self.training, None
            branch = None if model is None else Branch(model, [policy.acting, policy.learning], mode)
            self._others[mode] = spec, branch
        return self._others[mode]

    def _given(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"params": copy.deepcopy(params), "config": self._config, "model_dir": self._config.model_dir}
