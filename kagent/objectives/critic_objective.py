"""What a critic learns, and which critic there is where none is given."""

from __future__ import annotations

import copy
import dataclasses
import math
import numbers
import warnings
from collections.abc import Mapping
from typing import Any

from kagent import objectives
from kagent.objectives.rollouts import RolloutObjective

PARTS = {"policy": "critic", "optimizer": "critic_optimizer", "objective": "critic_objective"}


def get(identifier: Any, actions: bool = False) -> Any:
    """A critic's objective from None, "advantage", a name, a dict or an object.

    Args:
        identifier: What is given.
        actions: Whether the critic values actions: "action_value" then stands for the same loss of their values.

    Raises:
        ValueError, TypeError: Something else, or an objective that is not of a critic.
    """
    if identifier is None or (isinstance(identifier, str) and identifier == objectives.THROUGH_ADVANTAGE):
        return identifier
    found = objectives.get(identifier, "critic_objective")
    if actions and isinstance(found, objectives.ActionValueObjective):
        return objectives.StateValueObjective(huber=None if isinstance(identifier, str) else found.huber)
    if not isinstance(found, objectives.StateValueObjective):
        raise ValueError(
            "`critic_objective` (`baseline_objective`) must be 'state_value', a dict of it, 'advantage', None, or with "
            f"reward_estimation.estimate_actions=True 'action_value'. Received: {identifier!r}"
        )
    return found


def serialize(objective: Any) -> Any:
    """The inverse of `get`, JSON-ready."""
    return objective if objective is None or isinstance(objective, str) else objectives.OBJECTIVES.serialize(objective)


def check(parts: Any) -> None:
    """Looks at an agent's parts.

    Raises:
        ValueError: The critic's objective does not suit the others.
    """
    objective = parts.critic_objective
    if objective is None:
        return
    kind = type(parts.objective).__name__
    if not isinstance(parts.objective, RolloutObjective | objectives.PlusObjective):
        raise ValueError(f"`critic_objective` has no place beside {kind}. Received: {objective!r}. Allowed: None")
    if parts.critic is None:
        raise ValueError(f"`critic_objective` needs a critic. Received: {objective!r}, and critic=None")
    if objective == objectives.THROUGH_ADVANTAGE:
        estimation = parts.reward_estimation
        if not estimation.estimate_advantage or estimation.gae_lambda is not None:
            raise ValueError(
                "A baseline without objective and optimizer learns through the advantage, which needs "
                "reward_estimation.estimate_advantage=True and no gae_lambda. Give it baseline_objective='state_value' to "
                f"learn by itself. Received: {estimation}"
            )
        if parts.optimizers["critic"] is not None:
            raise ValueError(
                "A critic that learns through the advantage shares the policy's optimizer. Received: its own"
            )


def complete(objective: Any, optimizer: Any, estimation: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The critic that values are needed of where none is given, and when the reward estimation estimates what is behind the
    horizon.

    Args:
        objective: The agent's objective, an object.
        optimizer: Its optimizer, as given.
        estimation: Its `RewardEstimation`.
        given: `critic`, `critic_optimizer`, `critic_objective` and `target`, as given.

    Returns:
        `given`, `objective` and `reward_estimation`, with what was added.

    Raises:
        ValueError, TypeError: Parts of a critic that mean nothing here.
    """
    estimation = _with_default(estimation, objective, given)
    parts = {**given, "objective": objective, "reward_estimation": estimation}
    if objective.critic is None and given["critic_optimizer"] is not None:
        raise ValueError(
            f"`critic_optimizer` has no place beside `objective` {type(objective).__name__}, which has no critic. "
            f"Received: {given['critic_optimizer']!r}"
        )
    if _lacks(objective, estimation, given):
        critic = {name: given[part] for name, part in PARTS.items()}
        return {**parts, **learned_by(objective, optimizer, estimation, critic)}
    return parts


def learned_by(objective: Any, optimizer: Any, estimation: Any, given: dict[str, Any]) -> dict[str, Any]:
    """A critic's parts, of an objective that learns with one.

    Args:
        objective, optimizer, estimation: As of `complete`.
        given: The critic's `policy`, `optimizer` and `objective`, None where not given: then they are made. A float for an
            optimizer is the weight of its loss beside the policy's, with which it shares the optimizer.

    Returns:
        `critic`, `critic_optimizer`, `critic_objective`, and `objective` with the weight.
    """
    if isinstance(objective, RolloutObjective | objectives.PlusObjective):
        return _of_states(objective, estimation, given)
    return _of_actions(objective, optimizer, given)


def _with_default(estimation: Any, objective: Any, given: Mapping[str, Any]) -> Any:
    """The estimation with an `estimate_horizon` that is not None: "late" where a critic or a target network is given, or
    where mixtures of horizons need estimates; else False."""
    if estimation.estimate_horizon is None:
        parts = [*(given[part] for part in PARTS.values()), given["target"] if objective.targets else None]
        mixes = estimation.gae_lambda is not None or estimation.return_lambda is not None
        late = mixes or any(part is not None for part in parts)
        if not late and objective.targets and estimation.horizon != "episode":
            warnings.warn(
                f"Without a baseline `reward_estimation.estimate_horizon` is False: {type(objective).__name__} learns the "
                f"sum of rewards up to the horizon, {estimation.horizon}, and nothing of what follows. Say "
                "estimate_horizon='late' to estimate that, or False to say that it is meant",
                stacklevel=5,
            )
        estimation = dataclasses.replace(estimation, estimate_horizon="late" if late else False)
    if estimation.estimate_actions and not estimation.asks_for_values:
        raise ValueError(
            "`reward_estimation.estimate_actions` says by what something is estimated, and nothing is. Received: True. "
            "Allowed: with estimate_horizon='early' or 'late', or with estimate_advantage=True"
        )
    return estimation


def _lacks(objective: Any, estimation: Any, given: Mapping[str, Any]) -> bool:
    """Whether values are needed for which there is no critic yet: of the estimation, or by the objective itself."""
    asked = estimation.asks_for_values or given["critic_optimizer"] is not None or given["critic_objective"] is not None
    return (asked or not objective.critic_optional) and objective.critic is not None and given["critic"] is None


def _of_states(objective: Any, estimation: Any, given: dict[str, Any]) -> dict[str, Any]:
    policy, optimizer, wanted = given.values()
    actions, weight = estimation.estimate_actions, _weight(optimizer)
    wanted = get(wanted, actions)
    alone = policy is not None and optimizer is None and wanted is None
    if alone and not actions and estimation.estimate_advantage and estimation.gae_lambda is None:
        return {"critic": policy, "critic_objective": objectives.THROUGH_ADVANTAGE}
    if weight is not None:
        if wanted is None:
            objective = _weighted(objective, weight, optimizer)
        else:
            wanted = dataclasses.replace(wanted, weight=_times(wanted.weight, weight))
    default = {"type": "ActionValue", "members": 1} if actions else "SharedStateValue"
    return {
        "objective": objective,
        "critic": default if policy is None else policy,
        "critic_objective": wanted,
        "critic_optimizer": optimizer if weight is None else None,
    }


def _weighted(objective: Any, weight: float, optimizer: Any) -> Any:
    names = {field.name for field in dataclasses.fields(objective)} if dataclasses.is_dataclass(objective) else set()
    for name in ("value_coefficient", "weight"):
        if name in names:
            return dataclasses.replace(objective, **{name: _times(getattr(objective, name), weight)})
    raise ValueError(
        f"`baseline_optimizer` as a weight needs a baseline_objective beside {type(objective).__name__}, such as "
        f"'state_value'. Received: {optimizer!r}"
    )


def _of_actions(objective: Any, optimizer: Any, given: dict[str, Any]) -> dict[str, Any]:
    policy, own, wanted = given.values()
    weight = _weight(own)
    names = {field.name for field in dataclasses.fields(objective)}
    changes: dict[str, Any] = {}
    if wanted is not None:
        found = objectives.get(wanted, "baseline_objective")
        if not isinstance(found, objectives.ActionValueObjective) or "huber" not in names:
            raise ValueError(
                f"`baseline_objective` (`critic_objective`) of {type(objective).__name__} must be None"
                f"{' or action_value' if 'huber' in names else ''}. Received: {wanted!r}"
            )
        changes["huber"] = None if isinstance(wanted, str) else found.huber
    if weight is not None:
        if "critic_weight" not in names:
            raise ValueError(
                f"`baseline_optimizer` (`critic_optimizer`) of {type(objective).__name__} must be an optimizer or None, and no "
                f"weight of a loss. Received: {own!r}"
            )
        changes["critic_weight"] = _times(objective.critic_weight, weight)
    return {
        "objective": dataclasses.replace(objective, **changes),
        "critic": "ActionValue" if policy is None else policy,
        "critic_optimizer": copy.deepcopy(optimizer) if own is None or weight is not None else own,
        "critic_objective": None,
    }


def _weight(optimizer: Any) -> float | None:
    # A whole number is no learning rate either, so it is taken for a weight too.
    if isinstance(optimizer, bool) or not isinstance(optimizer, numbers.Real):
        return None
    if not 0 < float(optimizer) < math.inf:
        raise ValueError(f"`baseline_optimizer` as a weight must be > 0. Received: {optimizer!r}")
    return float(optimizer)


def _times(own: Any, weight: float) -> float:
    if not isinstance(own, numbers.Real):
        raise ValueError(
            f"`baseline_optimizer` is a weight beside that of the objective, a schedule. Received: {weight} and {own!r}. "
            "Allowed: one of them"
        )
    return float(own) * weight
