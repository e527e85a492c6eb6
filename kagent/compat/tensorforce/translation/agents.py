"""A whole specification of an agent as arguments of `kagent.Agent`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kagent.compat.tensorforce.translation import estimation as estimations
from kagent.compat.tensorforce.translation import objectives, policies, presets, settings, updates, words
from kagent.compat.tensorforce.translation.context import Context, check_taken, type_of
from kagent.compat.tensorforce.translation.optimizers import optimizer
from kagent.compat.tensorforce.translation.parameters import Changed, parameter
from kagent.compat.tensorforce.translation.preprocessing import preprocessing
from kagent.memories import Memory

_LEARNING = (
    "policy", "memory", "update", "optimizer", "objective", "reward_estimation", "baseline", "baseline_optimizer",
    "baseline_objective", "reward_processing",
)  # fmt: skip
_WANTED = {"action_value": "value", "deterministic_policy_gradient": "deterministic"}


def translate(agent: str, spec: Mapping[str, Any], context: Context) -> tuple[str, dict[str, Any]]:
    """An agent's specification as kagent's.

    Args:
        agent: Its name, one of those in `presets.NAMES`.
        spec: Its arguments, without `states` and `actions`.
        context: The agent's. It is left with notes about words without a meaning.

    Returns:
        "agent", "random" or "constant": the class of kagent's; and its arguments, without spaces.

    Raises:
        ValueError, TypeError: Unknown words, or words that do not go together, with the way to say it now.
    """
    kind = presets.NAMES[agent]
    context.older = words.is_older(spec)
    given = words.renamed(kind, spec)
    if given.pop("execution", None) is not None:
        context.note("`execution` has no meaning here: there are no sessions in TensorFlow 2")
    if kind in ("random", "constant"):
        check_taken(given, ("action_values", *presets.SHARED), f"agent {kind}")
        own = {"action_values": given["action_values"]} if given.get("action_values") is not None else {}
        return kind, {**own, **_beside(given, context)}
    given = presets.general(kind, given, context.older)
    check_taken(given, (*_LEARNING, *presets.SHARED), "agent tensorforce")
    for name in ("update", "objective", "reward_estimation"):
        if given.get(name) is None:
            raise ValueError(f"`{name}` is required of agent 'tensorforce'. Received: None")
    return "agent", {**_learning(given, context), **_beside(given, context)}


def _beside(given: Mapping[str, Any], context: Context) -> dict[str, Any]:
    made = {**settings.config(given.get("config"), context), **settings.callbacks(given, context)}
    if given.get("parallel_interactions", 1) != 1:
        made["parallel_interactions"] = given["parallel_interactions"]
    if context.max_episode_timesteps is not None:
        made["max_episode_timesteps"] = context.max_episode_timesteps
    return made


def _learning(given: Mapping[str, Any], context: Context) -> dict[str, Any]:
    reward, processed = estimations.estimation(given["reward_estimation"], context)
    layers = preprocessing(given.get("state_preprocessing"), given.get("reward_processing") or processed, context)
    context.process(layers)
    objective = objectives.objective(given["objective"], context)
    named = objective["type"] if isinstance(objective, Mapping) else None
    if named == "plus":
        named = objective["objective1"]["type"]
    if named == "deterministic_policy_gradient":
        reward = _without_advantages(reward, context)
    made = {
        "objective": objective,
        "reward_estimation": reward,
        "preprocessing": layers,
        "policy": policies.policy(given.get("policy"), context, _WANTED.get(str(named), "stochastic")),
        "optimizer": optimizer(given.get("optimizer") or "adam", context),
        "update": updates.update(given["update"], context),
        "exploration": _exploration(given.get("exploration"), context),
        **_baseline(given, context, _made_of(reward, "estimate_actions"), named),
    }
    made["memory"] = _memory(given.get("memory"), made["update"], named, context)
    for name in ("variable_noise", "l2_regularization"):
        made[name] = parameter(given.get(name) or 0.0, name)
    entropy = parameter(given.get("entropy_regularization") or 0.0, "entropy_regularization")
    if named in _WANTED and entropy != 0.0:
        context.note(
            "`entropy_regularization` has no meaning here: a policy that learns values of actions has no entropy"
        )
        entropy = 0.0
    made["entropy_regularization"] = _entropy(entropy, context)
    return {name: value for name, value in made.items() if value is not None}


def _without_advantages(reward: Any, context: Context) -> Any:
    """A reward estimation without the words that a deterministic policy gradient does not read."""
    unread = ("estimate_advantage", "normalize_advantages", "advantage_bounds")
    if not isinstance(reward, Mapping) or not any(reward.get(name) for name in unread):
        return reward
    context.note("`estimate_advantage` has no meaning here: a deterministic policy gradient follows values of actions")
    return {name: value for name, value in reward.items() if name not in unread}


def _made_of(part: Any, name: str) -> Any:
    """An argument of a part, which is a dict or an object."""
    return part.get(name, False) if isinstance(part, Mapping) else getattr(part, name, False)


def _entropy(weight: Any, context: Context) -> Any:
    # An action's entropy is the sum over its components here, and their mean there.
    count = context.action.size
    if count == 1:
        return weight
    return weight / count if isinstance(weight, int | float) else Changed(weight, scale=1.0 / count)


def _memory(value: Any, update: Any, named: str | None, context: Context) -> Any:
    """The memory; networks must have been read, of which it must be known whether they are recurrent."""
    if isinstance(value, Memory):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"type": "replay", "capacity": value}
    if value is None and context.older:
        value = "replay"
    if value in (None, "minimum"):
        return {"type": "recent"}
    kind, arguments = type_of(value, "memory", "replay")
    kind = kind.lower()
    if kind not in ("replay", "recent", "default"):
        raise ValueError(
            f"`memory` has no type {kind!r}. Allowed: 'replay', 'recent', an int: a replay memory's capacity"
        )
    check_taken(arguments, ("capacity", "device", "name"), f"memory {kind}")
    capacity = {} if arguments.get("capacity") in (None, "minimum") else {"capacity": arguments["capacity"]}
    if kind == "recent" or not context.past_horizon or _made_of(update, "unit") == "episodes":
        return {"type": "replay" if kind == "default" else kind, **capacity}
    if named != "action_value":
        context.note(
            "a replay memory of timesteps has no meaning here beside a recurrent policy of probabilities: the latest timesteps are "
            "learned from"
        )
        return {"type": "recent", **capacity}
    return {"type": "ReplaySequences", **capacity, **_sequences(update, context)}


def _sequences(update: Any, context: Context) -> dict[str, int]:
    """Sequences as long as recurrent layers learn through, of which a batch is a multiple, and as much in front of them."""
    size = update if isinstance(update, int) else _made_of(update, "batch_size")
    divisors = [n for n in range(1, context.past_horizon + 1) if isinstance(size, int) and size % n == 0]
    return {"sequence_length": max(divisors, default=1), "burn_in": context.past_horizon}


def _exploration(value: Any, context: Context) -> Any:
    if value is None:
        return 0.0
    if isinstance(value, Mapping) and "type" not in value:
        known = {*context.action_leaves, "bool", "int", "float"}
        check_taken(value, sorted(known), "exploration")
        types = {name: leaf.type for name, leaf in context.action_leaves.items()}
        made = {name: value.get(name, value.get(kind)) for name, kind in types.items()}
        return {name: parameter(one, f"exploration[{name!r}]") for name, one in made.items() if one is not None}
    if isinstance(value, Mapping) and value["type"] == "ornstein_uhlenbeck" and context.action.size:
        discrete = any(leaf.is_discrete for leaf in context.action.leaves)
        found = parameter(value, "exploration")
        return _within(found, 1.0 if discrete else None)
    return parameter(value, "exploration")


def _within(process: Any, most: float | None) -> Any:
    """A process held within the amounts that an exploration may have."""
    return dataclasses.replace(process, minval=0.0, maxval=most)


def _baseline(given: Mapping[str, Any], context: Context, actions: bool, named: str | None) -> dict[str, Any]:
    """The words of the baseline, which `kagent.Agent` takes by their names; see `kagent.arguments.baselines`."""
    value = given.get("baseline")
    own = optimizer(given.get("baseline_optimizer"), context, "baseline_optimizer")
    wanted = given.get("baseline_objective")
    synchronized = isinstance(own, Mapping) and own.get("type") == "synchronization"
    if named == "action_value":
        if wanted is not None or (value is not None and not synchronized):
            raise ValueError(
                "`objective` action_value learns with a target network: the baseline must be that, with baseline_optimizer="
                "{'type': 'synchronization'} and no baseline_objective. Received: "
                f"baseline_optimizer={own!r}, baseline_objective={wanted!r}"
            )
        return {"baseline_optimizer": own} if synchronized else {}
    wanted = objectives.objective(wanted, context, "baseline_objective")
    if wanted is not None and named != "deterministic_policy_gradient":
        if isinstance(wanted, Mapping) and wanted["type"] not in ("state_value", "action_value"):
            context.note(
                f"`baseline_objective` {wanted['type']!r} has no meaning here: a baseline learns values, by 'state_value'"
            )
            wanted = {"type": "state_value"}
        if isinstance(wanted, Mapping) and not actions:
            wanted = {**wanted, "type": "state_value"}
    if synchronized:
        context.note(
            "a `baseline` that follows a policy of probabilities has no meaning here: it has no values to be copied, and a "
            "baseline of its own learns them"
        )
        own, wanted = None, wanted or {"type": "state_value"}
    made: dict[str, Any] = {"baseline_optimizer": own, "baseline_objective": wanted}
    if named == "deterministic_policy_gradient":
        made["target"] = {"tau": 1.0, "period": 1}
        value = {} if value is None else value
    if value is not None:
        made["baseline_policy"] = policies.baseline(value, context, actions or named == "deterministic_policy_gradient")
    return {name: one for name, one in made.items() if one is not None}
