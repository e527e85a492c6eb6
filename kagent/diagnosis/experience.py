"""Collects what a record says of experience, from every n-th timestep."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from kagent.diagnosis.joined import KEPT, LATEST
from kagent.diagnosis.record import Entries, Episodes, Rewards
from kagent.spaces import Leaf, Structure

_WIDEST = 4096  # entries of a leaf that are looked at one by one
_NEAR = 1e-3  # of the range: an action so near to a bound is at it


class Ranges:
    """Smallest and largest values of the entries of a space's leaves.

    Args:
        structure: Of the observation space, in whose stored form arrays come.
    """

    def __init__(self, structure: Structure):
        self.structure, self.samples = structure, 0
        self._whole = [leaf.is_image or leaf.size > _WIDEST for leaf in structure.leaves]
        self._low: list[np.ndarray] = []
        self._high: list[np.ndarray] = []
        self._still: dict[int, np.ndarray] = {}  # by leaf the first sample, as long as all are equal to it

    def add(self, leaves: Sequence[np.ndarray]) -> None:
        """Looks at values, one array `(N, *shape)` per leaf in stored form."""
        if not self.samples:
            self._still = {i: np.array(leaves[i][0]) for i, whole in enumerate(self._whole) if whole}
        self._still = {i: first for i, first in self._still.items() if bool(np.all(leaves[i] == first))}
        low, high = ([self._of(f, arrays) for arrays in zip(leaves, self._whole)] for f in (np.min, np.max))
        if not self.samples:
            self._low, self._high = low, high
        else:
            self._low = [np.minimum(one, other) for one, other in zip(self._low, low)]
            self._high = [np.maximum(one, other) for one, other in zip(self._high, high)]
        self.samples += len(leaves[0])

    @staticmethod
    def _of(function: Any, given: tuple[np.ndarray, bool]) -> np.ndarray:
        array, whole = given
        return np.atleast_1d(function(array) if whole else function(array, axis=0).ravel())

    def entries(self) -> tuple[Entries, ...]:
        """What was seen; empty before the first value."""
        if not self.samples:
            return ()
        stills = [i in self._still for i in range(len(self._whole))]
        parts = zip(self.structure.leaves, self._low, self._high, self._whole, stills)
        return tuple(self._entry(*part) for part in parts)

    def _entry(self, leaf: Leaf, low: np.ndarray, high: np.ndarray, whole: bool, still: bool) -> Entries:
        bounds = bounds_of(leaf)
        if whole:
            bounds = (bounds[0].min(keepdims=True), bounds[1].max(keepdims=True))
        return Entries(
            leaf.name, _numbers(low), _numbers(high), _numbers(bounds[0]), _numbers(bounds[1]), self.samples,
            image=leaf.is_image, discrete=leaf.is_discrete, still=still,
        )  # fmt: skip


class Extremes:
    """How many of the latest actions lie at their bounds.

    Args:
        structure: Of the action space; its boxes with finite bounds are looked at.
    """

    def __init__(self, structure: Structure):
        self._leaves = [(place, leaf) for place, leaf in enumerate(structure.leaves) if _has_range(leaf)]
        self._latest: list[deque[np.ndarray]] = [deque(maxlen=LATEST) for _ in self._leaves]

    @property
    def looks(self) -> bool:
        """Whether there is a box to look at."""
        return bool(self._leaves)

    def add(self, leaves: Sequence[np.ndarray]) -> None:
        """Looks at actions as the environment takes them, one array `(N, *shape)` per leaf."""
        for (place, _), latest in zip(self._leaves, self._latest):
            latest.extend(np.array(leaves[place], np.float64).reshape(len(leaves[place]), -1))

    def entries(self) -> tuple[Entries, ...]:
        """What was seen of the boxes; empty before the first action."""
        found = []
        for (_, leaf), latest in zip(self._leaves, self._latest):
            if latest:
                values, (low, high) = np.stack(latest), bounds_of(leaf)
                near = _NEAR * (high - low)
                found.append(
                    Entries(
                        leaf.name, _numbers(values.min(0)), _numbers(values.max(0)), _numbers(low), _numbers(high), len(values),
                        _numbers((values <= low + near).mean(0)), _numbers((values >= high - near).mean(0)),
                    )
                )  # fmt: skip
        return tuple(found)


class Choices:
    """In how many decisions masks left one value of every component.

    Args:
        structure: Of the action space.
    """

    def __init__(self, structure: Structure):
        self._starts = [
            None if leaf.nvec is None else np.concatenate([[0], np.cumsum(leaf.nvec.ravel())[:-1]])
            for leaf in structure.leaves
        ]
        self.samples = self._single = 0

    def add(self, masks: Sequence[np.ndarray | None] | None) -> None:
        """Looks at masks, one bool array `(N, sum(nvec))` or None per leaf; or None."""
        given: list[Any] = [pair for pair in zip(self._starts, masks or ()) if pair[1] is not None]
        if not given or len(given) < len(self._starts):
            return  # a leaf without a mask is free
        single = np.ones(len(given[0][1]), bool)
        for starts, mask in given:
            single &= (np.add.reduceat(mask, starts, axis=1, dtype=np.int64) == 1).all(axis=1)
        self.samples += len(single)
        self._single += int(single.sum())

    def share(self) -> float | None:
        """Part of the decisions; None: there were no masks."""
        return self._single / self.samples if self.samples else None


class Experience:
    """What a record says of a run's experience.

    Args:
        observation, inputs: Structures of observations, as the environments give them, and as the agent sees them.
        action: Structure of the action space.
    """

    def __init__(self, observation: Structure, inputs: Structure, action: Structure):
        self._same = inputs is observation
        self.observations = Ranges(observation)
        self.inputs = self.observations if self._same else Ranges(inputs)
        self.actions, self.choices = Extremes(action), Choices(action)
        self._rewards: deque[tuple[float, float]] = deque(maxlen=LATEST)
        self._first: list[float] = []
        self._last: deque[float] = deque(maxlen=KEPT)
        self._count = self._truncated = self._longest = 0
        self._ends_known = True
        self._magnitude = 0.0

    def timestep(
        self,
        observation: Sequence[np.ndarray],
        inputs: Sequence[np.ndarray],
        action: Sequence[np.ndarray],
        raw_reward: np.ndarray,
        reward: np.ndarray,
        masks: Any,
        valid: np.ndarray,
    ) -> None:
        """Looks at a step of N environments: arrays with N rows, of which those that are `valid` count."""
        if not valid.all():
            rows = valid.astype(bool)
            observation, inputs, action = ([array[rows] for array in part] for part in (observation, inputs, action))
            raw_reward, reward = raw_reward[rows], reward[rows]
            masks = None if masks is None else [mask if mask is None else mask[rows] for mask in masks]
            if not rows.any():
                return
        self.actions.add(action)
        self.look(observation, inputs, raw_reward, reward, masks)

    def look(
        self,
        observation: Sequence[np.ndarray],
        inputs: Sequence[np.ndarray],
        raw_reward: np.ndarray,
        reward: np.ndarray,
        masks: Any,
    ) -> None:
        """Looks at what there is beside actions, as `timestep` has it."""
        self.observations.add(observation)
        if not self._same:
            self.inputs.add(inputs)
        self.choices.add(masks)
        self._rewards.extend(zip(raw_reward.tolist(), reward.tolist()))

    def episode(self, total: float, length: int, truncated: bool | None) -> None:
        """Takes note of an episode that has ended; `truncated` None: unknown whether by truncation."""
        self._count += 1
        self._longest, self._magnitude = max(self._longest, length), max(self._magnitude, abs(total))
        self._ends_known = self._ends_known and truncated is not None
        self._truncated += bool(truncated)
        if len(self._first) < KEPT:
            self._first.append(total)
        self._last.append(total)

    def episodes(self) -> Episodes:
        """The episodes that have ended. The first and the last ones are at most half of them each."""
        half = self._count // 2
        return Episodes(
            tuple(self._first[:half]),
            tuple(list(self._last)[-half:]) if half else (),
            self._count,
            self._truncated if self._ends_known else None,
            self._longest,
            self._magnitude,
        )

    def rewards(self) -> Rewards:
        """The latest rewards that were looked at."""
        raw, seen = zip(*self._rewards) if self._rewards else ((), ())
        return Rewards(raw, seen)


def bounds_of(leaf: Leaf) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of a leaf's entries in stored form, float64 `(size,)` each."""
    if leaf.low is not None and leaf.high is not None:
        low, high = leaf.low, leaf.high
    else:
        assert leaf.nvec is not None
        low, high = np.zeros(leaf.shape), leaf.nvec - 1
    return np.atleast_1d(low.astype(np.float64).ravel()), np.atleast_1d(high.astype(np.float64).ravel())


def _has_range(leaf: Leaf) -> bool:
    return leaf.is_bounded and leaf.low is not None and leaf.high is not None and bool((leaf.low < leaf.high).all())


def _numbers(array: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in array)
