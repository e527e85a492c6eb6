"""Tensorforce's policies and baselines as kagent's policies and critics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kagent.compat.tensorforce.translation.context import Context, check_taken, from_file
from kagent.compat.tensorforce.translation.networks import network
from kagent.compat.tensorforce.translation.parameters import parameter
from kagent.policies import Role

_TYPES = {
    "parametrized_distributions": "stochastic", "parametrizeddistributions": "stochastic",
    "parametrized_value_policy": "value", "parametrizedvaluepolicy": "value",
    "parametrized_state_value": "state", "parametrizedstatevalue": "state",
    "parametrized_action_value": "action", "parametrizedactionvalue": "action",
}  # fmt: skip
_ARGUMENTS = (
    "network", "single_output", "distributions", "temperature", "use_beta_distribution", "state_value_mode",
    "infer_states_value", "infer_state_value", "name", "device", "l2_regularization",
)  # fmt: skip
# By which a network's specification is known in the place of a policy's.
_OF_NETWORKS = {"layers", "size", "depth", "final_size", "final_depth", "rnn", "internal_rnn"}
# A Gaussian of Tensorforce 0.6 with both bounds begins with a quarter of the standard deviation of one without.
_LOG_STD_OF_BOUNDED = -1.3862943611198906
# Options of distributions that kagent's lack, and why nothing is lost.
_GONE = {
    "temperature_mode": "logits have a scale of their own already",
    "skip_linear": "a distribution's parameters are a linear layer behind the network",
    "infer_states_value": "values of states are a critic's",
    "infer_state_value": "values of states are a critic's",
}


def _split(value: Any, argument: str, context: Context) -> tuple[str | None, dict[str, Any]]:
    """The kind of policy that a specification names, or None, and its arguments."""
    value = from_file(value, argument)
    if isinstance(value, type) and value.__name__.lower() in _TYPES:
        value = value.__name__
    if value is None or value in ("default", "auto") or (isinstance(value, str) and value.lower() in _TYPES):
        value = {"type": value}
    own = isinstance(value, Mapping) and (
        str(value.get("type", "default")).lower() in (*_TYPES, "default", "auto", "none")
    )
    if not own or _OF_NETWORKS & set(value):
        value = {"network": value}
    arguments = dict(value)
    kind = _TYPES.get(str(arguments.pop("type", "")).lower())
    check_taken(arguments, _ARGUMENTS, argument)
    if arguments.get("l2_regularization"):
        context.note("`l2_regularization` of a single policy has no meaning here: the agent's is for all networks")
    return kind, {name: one for name, one in arguments.items() if name not in ("name", "device", "l2_regularization")}


def policy(value: Any, context: Context, wanted: str) -> Any:
    """The policy that a specification describes.

    Args:
        value: None, a name, a network, or a dict.
        context: The agent's.
        wanted: What the objective learns: "value", "deterministic" or "stochastic".

    Raises:
        ValueError, TypeError: Unknown arguments, or a policy that the objective does not learn.
    """
    if isinstance(value, Role):
        return value
    kind, arguments = _split(value, "policy", context)
    outputs = arguments.get("single_output", True) is False
    made: dict[str, Any] = {"network": network(arguments.get("network"), context, "policy.network", outputs=outputs)}
    mode = arguments.get("state_value_mode", "separate" if kind == "value" else "implicit")
    if wanted == "value":
        if kind == "stochastic" and arguments.get("distributions") is not None:
            context.note(
                "`distributions` of a policy that learns values of actions have no meaning here: each value is an output"
            )
        if mode not in ("implicit", "separate", "separate-per-action"):
            raise ValueError(f"`policy.state_value_mode` must be 'implicit' or 'separate'. Received: {mode!r}")
        return {"type": "ValuePolicy", **made, "dueling": mode != "implicit"}
    if kind == "value":
        raise ValueError(
            "`policy` parametrized_value_policy has values of actions, and the objective learns probabilities. Allowed: "
            "'parametrized_distributions', or objective 'action_value'"
        )
    if wanted == "deterministic":
        if arguments.get("distributions") is not None:
            context.note(
                "`distributions` have no meaning here: a deterministic policy is tanh within the action's bounds"
            )
        return {"type": "DeterministicPolicy", **made}
    chosen = _distributions(arguments, context)
    gaussian = [leaf for name, leaf in context.action_leaves.items() if isinstance(chosen[name], dict)]
    if gaussian and not context.older and all(leaf.is_bounded for leaf in gaussian):
        made["log_std"] = _LOG_STD_OF_BOUNDED
    return {
        "type": "StochasticPolicy",
        **made,
        "distribution": chosen,
        "temperature": parameter(arguments.get("temperature", 1.0), "policy.temperature"),
        "head_gain": 0.01,
    }


def _distributions(arguments: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """The distribution of every action by its name."""
    given = from_file(arguments.get("distributions"), "policy.distributions")
    if isinstance(given, str) or (isinstance(given, Mapping) and "type" in given):
        given = {leaf.type: given for leaf in context.action.leaves if _fits(given, leaf.type)}
    given = dict(given or {})
    beta = arguments.get("use_beta_distribution", context.older)
    made: dict[str, Any] = {}
    for name, leaf in context.action_leaves.items():
        spec = given.get(name, given.get(leaf.type))
        options = dict(spec) if isinstance(spec, Mapping) else {"type": spec}
        for option, why in _GONE.items():
            if options.pop(option, None) is not None:
                context.note(f"`{option}` of distributions has no meaning here: {why}")
        default = {
            "bool": "bernoulli",
            "int": "categorical",
            "float": "beta" if beta and leaf.is_bounded else "gaussian",
        }
        kind = options.pop("type", None) or default[leaf.type]
        kind = kind.__name__.lower() if isinstance(kind, type) else kind
        if kind == "gaussian":
            mode = options.pop("stddev_mode", None) or (
                "global" if options.pop("global_stddev", False) else "predicted"
            )
            transform = options.pop("bounded_transform", None) or ("clipping" if context.older else "tanh")
            if transform not in ("tanh", "clipping"):
                raise ValueError(
                    f"`policy.distributions` bounded_transform must be 'tanh' or 'clipping'. Received: {transform!r}"
                )
            kind = "squashed_gaussian" if transform == "tanh" and leaf.is_bounded else "gaussian"
            made[name] = {"type": kind, "stddev_mode": mode}
        else:
            made[name] = kind
        check_taken(options, ("name", "device"), f"policy.distributions[{name!r}] {kind}")
    return made


def _fits(spec: Any, kind: str) -> bool:
    name = spec if isinstance(spec, str) else str(spec["type"])
    return kind == {"bernoulli": "bool", "categorical": "int"}.get(name, "float")


def baseline(value: Any, context: Context, actions: bool) -> Any:
    """The critic that a baseline is.

    Args:
        value: A network, a name, or a dict; not None.
        context: The agent's.
        actions: Whether it values actions.
    """
    if isinstance(value, Role):
        return value
    kind, arguments = _split(value, "baseline", context)
    actions = actions or kind == "action"
    made = network(arguments.get("network"), context, "baseline.network", actions=actions, outputs=False)
    if kind in ("stochastic", "value") or arguments.get("distributions") is not None:
        context.note(
            "a `baseline` that is a policy has no meaning here: its values are an output of their own behind its network"
        )
    return (
        {"type": "ActionValue", "members": 1, "network": made} if actions else {"type": "StateValue", "network": made}
    )
