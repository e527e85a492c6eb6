"""What an update did: losses, and how far the variables moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kagent.objectives.rollouts import RolloutObjective
from kagent.schedules import evaluate


def read(variables: Sequence[Any]) -> list[np.ndarray]:
    """Values of variables, copied, float64."""
    return [np.array(variable.numpy(), np.float64) for variable in variables]


def norm(changes: Sequence[np.ndarray]) -> float:
    """Euclidean norm of all of them together."""
    return float(np.sqrt(sum(float(np.sum(np.square(change))) for change in changes)))


def moments(label: str, names: Sequence[str], values: Sequence[np.ndarray]) -> dict[str, float]:
    """Mean and variance of each array."""
    found = {}
    for name, value in zip(names, values):
        found[f"{label}/{name}-mean"] = float(value.mean())
        found[f"{label}/{name}-variance"] = float(value.var())
    return found


def names_of(variables: Sequence[Any]) -> list[str]:
    """Paths of variables, each once."""
    names: list[str] = []
    for variable in variables:
        same = sum(name.split("#")[0] == variable.path for name in names)
        names.append(variable.path if not same else f"{variable.path}#{same + 1}")
    return names


def regularization(agent: Any, role: str, clock: Any) -> float:
    """Penalties of a role's layers, and `l2_regularization` times the sum of squares of its trained variables, now."""
    part = getattr(agent, role)
    # What a traced call left behind has no value outside of it.
    total = sum(float(penalty.numpy()) for penalty in part.losses if hasattr(penalty, "numpy"))
    l2 = evaluate(agent.l2_regularization, clock)
    if l2 != 0.0:
        total += l2 * norm(read(part.trainable_variables)) ** 2
    return total


def losses(agent: Any, logs: dict[str, float], policy: float, critic: float) -> dict[str, float]:
    """The labels among `LOSSES`.

    Args:
        agent: The agent.
        logs: What the update logged.
        policy, critic: Regularization of these roles before the update.
    """
    policy, critic = logs.get("regularization_loss", policy), logs.get("critic_regularization_loss", critic)
    # What `agent.minimize` returns has the regularization in it; the parts that rollouts log do not.
    included = not isinstance(agent.objective, RolloutObjective)
    found = {"regularization-loss": policy}
    if "loss" in logs:
        found["loss"] = logs["loss"]
    if "policy_loss" in logs:
        found["objective-loss"] = logs["policy_loss"] - policy * included
    elif "loss" in logs:
        found["objective-loss"] = logs["loss"] - policy
    if agent.critic is not None:
        found["baseline-regularization-loss"] = critic
    if "critic_loss" in logs:
        own = logs["critic_loss"] - critic * included
        found |= {"baseline-objective-loss": own, "baseline-loss": own + critic}
    return found
