"""The words of Tensorforce 0.5 in those of 0.6, and how to know which of them a specification is in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Words that only one of them has: names of arguments, and of types.
OLDER = frozenset({
    "baseline_network", "baseline_policy", "critic_network", "decay_steps", "estimate_actions", "estimate_horizon",
    "estimate_terminal", "execution", "internal_rnn", "labels", "optimization_steps", "optimizing_iterations",
    "preprocessing", "ratio_based", "state_action_value",
})  # fmt: skip
OLDER_TYPES = frozenset({
    "det_policy_gradient", "internal_gru", "internal_lstm", "internal_rnn", "meta_optimizer_wrapper", "optimizing_step",
})  # fmt: skip
NEWER = frozenset({
    "advantage_processing", "baseline", "critic", "gae_decay", "importance_sampling", "linesearch_iterations", "multi_step",
    "num_steps", "predict_action_values", "predict_horizon_values", "predict_terminal_values", "return_processing",
    "reward_preprocessing", "reward_processing", "rnn", "state_preprocessing", "state_value_mode", "summaries", "tracking", "trace_decay",
})  # fmt: skip
NEWER_TYPES = frozenset({
    "input_gru", "input_lstm", "input_rnn", "linesearch_step", "parametrized_action_value", "parametrized_state_value",
    "parametrized_value_policy",
})  # fmt: skip

_PROCESSING = {"preprocessing": "state_preprocessing", "reward_preprocessing": "reward_processing"}
_ALL = {**_PROCESSING, "estimate_terminal": "predict_terminal_values"}
_BASELINE = {
    **_ALL,
    "baseline_network": "baseline",
    "critic_network": "baseline",
    "critic_optimizer": "baseline_optimizer",
    "optimization_steps": "multi_step",
}
_CRITIC = {**_ALL, "critic_network": "critic"}
# Of each agent the arguments that have another name now.
RENAMED: dict[str, dict[str, str]] = {
    "tensorforce": {**_PROCESSING, "baseline_policy": "baseline"},
    "vpg": _BASELINE, "ppo": _BASELINE, "trpo": _BASELINE,
    "dqn": _ALL, "double_dqn": _ALL, "dueling_dqn": _ALL,
    "ac": _CRITIC, "a2c": _CRITIC, "dpg": _CRITIC,
    "random": {}, "constant": {},
}  # fmt: skip
_INTO_CONFIG = ("name", "device", "seed", "buffer_observe")


def is_older(spec: Mapping[str, Any]) -> bool:
    """Whether a specification is in the words of 0.5: it has some that 0.6 has not, and none that only 0.6 has.

    A horizon of 0 is one of them: 0.6 begins to count at 1. Without any such word it is in those of 0.6.
    """
    names, types = _words(spec)
    estimation = spec.get("reward_estimation")
    horizons = [spec.get("horizon"), estimation.get("horizon") if isinstance(estimation, Mapping) else None]
    if any(type(one) is int and one == 0 for one in horizons):
        return True
    newer = names & NEWER or types & NEWER_TYPES
    return bool((names & OLDER or types & OLDER_TYPES) and not newer)


def _words(value: Any) -> tuple[set[str], set[str]]:
    """Names of arguments and of types in a specification, however deep."""
    names: set[str] = set()
    types: set[str] = {value} if isinstance(value, str) else set()
    inner = list(value) if isinstance(value, list | tuple) else []
    if isinstance(value, Mapping):
        names, inner = {str(key) for key in value}, list(value.values())
    for one in inner:
        further = _words(one)
        names, types = names | further[0], types | further[1]
    return names, types


def renamed(agent: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The specification in the words of 0.6.

    Raises:
        ValueError: An argument by both of its names.
    """
    names = RENAMED[agent]
    made: dict[str, Any] = {}
    for name, value in spec.items():
        own = names.get(name, name)
        if own in made:
            raise ValueError(f"`{own}` and `{name}` are one argument of {agent!r}: give one of them")
        made[own] = value
    states = made.get("state_preprocessing")
    if "preprocessing" in spec and isinstance(states, Mapping) and "reward" in states:
        made["state_preprocessing"] = {name: value for name, value in states.items() if name != "reward"}
        made["reward_processing"] = states["reward"]
    if "preprocessing" not in spec and agent not in ("random", "constant") and not is_older(spec):
        made.setdefault("state_preprocessing", "linear_normalization")
    config = dict(made.pop("config", None) or {})
    for name in _INTO_CONFIG:
        if made.get(name) is not None:
            if config.get(name) is not None:
                raise ValueError(f"`{name}` is given twice. Received: {made[name]!r} and config={config}")
            config[name] = made[name]
        made.pop(name, None)
    return {**made, "config": config}
