"""The one episode of `act` and `observe`, on its way through preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kagent.preprocessing.layer import Past
from kagent.preprocessing.pipeline import matching
from kagent.preprocessing.preprocessing import Preprocessing

_FRESH = np.ones(1, bool)
_GOING_ON = np.zeros(1, bool)


class Interacting:
    """What is remembered of an episode that comes one observation at a time.

    `act` and `observe` both receive an observation; it counts once. Another observation in its place, before time has
    passed by `observe`, takes its place.

    Args:
        preprocessing: What is done.
    """

    def __init__(self, preprocessing: Preprocessing):
        self.preprocessing = preprocessing
        self.restart()

    def restart(self) -> None:
        """What comes next is an episode's first."""
        self._before = self.preprocessing.begin(1)
        self._begins = self._reward_begins = True
        self._raw: list[np.ndarray] | None = None
        self._processed: list[np.ndarray] = []
        self._past: list[list[Past]] = self._before

    def observation(self, leaves: Sequence[np.ndarray], learn: bool) -> list[np.ndarray]:
        """The observation now, `(1, *leaf.shape)` of each leaf in stored form, processed.

        Args:
            leaves: As the environment gave it, in stored form.
            learn: Whether it is part of training; else nothing changes.
        """
        if self._raw is not None and all(map(np.array_equal, self._raw, leaves)):
            return self._processed
        fresh = _FRESH if self._begins else _GOING_ON
        processed, past = self._process(leaves, fresh, learn)
        if learn:
            self._raw, self._processed, self._past = [x.copy() for x in leaves], processed, past
        return processed

    def advance(
        self, reward: float, leaves: Sequence[np.ndarray] | None, ended: bool
    ) -> tuple[float, list[np.ndarray] | None]:
        """A timestep passes: the processed reward, and the processed observation that the action led to.

        `leaves` None: an end whose observation is not known; nothing is learned of it, and None comes in its place.
        """
        before = [*self._past[:-1], self._before[-1]]
        begins = _FRESH if self._reward_begins else _GOING_ON
        self._before, self._begins, self._reward_begins, self._raw = before, False, False, None
        successor = None if leaves is None else self.observation(leaves, True)
        given = np.asarray([reward])
        reward = float(self.preprocessing.reward(given, before, slice(None), begins, True, successor)[0])
        if ended:
            self.restart()
        return reward, successor

    def _process(
        self, leaves: Sequence[np.ndarray], fresh: np.ndarray, learn: bool
    ) -> tuple[list[np.ndarray], list[list[Past]]]:
        past = [[{name: x.copy() for name, x in part.items()} for part in parts] for parts in self._before]
        found = self.preprocessing.observation(leaves, past, slice(None), fresh, learn)
        return self.preprocessing.stored(found), past

    # State -----------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Nested JSON values and NumPy arrays, for `restore`."""
        return {
            "before": self._before,
            "past": self._past,
            "raw": self._raw,
            "processed": self._processed,
            "begins": self._begins,
            "reward_begins": self._reward_begins,
        }

    def restore(self, state: Any) -> None:
        """Takes what `state` gave, perhaps by way of a file.

        Raises:
            ValueError: It is of other preprocessing, or damaged.
        """
        what = "The open episode of `act` and `observe`"
        flags = ("begins", "reward_begins")
        if not isinstance(state, dict) or not {"before", "past", "raw", "processed", *flags} <= state.keys():
            raise ValueError(f"{what} is damaged: it lacks a part")
        if not all(isinstance(state[name], bool) for name in flags):
            raise ValueError(f"{what} is damaged: its flags must be true or false")
        begun = self.preprocessing.begin(1)
        before, past = (matching(state[name], begun, f"{what}: {name}") for name in ("before", "past"))
        raw, processed = state["raw"], state["processed"]
        if raw is not None:
            raw = matching(raw, self.preprocessing.zeros(raw=True), f"{what}: raw")
        if raw is not None or processed != []:  # it stays behind when time passes
            processed = matching(processed, self.preprocessing.zeros(), f"{what}: processed")
        self._before, self._past, self._raw, self._processed = before, past, raw, processed
        self._begins, self._reward_begins = state["begins"], state["reward_begins"]
