"""Tensorforce's preprocessing of states and rewards as kagent's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kagent.compat.tensorforce.translation.context import Context, has_bounds, type_of
from kagent.compat.tensorforce.translation.parameters import parameter

# Type, and the arguments that kagent's layer of this name has.
LAYERS = {
    "linear_normalization": ("min_value", "max_value"),
    "exponential_normalization": ("decay", "axes", "only_mean", "min_variance"),
    "instance_normalization": ("axes", "only_mean", "min_variance"),
    "clipping": ("lower", "upper"),
    "deltafier": ("concatenate",),
    "sequence": ("length", "axis", "concatenate"),
    "image": ("height", "width", "grayscale"),
    "activation": ("nonlinearity",),
}
_DECAY = 0.999  # the default of 0.5


def preprocessing(states: Any, reward: Any, context: Context) -> dict[str, Any] | None:
    """kagent's `preprocessing`.

    Args:
        states: A layer or a list of them for all states, or a dict of these by state or type. "linear_normalization" alone is
            for the states of floats that have bounds.
        reward: Layers for the reward.
        context: The agent's.

    Raises:
        ValueError, TypeError: Unknown layers or arguments.
    """
    made = _of_states(states, context)
    layers = _layers(reward, "reward_processing")
    if layers:
        made["reward"] = layers
    return made or None


def _of_states(states: Any, context: Context) -> dict[str, Any]:
    leaves = {leaf.name or "state": leaf for leaf in context.processed.leaves}
    if states == "linear_normalization":
        return {name: ["linear_normalization"] for name, leaf in leaves.items() if has_bounds(leaf)}
    by_name = isinstance(states, Mapping) and "type" not in states
    if not by_name:
        states = {name: states for name in leaves}
    return {
        name: found for name, value in states.items() if (found := _layers(value, f"state_preprocessing[{name!r}]"))
    }


def _layers(value: Any, argument: str) -> list[Any]:
    made = []
    for layer in value if isinstance(value, list | tuple) else [] if value is None else [value]:
        kind, arguments = type_of(layer, argument, "")
        if kind not in LAYERS:
            raise ValueError(f"`{argument}` has no layer {kind!r}. Allowed: {', '.join(LAYERS)}. Received: {value!r}")
        given = {name: parameter(one, f"{argument}.{name}") for name, one in arguments.items() if name != "name"}
        unknown = sorted(set(given) - set(LAYERS[kind]))
        if unknown:
            raise ValueError(f"`{argument}` {kind} has no argument {unknown}. Allowed: {', '.join(LAYERS[kind])}")
        if kind == "exponential_normalization":
            given.setdefault("decay", _DECAY)
        made.append({"type": kind, **given})
    return made
