"""Collects what a record says of the recorded episodes that an agent learns from offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kagent.diagnosis.experience import Experience, Extremes, Ranges
from kagent.diagnosis.record import Entries, Record, Recorded
from kagent.spaces import Structure

_MOST = 1000  # returns that are kept
_SAMPLE, _APART = 512, 16  # observations that the agent's actions are judged at, and timesteps from one to the next
Leaves = Sequence[np.ndarray]


class RecordedSteps(NamedTuple):
    """Whole recorded episodes of T timesteps together.

    Attributes:
        observation, inputs: In stored form, as the environment gave them, and as the agent sees them, `(T, *shape)` a leaf.
        taken: Actions as the environment takes them, `(T, *shape)` a leaf.
        action: Actions in stored form.
        raw_reward, reward: `(T,)`, as recorded, and as the agent sees them.
        terminated, truncated: Bool `(T,)`.
        masks: Bool `(T, sum(nvec))` or None for each action leaf; None: there are none.
    """

    observation: Leaves
    inputs: Leaves
    taken: Leaves
    action: Leaves
    raw_reward: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    masks: Sequence[np.ndarray | None] | None


class Survey:
    """What is known of recorded episodes.

    Args:
        experience: Which looks at their observations, rewards and masks.
        action: Structure of the action space.
        discount: Of the agent.
    """

    def __init__(self, experience: Experience, action: Structure, discount: float):
        self._experience, self._action, self._discount = experience, action, discount
        self._actions, self._choices = Extremes(action), Ranges(action)
        self._returns: list[float] = []
        self._values: list[float] = []
        self._timesteps = self._longest = 0
        self._sample: list[tuple[Leaves, Any]] = []

    def add(self, steps: RecordedSteps) -> None:
        """Looks at episodes."""
        self._experience.look(steps.observation, steps.inputs, steps.raw_reward, steps.reward, steps.masks)
        self._actions.add(steps.taken)
        self._choices.add(steps.action)
        begin = 0
        for end in (np.flatnonzero(steps.terminated | steps.truncated) + 1).tolist():
            if len(self._returns) < _MOST:
                self._returns.append(float(steps.raw_reward[begin:end].sum()))
            self._longest = max(self._longest, end - begin)
            values = returns_to_go(steps.reward[begin:end], self._discount, not steps.terminated[end - 1])
            self._values = [min([*self._values[:1], *values]), max([*self._values[1:], *values])]
            begin = end
        self._timesteps += len(steps.reward)
        if sum(len(leaves[0]) for leaves, _ in self._sample) < _SAMPLE:
            rows = slice(0, _SAMPLE * _APART, _APART)
            masks = None if steps.masks is None else [mask if mask is None else mask[rows] for mask in steps.masks]
            self._sample.append(([leaf[rows].copy() for leaf in steps.inputs], masks))

    def recorded(self) -> Recorded:
        """What was seen of them."""
        return Recorded(
            self._timesteps, tuple(self._returns), self._longest, tuple(self._values), self._actions.entries(),
            self._choices.entries(),
        )  # fmt: skip

    def greedy(self, actor: Any) -> tuple[Entries, ...]:
        """Leaves of the greedy actions of an actor at some of the observations; empty where none has bounds."""
        extremes = Extremes(self._action)
        if extremes.looks:
            for leaves, masks in self._sample:
                extremes.add(actor.to_env(actor.decide(leaves, masks, deterministic=True)))
        return extremes.entries()


def about(record: Record) -> str:
    """What was learned from, of a record with recorded episodes, for the head of a report."""
    recorded, late = record.recorded or Recorded(), record.logged("val_episode_return")[-3:]
    text = f"{record.gradient_steps:,} gradient steps; looked at {recorded.timesteps:,} recorded timesteps."
    if recorded.returns:
        text += f" The recorded episodes return {np.mean(recorded.returns):.4g} on average"
        text += f", the last {len(late)} validations {np.mean(late):.4g}." if late else "."
    return text


def returns_to_go(reward: np.ndarray, discount: float, cut: bool) -> list[float]:
    """Discounted sums of the rewards of an episode from each timestep on.

    Args:
        reward: `(T,)`.
        discount: From 0 to 1.
        cut: Whether the episode was cut off: it counts as if it went on by its mean reward, unless the discount is 1.

    Example:

    >>> returns_to_go(np.array([1.0, 2.0]), 0.5, cut=False)  # 1 + 0.5 * 2
    [2.0, 2.0]
    >>> returns_to_go(np.array([1.0, 3.0]), 0.5, cut=True)  # behind it 2 / (1 - 0.5)
    [3.5, 5.0]
    """
    following = float(np.mean(reward)) / (1.0 - discount) if cut and discount < 1.0 else 0.0
    found: list[float] = []
    for value in reversed(reward.tolist()):
        following = value + discount * following
        found.append(following)
    return found[::-1]
