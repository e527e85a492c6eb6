"""The latest timesteps, copied, for summaries of what the policy and the critic make of them."""

from __future__ import annotations

import collections
from typing import Any, NamedTuple

import numpy as np

ROWS = 64  # timesteps over all environments; enough for a mean, little enough to copy and compute

Leaves = list[np.ndarray]
Masks = list[Any] | None


class Rollout(NamedTuple):
    """Consecutive timesteps, `(T, N, ...)`: a list of leaves, or arrays `(T, N)`.

    Attributes:
        next_observation, next_mask: Leaves as rows `(T * N, ...)`.
    """

    observation: Leaves
    mask: Masks
    next_observation: Leaves
    next_mask: Masks
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    valid: np.ndarray


class Recent:
    """The last `ROWS` timesteps (at least one step of every environment).

    Args:
        whole: Whether what came of them is kept too, for `rollout`.
    """

    def __init__(self, whole: bool):
        self._names = ("observation", "action_mask", *(("next_observation", "next_action_mask") if whole else ()))
        self._flags = ("valid", *(("reward", "terminated", "truncated") if whole else ()))
        self._steps: collections.deque[dict[str, Any]] = collections.deque()

    def __len__(self) -> int:
        return len(self._steps)

    def clear(self) -> None:
        self._steps.clear()

    def append(self, logs: dict[str, Any]) -> None:
        """Takes the logs of `on_timestep_end`."""
        step = {name: _copied(logs[name]) for name in self._names}
        step |= {name: logs[name] for name in self._flags}  # copies already
        count = len(logs["valid"])
        if self._steps and (len(self._steps[-1]["valid"]) != count or _masked(self._steps[-1]) != _masked(step)):
            self.clear()
        self._steps.append(step)
        while len(self._steps) > max(1, ROWS // count):
            self._steps.popleft()

    def observations(self) -> tuple[Leaves, Masks]:
        """Observation leaves and masks as rows `(n, ...)`, steps that only reset left out."""
        valid = np.concatenate([step["valid"] for step in self._steps]).astype(bool)
        leaves, masks = self._rows("observation"), self._rows("action_mask")
        assert leaves is not None
        return [x[valid] for x in leaves], None if masks is None else [m if m is None else m[valid] for m in masks]

    def rollout(self) -> Rollout:
        """All of it, in order; observations as rows."""
        rows = [self._rows(name) for name in ("observation", "action_mask", "next_observation", "next_action_mask")]
        flags = [np.stack([step[name] for step in self._steps]) for name in ("reward", *_ENDS, "valid")]
        return Rollout(*rows, *flags)

    def _rows(self, name: str) -> Any:
        parts = [step[name] for step in self._steps]
        if any(part is None for part in parts):
            return None
        return [None if leaf[0] is None else np.concatenate(leaf) for leaf in zip(*parts)]


_ENDS = ("terminated", "truncated")


def _copied(leaves: Any) -> Any:
    return None if leaves is None else [None if leaf is None else leaf.copy() for leaf in leaves]


def _masked(step: dict[str, Any]) -> Any:
    mask = step["action_mask"]
    return None if mask is None else [part is None for part in mask]
