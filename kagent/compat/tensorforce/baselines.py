"""The baseline: what of the seed's `baseline_policy`, `baseline_optimizer` and `baseline_objective` is which part here.

A baseline is the agent's critic, or, with the optimizer `"synchronization"`, its target network. P, Z and O stand for
the three arguments, `-` for None:

| P   | Z               | O   | what learns                                                                                  |
| --- | --------------- | --- | -------------------------------------------------------------------------------------------- |
| -   | -               | -   | The policy alone; or, where `reward_estimation` needs values (`estimate_horizon`,            |
|     |                 |     | `estimate_advantage`, `gae_lambda`, `return_lambda`) or the main objective itself is of      |
|     |                 |     | values ("state_value"), as with O, by the main objective.                                    |
| -   | -               | yes | A value head on the policy's own network; one optimizer, the losses are added.               |
| -   | float w         | any | The same, with w times the baseline's loss.                                                  |
| -   | optimizer       | any | The same network and head, by a second optimizer, before the policy.                         |
| yes | -               | -   | With `estimate_advantage`: the baseline through the advantage in the policy's loss. Else as  |
|     |                 |     | with O, by the main objective.                                                               |
| yes | -               | yes | A network of its own; one optimizer, the losses are added.                                   |
| yes | float w         | any | The same, with w times the baseline's loss.                                                  |
| yes | optimizer       | any | A network and an optimizer of its own, before the policy.                                    |
| any | synchronization | -   | Nothing: the baseline is the policy's target network. For objectives that learn with one.    |

Without O the baseline learns by the main objective: by what that has for a critic (`value_coefficient` times the squared
error of its values; of `state_value` its own loss).

With `reward_estimation.estimate_actions` the baseline of a policy gradient values actions in states. It takes the action for
its input, and so has a network of its own where P is not given; O may then be "action_value" too.

The deterministic policy gradient and soft actor-critic need their critic: it is made where P is not given, its objective is
the value of actions, and a float or no optimizer stands for one like the policy's.

Every other row is refused.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import numbers
import warnings
from typing import Any

from kagent import objectives, optimizers
from kagent.objectives.rollouts import RolloutObjective

_PARTS = {"policy": "critic", "optimizer": "critic_optimizer", "objective": "critic_objective"}


def translate(
    objective: Any, optimizer: Any, estimation: Any, given: dict[str, Any], own: dict[str, Any]
) -> dict[str, Any]:
    """The parts that the baseline stands for, and when the reward estimation estimates what is behind the horizon.

    Args:
        objective: The agent's objective, an object.
        optimizer: Its optimizer, as given.
        estimation: Its `RewardEstimation`.
        given: The baseline's `policy`, `optimizer` and `objective`, as given.
        own: `critic`, `critic_optimizer`, `critic_objective` and `target`, as given.

    Returns:
        `own`, `objective` and `reward_estimation`, with what was translated.

    Raises:
        ValueError, TypeError: A row that means nothing, or both names of one part.
    """
    estimation = _with_default(estimation, objective, given, own)
    parts = {**own, "objective": objective, "reward_estimation": estimation}
    if objective.critic is None and own["critic_optimizer"] is not None:
        raise ValueError(
            f"`critic_optimizer` has no place beside {type(objective).__name__}, which has no critic. "
            f"Received: {own['critic_optimizer']!r}"
        )
    if all(value is None for value in given.values()) and not _lacks(objective, estimation, own):
        return parts
    for name, part in _PARTS.items():
        if given[name] is not None and own[part] is not None:
            raise ValueError(
                f"`baseline_{name}` is another name of `{part}`. Received: both, {given[name]!r} and {own[part]!r}"
            )
    if optimizers.synchronization(given["optimizer"]) is not None:
        return {**parts, **_synchronized(objective, given, own)}
    if objective.critic is None:
        raise ValueError(
            f"`objective` {type(objective).__name__} learns with a target network: the baseline must be that, with "
            "baseline_optimizer={'type': 'synchronization'} and no baseline_objective. Received: " + _described(given)
        )
    given = {name: own[part] if given[name] is None else given[name] for name, part in _PARTS.items()}
    if isinstance(objective, RolloutObjective | objectives.PlusObjective):
        return {**parts, **_critic(objective, estimation, given)}
    return {**parts, **_action_critic(objective, optimizer, given)}


def _with_default(estimation: Any, objective: Any, given: dict[str, Any], own: dict[str, Any]) -> Any:
    """The estimation with an `estimate_horizon` that is not None: "late" where a baseline is given, by that name or as
    critic or target network, or where mixtures of horizons need estimates; else False."""
    if estimation.estimate_horizon is None:
        parts = [
            *given.values(),
            *(own[part] for part in _PARTS.values()),
            own["target"] if objective.targets else None,
        ]
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


def _lacks(objective: Any, estimation: Any, own: dict[str, Any]) -> bool:
    """Whether values are needed for which there is no critic yet: of the estimation, or by the objective itself."""
    asked = estimation.asks_for_values or own["critic_optimizer"] is not None or own["critic_objective"] is not None
    return (asked or not objective.critic_optional) and objective.critic is not None and own["critic"] is None


def check(agent: Any) -> None:
    """Raises:
    ValueError: The agent's critic objective does not suit its other parts.
    """
    objective = agent.critic_objective
    if objective is None:
        return
    kind = type(agent.objective).__name__
    if not isinstance(agent.objective, RolloutObjective | objectives.PlusObjective):
        raise ValueError(f"`critic_objective` has no place beside {kind}. Received: {objective!r}. Allowed: None")
    if agent.critic is None:
        raise ValueError(f"`critic_objective` needs a critic. Received: {objective!r}, and critic=None")
    if objective == objectives.THROUGH_ADVANTAGE:
        estimation = agent.reward_estimation
        if not estimation.estimate_advantage or estimation.gae_lambda is not None:
            raise ValueError(
                "A baseline without objective and optimizer learns through the advantage, which needs "
                "reward_estimation.estimate_advantage=True and no gae_lambda. Give it baseline_objective='state_value' to "
                f"learn by itself. Received: {estimation}"
            )
        if agent._optimizer_parts["critic"] is not None:
            raise ValueError(
                "A critic that learns through the advantage shares the policy's optimizer. Received: its own"
            )


def objective_of(identifier: Any, actions: bool = False) -> Any:
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
    """The inverse of `objective_of`, JSON-ready."""
    return objective if objective is None or isinstance(objective, str) else objectives.OBJECTIVES.serialize(objective)


def _critic(objective: Any, estimation: Any, given: dict[str, Any]) -> dict[str, Any]:
    policy, optimizer, wanted = given.values()
    actions, weight = estimation.estimate_actions, _weight(optimizer)
    wanted = objective_of(wanted, actions)
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


def _action_critic(objective: Any, optimizer: Any, given: dict[str, Any]) -> dict[str, Any]:
    policy, own, wanted = given.values()
    weight = _weight(own)
    names = {field.name for field in dataclasses.fields(objective)}
    changes: dict[str, Any] = {}
    if wanted is not None:
        found = objectives.get(wanted, "baseline_objective")
        if not isinstance(found, objectives.ActionValueObjective) or "huber" not in names:
            raise ValueError(
                f"`baseline_objective` of {type(objective).__name__} must be None"
                f"{' or action_value' if 'huber' in names else ''}. Received: {wanted!r}"
            )
        changes["huber"] = None if isinstance(wanted, str) else found.huber
    if weight is not None:
        if "critic_weight" not in names:
            raise ValueError(
                f"`baseline_optimizer` of {type(objective).__name__} must be an optimizer or None. Received: {own!r}"
            )
        changes["critic_weight"] = _times(objective.critic_weight, weight)
    return {
        "objective": dataclasses.replace(objective, **changes),
        "critic": "ActionValue" if policy is None else policy,
        "critic_optimizer": copy.deepcopy(optimizer) if own is None or weight is not None else own,
        "critic_objective": None,
    }


def _synchronized(objective: Any, given: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    if not objective.targets:
        raise ValueError(
            f"`baseline_optimizer` synchronization needs an objective with a target network, and {type(objective).__name__} "
            "has none. Allowed: an optimizer, a weight or None"
        )
    if given["objective"] is not None:
        raise ValueError(
            "A synchronized baseline does not learn by itself: baseline_objective must be None. Received: "
            f"{given['objective']!r}"
        )
    if given["policy"] not in (None, "auto", "default", "equal"):
        raise ValueError(
            "A synchronized baseline is a copy of the policy: baseline_policy must be None (or 'equal'). Received: "
            f"{given['policy']!r}"
        )
    if own["target"] is not None:
        raise ValueError(
            "`baseline_optimizer` synchronization is another way to give `target`. Received: both, "
            f"{given['optimizer']!r} and {own['target']!r}"
        )
    return {"target": optimizers.synchronization(given["optimizer"])}


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


def _described(given: dict[str, Any]) -> str:
    return ", ".join(f"baseline_{name}={value!r}" for name, value in given.items())
