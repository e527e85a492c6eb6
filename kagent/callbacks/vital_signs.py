"""What the doctor reads of an agent: its settings as numbers, how far its weights move, and by which gradients."""

from __future__ import annotations

import math
import numbers
import re
from typing import Any

import numpy as np

from kagent.distributions.box import BoxDistribution, ScaledDistribution
from kagent.exploration import ActionNoise, OrnsteinUhlenbeckNoise
from kagent.networks import holds_noise
from kagent.objectives import BehaviorCloningObjective
from kagent.optimizers import RoleOptimizer
from kagent.policies import DeterministicPolicy
from kagent.schedules import evaluate

_ROLES = ("policy", "critic")
_SQUARES = re.compile(r"velocity(_\d+)?$")  # means of squared gradients, as Adam and RMSprop call them


def settings_of(agent: Any) -> dict[str, float]:
    """`Record.settings` of an agent, now."""
    clock, rule, objective = agent.clock, agent.update_rule, agent.objective
    found = {
        "learns": float(getattr(objective, "learns", True)),
        "discount": float(evaluate(agent.reward_estimation.discount, clock)),
        "on_policy": float(agent.memory.on_policy),
        "bonus": float(agent.temperature is not None),
        "reads_rewards": float(not isinstance(objective, BehaviorCloningObjective)),
        "noisy": float(holds_noise(agent.policy.model) or evaluate(agent.variable_noise, clock) != 0.0),
        "steps_per_update": agent.gradient_steps / max(agent.counters.batches_drawn, 1),
    }
    if rule.unit == "timesteps":
        found |= {"batch_size": float(rule.batch_size), "start": float(rule.first)}
    huber = getattr(objective, "huber", None)
    if huber is not None and isinstance(now := evaluate(huber, clock), numbers.Real):
        found["huber"] = float(now)
    epsilon = getattr(agent.exploration, "epsilon", None)
    if callable(epsilon):
        found["epsilon"] = float(epsilon(clock))
    if (noise := _noise(agent)) is not None:
        found["noise"] = noise
    for role, optimizer in _optimizers_of(agent).items():
        if limit := getattr(optimizer, "global_clipnorm", None):
            found["max_grad_norm" if role == "policy" else f"{role}_max_grad_norm"] = float(limit)
    return {**found, **_entropies(agent.policy)}


def _noise(agent: Any) -> float | None:
    """The largest amount of noise on the actions of a policy without randomness of its own; None: it is not known, or something else
    explores."""
    exploration, clock = agent.exploration, agent.clock
    if not isinstance(agent.policy, DeterministicPolicy):
        return None
    if isinstance(exploration, OrnsteinUhlenbeckNoise):
        return float(exploration.sigma)
    if not isinstance(exploration, ActionNoise):
        return None
    if clock.timesteps < exploration.random_steps:
        return None
    return max(float(evaluate(exploration.amount_of(leaf), clock)) for leaf in agent.policy.action.leaves)


def _entropies(policy: Any) -> dict[str, float]:
    """Entropy in nats of uniform actions, and how many of their components are continuous; nothing where an action is not
    bounded."""
    joint = getattr(policy, "joint", None)
    if joint is None:
        return {}
    most, boxes = 0.0, 0
    for leaf, part in zip(policy.action.leaves, joint.distributions):
        if leaf.is_discrete:
            most += float(np.log(leaf.nvec).sum())
            continue
        if not leaf.is_bounded:
            return {}
        boxes += leaf.size
        if isinstance(part, ScaledDistribution):
            most += leaf.size * math.log(2.0)  # of canonical actions, from -1 to 1
        elif isinstance(part, BoxDistribution):
            width = leaf.high.astype(np.float64) - leaf.low
            if not (width > 0).all():
                return {}
            most += float(np.log(width).sum())
    return {"most_entropy": most, "box_components": float(boxes)}


def _optimizers_of(agent: Any) -> dict[str, Any]:
    """The optimizers of the networks by role; one that two roles share is the policy's."""
    optimizer = agent.optimizer
    if not isinstance(optimizer, RoleOptimizer):
        return {"policy": optimizer}
    found = {role: optimizer.role_map.of(role) for role in _ROLES if getattr(agent, role) is not None}
    return {role: own for role, own in found.items() if role == "policy" or own is not found.get("policy")}


def _gradient_norm(optimizer: Any) -> float | None:
    """The root mean square of the norms of the latest gradients (with Keras's Adam about a thousand), from the squares that the
    optimizer keeps; None: it keeps none, or has made no step."""
    rate = getattr(optimizer, "beta_2", getattr(optimizer, "rho", None))
    steps = int(optimizer.iterations.numpy())
    kept = [variable for variable in optimizer.variables if _SQUARES.search(variable.name)]
    if rate is None or not steps or not kept:
        return None
    total = sum(float(np.sum(variable.numpy(), dtype=np.float64)) for variable in kept)
    return math.sqrt(total / (1.0 - float(rate) ** steps))


class Movement:
    """How far the weights of an agent's roles move, and by which gradients.

    Args:
        agent: The agent.
    """

    def __init__(self, agent: Any):
        self._agent = agent
        self._steps: dict[str, list[float]] = {}
        self._norms: dict[str, list[float]] = {}
        self._first: dict[str, float] = {}
        self._before: dict[str, list[np.ndarray]] = {}
        self._gradient_steps: int | None = None

    def begin(self) -> None:
        """Begins to measure, the first time that it is called."""
        if self._gradient_steps is None:
            self._remember()
            self._first = {role: _norm(weights) for role, weights in self._before.items()}

    def measure(self) -> None:
        """Takes note of the movement since the last time, if there was a gradient step."""
        if self._gradient_steps is None:
            return
        before, count = self._before, self._agent.gradient_steps - self._gradient_steps
        if count <= 0:
            return
        self._remember()
        for role, weights in self._before.items():
            if role in before and len(before[role]) == len(weights):
                moved = _norm([new - old for new, old in zip(weights, before[role])])
                size = max(_norm(before[role]), 1e-30)
                self._steps.setdefault(role, []).append(moved / size / count)
        for role, optimizer in _optimizers_of(self._agent).items():
            if (norm := _gradient_norm(optimizer)) is not None:
                self._norms.setdefault(role, []).append(norm)

    def steps(self) -> dict[str, list[float]]:
        """By role the relative movement in one gradient step, a mean for each time that it was measured."""
        return {role: list(values) for role, values in self._steps.items()}

    def gradients(self) -> dict[str, list[float]]:
        """By role the norm of the latest gradients as its optimizer took them, for each time that it was measured."""
        return {role: list(values) for role, values in self._norms.items()}

    def growth(self) -> dict[str, float]:
        """By role the size of the weights, relative to that of the beginning."""
        return {
            role: _norm(self._before[role]) / size
            for role, size in self._first.items()
            if size and role in self._before
        }

    def _remember(self) -> None:
        agent = self._agent
        self._gradient_steps = agent.gradient_steps
        self._before = {}
        for role in _ROLES:
            part = getattr(agent, role)
            variables = [] if part is None else part.trainable_variables
            if variables:
                self._before[role] = [np.array(variable.numpy(), np.float64) for variable in variables]


def _norm(arrays: list[np.ndarray]) -> float:
    return math.sqrt(sum(float(np.sum(np.square(array))) for array in arrays))
