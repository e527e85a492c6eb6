"""Tensorforce's objectives as kagent's."""

from __future__ import annotations

from typing import Any

from kagent.compat.tensorforce.translation.context import Context, check_taken, type_of
from kagent.compat.tensorforce.translation.parameters import parameter

_NAMES = {
    "policy_gradient": "policy_gradient", "policygradient": "policy_gradient",
    "value": "value", "state_value": "state_value", "action_value": "action_value",
    "deterministic_policy_gradient": "deterministic_policy_gradient",
    "deterministicpolicygradient": "deterministic_policy_gradient",
    "det_policy_gradient": "deterministic_policy_gradient",
    "plus": "plus",
}  # fmt: skip


def objective(value: Any, context: Context, argument: str = "objective") -> Any:
    """The objective that a specification describes; objects of kagent's as they are.

    Raises:
        ValueError, TypeError: An unknown one, or unknown arguments.
    """
    if value is None or not isinstance(value, str | dict | type):
        return value
    named, arguments = type_of(value, argument, "policy_gradient")
    kind = _NAMES.get(named.lower())
    if kind is None:
        raise ValueError(f"`{argument}` has no type {named!r}. Allowed: {', '.join(sorted(set(_NAMES.values())))}")
    arguments.pop("name", None)
    if arguments.pop("early_reduce", True) is False and context.action.size > 1:
        context.note(
            "`early_reduce=False` has no meaning here: an action's log-probability is the sum over its components, its value "
            "their mean"
        )
    if kind == "plus":
        check_taken(arguments, ("objective1", "objective2"), f"{argument} plus", ("objective1", "objective2"))
        parts = {
            name: objective(arguments[name], context, f"{argument}.{name}") for name in ("objective1", "objective2")
        }
        kinds = {part["type"] for part in parts.values() if isinstance(part, dict)}
        if "policy_gradient" in kinds and kinds & {"action_value", "deterministic_policy_gradient"}:
            raise ValueError(
                f"`{argument}` plus cannot add {' and '.join(sorted(kinds))}: a policy gives probabilities or values of actions. Allowed: "
                "'policy_gradient' with baseline_objective='action_value' and reward_estimation's predict_action_values=True"
            )
        return {"type": "plus", **parts}
    if kind == "policy_gradient":
        check_taken(arguments, ("importance_sampling", "ratio_based", "clipping_value"), f"{argument} {kind}")
        clipping = parameter(arguments.get("clipping_value"), f"{argument}.clipping_value")
        return {
            "type": kind,
            "importance_sampling": bool(arguments.get("importance_sampling", arguments.get("ratio_based", False))),
            "clipping_value": clipping or None,
        }
    if kind == "deterministic_policy_gradient":
        check_taken(arguments, (), f"{argument} {kind}")
        return {"type": kind}
    check_taken(arguments, ("value", "huber_loss") if kind == "value" else ("huber_loss",), f"{argument} {kind}")
    which = arguments.get("value", "state") if kind == "value" else kind.removesuffix("_value")
    if which not in ("state", "action"):
        raise ValueError(f"`{argument}.value` must be 'state' or 'action'. Received: {which!r}")
    huber = parameter(arguments.get("huber_loss"), f"{argument}.huber_loss")
    return {"type": f"{which}_value", "huber": huber or None}
