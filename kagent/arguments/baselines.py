"""The baseline: what of Tensorforce's `baseline_policy`, `baseline_optimizer` and `baseline_objective` is which part here.

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

A preset's own critic, its optimizer and objective, and its target are defaults: they give way to these arguments.
`DQN(env, baseline_optimizer={"type": "synchronization", "sync_frequency": 4})` has that target in place of DQN's.

Every other row is refused.
"""

from __future__ import annotations

from typing import Any

from kagent import optimizers
from kagent.config import part_arguments
from kagent.objectives.critic_objective import PARTS, learned_by


def without_defaults(given: dict[str, Any], own: dict[str, Any], agent: Any) -> dict[str, Any]:
    """The critic's parts and the target that the user gave: a preset's own give way to the words that the user wrote.

    Args:
        given: The baseline's `policy`, `optimizer` and `objective`, as given.
        own: `critic`, `critic_optimizer`, `critic_objective` and `target`, as given or by default.
        agent: The agent, whose class may be a preset.

    Returns:
        `own`, with None for what gives way.

    Raises:
        ValueError: An argument of the preset that goes into a part which gave way.
    """
    written = part_arguments.written(agent) if agent is not None else None
    if written is None:
        return own
    words = {part: name for name, part in PARTS.items() if given[name] is not None}
    if optimizers.synchronization(given["optimizer"]) is not None:
        words = {"target": "optimizer"}
    away = {part for part in words if own[part] is not None and part not in written}
    for argument, declaration in part_arguments.declared(type(agent)).items():
        if declaration.part in away and argument in written:
            word = words[declaration.part]
            raise ValueError(
                f"`{argument}` goes into the `{declaration.part}` that `baseline_{word}=` replaces: say it there. "
                f"Received: `{argument}` and baseline_{word}={given[word]!r}"
            )
    return {part: None if part in away else value for part, value in own.items()}


def translate(
    objective: Any, optimizer: Any, estimation: Any, given: dict[str, Any], own: dict[str, Any]
) -> dict[str, Any]:
    """The parts that the baseline stands for.

    Args:
        objective: The agent's objective, an object.
        optimizer: Its optimizer, as given.
        estimation: Its `RewardEstimation`.
        given: The baseline's `policy`, `optimizer` and `objective`, as given.
        own: `critic`, `critic_optimizer`, `critic_objective` and `target`, as given.

    Returns:
        Which of `own` and `objective` are to be replaced, by what.

    Raises:
        ValueError, TypeError: A row that means nothing, or both names of one part.
    """
    if all(value is None for value in given.values()):
        return {}
    if optimizers.synchronization(given["optimizer"]) is not None:
        return _synchronized(objective, given, own)
    for name, part in PARTS.items():
        if given[name] is not None and own[part] is not None:
            raise ValueError(
                f"`baseline_{name}` is another name of `{part}`. Received: both, {given[name]!r} and {own[part]!r}"
            )
    if objective.critic is None and not objective.targets:
        raise ValueError(
            f"A baseline has no place beside `objective` {type(objective).__name__}, which has neither a critic nor a target "
            f"network. Received: {_described(given)}"
        )
    if objective.critic is None:
        raise ValueError(
            f"`objective` {type(objective).__name__} learns with a target network: the baseline must be that, with "
            "baseline_optimizer={'type': 'synchronization'} and no baseline_objective. Received: " + _described(given)
        )
    given = {name: own[part] if given[name] is None else given[name] for name, part in PARTS.items()}
    return learned_by(objective, optimizer, estimation, given)


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


def _described(given: dict[str, Any]) -> str:
    return ", ".join(f"baseline_{name}={value!r}" for name, value in given.items())
