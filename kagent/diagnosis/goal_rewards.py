"""Whether an environment with goals pays what its `compute_reward` says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from kagent.diagnosis.finding import Finding
from kagent.environments.goals import ACHIEVED, DESIRED, REWARD
from kagent.spaces import Structure

_MISMATCHES = 0.1  # part of the steps that may differ, by rounding at a threshold


class GoalRewards:
    """Compares the rewards of steps with `compute_reward`, as hindsight replay will compute them: with an empty info.

    Args:
        env: The environment, under whatever wrappers.
        observation: Structure of its observation space.
    """

    def __init__(self, env: Any, observation: Structure):
        paths = {leaf.path for leaf in observation.leaves}
        self.applies = {(ACHIEVED,), (DESIRED,)} <= paths
        self._function = getattr(env.unwrapped, REWARD, None)
        self._steps = self._different = 0
        self._case = self._error = ""

    def see(self, observation: Any, reward: float, number: int) -> None:
        """Looks at what step `number` gave."""
        if not self.applies or not callable(self._function) or self._error:
            return
        try:
            found = float(np.asarray(self._function(observation[ACHIEVED], observation[DESIRED], {})))
        except Exception as error:  # whatever it raises
            self._error = f"{type(error).__name__}: {error}"
            return
        self._steps += 1
        if not math.isclose(found, reward, rel_tol=1e-5, abs_tol=1e-6):
            self._different += 1
            self._case = self._case or f"step {number} paid {reward:.6g}, it says {found:.6g}"

    def findings(self) -> Iterator[Finding]:
        """What was found."""
        advice = (
            "Hindsight replay needs rewards that achieved and desired goal alone decide.",
            "Other memories do not use it.",
        )
        if self.applies and not callable(self._function):
            yield Finding(
                "goal_reward", "advice", f"Observations have goals, and there is no `{REWARD}`.",
                (f"{REWARD}(self, achieved_goal, desired_goal, info) lets `memory='hindsight'` learn from other goals.",),
            )  # fmt: skip
        elif self._error:
            yield Finding("goal_reward", "warning", f"`{REWARD}` with an empty info raised {self._error}", advice)
        elif self._steps and self._different > _MISMATCHES * self._steps:
            yield Finding(
                "goal_reward",
                "warning",
                f"`{REWARD}` is not the reward of {self._different} of {self._steps} steps: {self._case}.",
                advice,
                {"different": float(self._different), "steps": float(self._steps)},
            )
