"""Tensorforce's reward estimation as kagent's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from kagent import ops, schedules
from kagent.compat.tensorforce.translation.context import Context, check_taken, type_of
from kagent.compat.tensorforce.translation.parameters import parameter, shifted
from kagent.ops.timesteps import Timesteps
from kagent.reward_estimation import REWARD_ESTIMATIONS, RewardEstimation
from kagent.schedules import Clock

_NAMES = {
    "discount": "discount",
    "predict_horizon_values": "estimate_horizon", "estimate_horizon": "estimate_horizon",
    "predict_action_values": "estimate_actions", "estimate_actions": "estimate_actions",
    "predict_terminal_values": "estimate_terminal", "estimate_terminal": "estimate_terminal",
    "estimate_advantage": "estimate_advantage",
    "trace_decay": "return_lambda", "gae_decay": "gae_lambda",
}  # fmt: skip
_WITHOUT_EFFECT = {"trace_decay": 1.0, "gae_decay": 0.0}  # values by which nothing is mixed
_PROCESSED = {"return_processing": "returns", "advantage_processing": "advantages"}
_LEAST_VARIANCE = 1e-4


@REWARD_ESTIMATIONS.register()
@dataclasses.dataclass(frozen=True)
class ProcessedEstimation(RewardEstimation):
    """A `RewardEstimation` with Tensorforce's `return_processing` and `advantage_processing`.

    Values are first held within bounds, as by a `clipping` layer. Where they are normalized, the mean is subtracted, and the
    difference divided by the root of the variance, which counts for at least 0.0001, as by a `batch_normalization` layer.

    With `gae_lambda`, Tensorforce's `gae_decay`, the critic learns the processed returns of one timestep. Advantages are discounted sums
    of their processed differences to the values. (`RewardEstimation` processes after the sums, and its critic learns these.)

    Args:
        return_bounds, advantage_bounds: Lower and upper bound, either of which may be None; None: no bounds.

    Example:

    >>> estimation = ProcessedEstimation(horizon="episode", return_bounds=(None, 2.0))
    >>> estimation.returns([1.0, 2.0, 0.5], [False, False, True], [False] * 3).tolist()
    [2.0, 2.0, 0.5]
    """

    return_bounds: Any = None
    advantage_bounds: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("return_bounds", "advantage_bounds"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else tuple(value))

    def processed_returns(self, returns: tf.Tensor, weight: Any = None) -> tf.Tensor:
        returns = _held(returns, self.return_bounds)
        return _standardized(returns, weight) if self.normalize_returns else returns

    def processed_advantages(self, advantages: tf.Tensor, weight: Any = None) -> tf.Tensor:
        advantages = _held(advantages, self.advantage_bounds)
        return _standardized(advantages, weight) if self.normalize_advantages else advantages

    def _estimates(self, steps: Timesteps, clock: Clock) -> tuple[tf.Tensor, tf.Tensor]:
        if self.gae_lambda is None:
            return super()._estimates(steps, clock)
        returns = self.processed_returns(self._returns(steps, clock), steps.weight)
        differences = self.processed_advantages(returns - steps.values, steps.weight)
        nothing, discount = tf.zeros_like(differences), self.discounts(steps.terminated, clock)
        decay = schedules.evaluate(self.gae_lambda, clock)
        return returns, ops.gae(differences, discount, nothing, nothing, steps.ended, decay)


def _standardized(values: tf.Tensor, weight: Any) -> tf.Tensor:
    mean = ops.weighted_mean(values, weight)
    variance = ops.weighted_mean(tf.square(values - mean), weight)
    return (values - mean) / tf.sqrt(tf.maximum(variance, _LEAST_VARIANCE))


def _held(values: tf.Tensor, bounds: Any) -> tf.Tensor:
    lower, upper = bounds or (None, None)
    values = values if lower is None else tf.maximum(values, lower)
    return values if upper is None else tf.minimum(values, upper)


def estimation(value: Any, context: Context) -> tuple[Any, Any]:
    """The reward estimation that a specification describes, and its `reward_processing`.

    Its `horizon` counts rewards in 0.6 and *further* rewards in 0.5 and in kagent. One beyond the longest episode is the episode.

    Raises:
        ValueError, TypeError: Unknown arguments, processing that is not of returns or advantages, no horizon.
    """
    if not isinstance(value, Mapping):
        return value, None
    argument = "reward_estimation"
    check_taken(value, ["horizon", *_NAMES, *_PROCESSED, "reward_processing", "capacity", "type"], argument)
    if "horizon" not in value:
        raise ValueError(f"`{argument}` needs `horizon`. Received: {dict(value)}")
    made: dict[str, Any] = {}
    for name, own in _NAMES.items():
        if value.get(name) is not None and value[name] != _WITHOUT_EFFECT.get(name):
            made[own] = parameter(value[name], f"{argument}.{name}")
    if made.get("estimate_advantage") in ("early", "late"):
        context.note(
            "`estimate_advantage` is True or False here: of a critic that steps by itself it is the one after its step"
        )
        made["estimate_advantage"] = True
    made["horizon"] = _horizon(value["horizon"], context, made)
    bounds: dict[str, Any] = {}
    for name, what in _PROCESSED.items():
        if what == "advantages" and value.get(name) and not made.get("estimate_advantage") and "gae_lambda" not in made:
            raise ValueError(f"`{argument}.{name}` needs estimate_advantage=True. Received: {value[name]!r}")
        normalize, held = _processing(value.get(name), f"{argument}.{name}")
        if normalize:
            made[f"normalize_{what}"] = True
        if held is not None:
            bounds[f"{what.removesuffix('s')}_bounds"] = held
    processed = bounds or "gae_lambda" in made or any(made.get(f"normalize_{what}") for what in _PROCESSED.values())
    kind = "ProcessedEstimation" if processed else "RewardEstimation"
    return {"type": kind, **made, **bounds}, value.get("reward_processing")


def _horizon(given: Any, context: Context, made: Mapping[str, Any]) -> Any:
    """The horizon as kagent counts it: further rewards, or "episode"."""
    horizon = parameter(given, "reward_estimation.horizon")
    further = horizon
    if horizon != "episode" and not context.older:
        if isinstance(horizon, int) and not isinstance(horizon, bool) and horizon < 1:
            raise ValueError(f"`reward_estimation.horizon` must be at least 1, or 'episode'. Received: {horizon}")
        further = shifted(horizon, -1)
    limit = context.max_episode_timesteps
    if (
        isinstance(further, int)
        and not isinstance(further, bool)
        and limit is not None
        and further >= limit - 1
        and further > 0
    ):
        further = "episode"
    # Each of both weighs horizons: of returns all to the episode's end, of advantages sums over single timesteps.
    for name, own, meant in (("trace_decay", "return_lambda", "episode"), ("gae_decay", "gae_lambda", 0)):
        if own in made:
            if further != meant:
                context.note(
                    f"`horizon` {horizon!r} has no meaning beside `{name}`: it is {'an episode' if meant else '1'}"
                )
            return 0  # by which kagent knows that lambda weighs horizons
    return further


def _processing(value: Any, argument: str) -> tuple[bool, Any]:
    """Whether values are normalized, and the bounds that hold them before."""
    normalize, bounds = False, None
    for layer in value if isinstance(value, list | tuple) else [] if value is None else [value]:
        kind, arguments = type_of(layer, argument, "")
        if kind == "batch_normalization" and not set(arguments) - {"name", "axes"}:
            normalize = True
        elif kind == "clipping" and not normalize:
            check_taken(arguments, ("name", "lower", "upper"), f"{argument} clipping")
            bounds = (arguments.get("lower"), arguments.get("upper"))
        else:
            raise ValueError(
                f"`{argument}` must be 'batch_normalization', a 'clipping' with constant bounds, or the latter and then the "
                f"former. Received: {value!r}"
            )
    return normalize, bounds
