"""The baseline: what of the seed's `baseline_policy`, `baseline_optimizer` and `baseline_objective` is which part here.

A baseline is the agent's critic, or, with the optimizer `"synchronization"`, its target network. P, Z and O stand for
the three arguments, `-` for None:

| P   | Z               | O   | what learns                                                                                  |
| --- | --------------- | --- | -------------------------------------------------------------------------------------------- |
| -   | -               | -   | The policy alone.                                                                            |
| -   | -               | yes | A value head on the policy's own network; one optimizer, the losses are added.               |
| -   | float w         | yes | The same, with w times the baseline's loss.                                                  |
| -   | optimizer       | yes | The same network and head, by a second optimizer, before the policy.                         |
| yes | -               | -   | The baseline through the advantage in the policy's loss; needs `estimate_advantage`.         |
| yes | -               | yes | A network of its own; one optimizer, the losses are added.                                   |
| yes | float w         | yes | The same, with w times the baseline's loss.                                                  |
| yes | optimizer       | yes | A network and an optimizer of its own, before the policy.                                    |
| any | synchronization | -   | Nothing: the baseline is the policy's target network. For objectives that learn with one.    |

Every other row is refused. The deterministic policy gradient needs its critic: it is made where P is not given, its
objective is the value of actions, and a float or no optimizer stands for one like the policy's.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import numbers
from typing import Any

from kagent import objectives, optimizers
from kagent.objectives.rollouts import RolloutObjective

_PARTS = {"policy": "critic", "optimizer": "critic_optimizer", "objective": "critic_objective"}


def translate(objective: Any, optimizer: Any, given: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The parts that the baseline stands for.

    Args:
        objective: The agent's objective, an object.
        optimizer: Its optimizer, as given.
        given: The baseline's `policy`, `optimizer` and `objective`, as given.
        own: `critic`, `critic_optimizer`, `critic_objective` and `target`, as given.

    Returns:
        `own` and `objective`, with what was translated.

    Raises:
        ValueError, TypeError: A row that means nothing, or both names of one part.
    """
    if all(value is None for value in given.values()):
        return {**own, "objective": objective}
    for name, part in _PARTS.items():
        if given[name] is not None and own[part] is not None:
            raise ValueError(
                f"`baseline_{name}` is another name of `{part}`. Received: both, {given[name]!r} and {own[part]!r}"
            )
    if optimizers.synchronization(given["optimizer"]) is not None:
        return {**own, "objective": objective, **_synchronized(objective, given, own)}
    if objective.critic is None:
        raise ValueError(
            f"`objective` {type(objective).__name__} learns with a target network: the baseline must be that, with "
            "baseline_optimizer={'type': 'synchronization'} and no baseline_objective. Received: " + _described(given)
        )
    if isinstance(objective, RolloutObjective | objectives.PlusObjective):
        return {**own, "objective": objective, **_critic(given)}
    return {**own, **_action_critic(objective, optimizer, given)}


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


def objective_of(identifier: Any) -> Any:
    """A critic's objective from None, "advantage", a name, a dict or an object.

    Raises:
        ValueError, TypeError: Something else, or an objective that is not of a critic.
    """
    if identifier is None or (isinstance(identifier, str) and identifier == objectives.THROUGH_ADVANTAGE):
        return identifier
    found = objectives.get(identifier, "critic_objective")
    if not isinstance(found, objectives.StateValueObjective):
        raise ValueError(
            "`critic_objective` (`baseline_objective`) must be 'state_value', a dict of it, 'advantage' or None. "
            f"Received: {identifier!r}"
        )
    return found


def serialize(objective: Any) -> Any:
    """The inverse of `objective_of`, JSON-ready."""
    return objective if objective is None or isinstance(objective, str) else objectives.OBJECTIVES.serialize(objective)


def _critic(given: dict[str, Any]) -> dict[str, Any]:
    policy, optimizer, objective = given.values()
    objective = objective_of(objective)
    weight = _weight(optimizer)
    if objective is None:
        if optimizer is not None:
            raise ValueError(
                "`baseline_optimizer` needs a baseline_objective, such as 'state_value'. Received: " + _described(given)
            )
        return {"critic": policy, "critic_objective": objectives.THROUGH_ADVANTAGE}
    if weight is not None:
        objective = dataclasses.replace(objective, weight=_times(objective.weight, weight))
    return {
        "critic": "SharedStateValue" if policy is None else policy,
        "critic_objective": objective,
        "critic_optimizer": optimizer if weight is None else None,
    }


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
