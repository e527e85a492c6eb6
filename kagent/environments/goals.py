"""Rewards of goal environments, computed anew for other goals.

A goal environment (gymnasium-robotics' `GoalEnv`) observes a `Dict` with `achieved_goal` and `desired_goal` and has a method
`compute_reward(achieved_goal, desired_goal, info)`, which gives the reward that any goal would have had; also, perhaps, a
`compute_terminated` of the same arguments.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ..spaces import Structure
from .checks import INFINITE

REWARD, TERMINATED = "compute_reward", "compute_terminated"
ACHIEVED, DESIRED = "achieved_goal", "desired_goal"


class GoalFunction:
    """A function of goals that takes many of them at once, where the environment's own does.

    The first call with two rows or more decides whether it does: all rows together must then give one value each, and the
    values that each row gives alone, for the goals of the call and for goals that are reached. One row is always given alone, so
    that values do not depend on what was asked for before.

    Args:
        function: `function(achieved_goal, desired_goal, info)`, as the environment has it. `info` is `{}`.
        name: For messages.

    Attributes:
        vectorized: Whether many rows are given in one call; None: no call has decided it.

    Example:

    >>> far = GoalFunction(lambda achieved, desired, info: np.abs(achieved - desired).sum(-1), "compute_reward")
    >>> far(np.asarray([[0.0], [2.0]]), np.asarray([[1.0], [2.0]])).tolist(), far.vectorized
    ([1.0, 0.0], True)
    """

    def __init__(self, function: Callable[..., Any], name: str):
        if not callable(function):
            raise TypeError(
                f"`{name}` must be a function of (achieved_goal, desired_goal, info). Received: {function!r}"
            )
        self.function, self.name = function, name
        self.vectorized: bool | None = None

    def __call__(self, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
        """Values for goals `(n, *shape)`, in the form that the environment has them: float64 `(n,)`.

        Raises:
            ValueError: The function gives no number for a row, or one that is not finite as float32, as rewards are stored.
        """
        if self.vectorized and len(achieved) > 1:
            return self._checked(self.function(achieved, desired, {}), len(achieved))
        each = self._each(achieved, desired)
        if self.vectorized is None and len(achieved) > 1:
            self.vectorized = self._agrees(achieved, desired, each)
        return each

    def _each(self, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
        values = []
        for one, other in zip(achieved, desired):
            try:
                values.append(np.asarray(self.function(one, other, {})))
            except Exception as error:
                error.add_note(
                    f"kagent: raised by `{self.name}` for a goal that was achieved; its `info` is an empty dict, since a memory "
                    "keeps none"
                )
                raise
            if values[-1].size != 1:
                raise ValueError(f"`{self.name}` must give one number for a goal. Received: shape {values[-1].shape}")
        return self._checked(np.asarray([value.reshape(()) for value in values]), len(achieved))

    def _agrees(self, achieved: np.ndarray, desired: np.ndarray, each: np.ndarray) -> bool:
        # Each row also with the goal that it achieved. Where no row of a call reached its goal, all values are often equal, and a
        # function that mixes rows up gives them, too.
        both, goals = np.concatenate([achieved, achieved]), np.concatenate([desired, achieved])
        try:
            found = np.asarray(self.function(both, goals, {}), np.float64)
            each = np.concatenate([each, self._each(achieved, achieved)])
        except Exception:  # it was written for one goal
            return False
        return found.shape == each.shape and bool(np.allclose(found, each, rtol=1e-5, atol=1e-6))

    def _checked(self, values: Any, count: int) -> np.ndarray:
        refusal = f"`{self.name}` must give a number that is finite as float32 for each of {count} goals"
        try:
            found = np.asarray(values, np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{refusal}. Received: {reprlib.repr(values)}") from error
        if found.shape != (count,) or not (np.abs(found) < INFINITE).all():  # NaN neither
            raise ValueError(f"{refusal}. Received: {reprlib.repr(values)}")
        return found


def method_of(environments: Any, name: str) -> Callable[..., Any] | None:
    """A method of the environments below all wrappers, of the first one where there are several; None: there is none.

    The environments in the workers of an `AsyncVectorEnv` are out of reach.

    Args:
        environments: `Environments`, as `kagent.environments.make` gives them.
        name: Of the method.
    """
    for source in environments.sources[:1]:
        base = source.unwrapped
        inner = getattr(base, "envs", None)
        if isinstance(inner, list | tuple) and inner:  # of a SyncVectorEnv
            base = inner[0].unwrapped
        found = getattr(base, name, None)
        return found if callable(found) else None
    return None


def goal_leaves(observation: Structure) -> tuple[int, int]:
    """Indices of the leaves `achieved_goal` and `desired_goal`.

    Raises:
        ValueError: One is missing, or they are of different shapes or kinds.
    """
    places = {leaf.path: i for i, leaf in enumerate(observation.leaves)}
    found = [places.get((name,)) for name in (ACHIEVED, DESIRED)]
    if found[0] is None or found[1] is None:
        raise ValueError(
            f"`memory` Hindsight needs observations that are a Dict with {ACHIEVED!r} and {DESIRED!r}, each a Box, Discrete, "
            f"MultiDiscrete or MultiBinary. Received: {observation.space}"
        )
    achieved, desired = (observation.leaves[i] for i in found if i is not None)
    if achieved.shape != desired.shape or achieved.is_discrete != desired.is_discrete:
        raise ValueError(
            f"{ACHIEVED!r} and {DESIRED!r} must have the same shape and both be boxes, or both discrete: `memory` Hindsight puts "
            f"one in the place of the other. Received: {observation.space}"
        )
    return found[0], found[1]
