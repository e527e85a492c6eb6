"""gymnasium's environments as Tensorforce's."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from kagent.compat.tensorforce.programs.environment_base import EnvironmentBase
from kagent.specifications import to_spec


class GymEnvironment(EnvironmentBase):
    """An environment of gymnasium's.

    Args:
        level: An id, with its version or without (then the newest), an environment or a class of these.
        visualize: Whether it is shown.
        min_value, max_value: Bounds, and clipping, of components of states that have none. Both or none of them.
        terminal_reward: Is added to the reward with which an episode terminates.
        drop_states_indices: Components of a state with one axis that are left out.
        reward_threshold, visualize_directory, import_modules: Refused: see the error.
        **kwargs: Of `gymnasium.make`, or of the class.

    Raises:
        ValueError, TypeError: No such environment, or arguments that have no meaning.
    """

    def __init__(
        self,
        level: Any = None,
        visualize: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
        terminal_reward: float = 0.0,
        reward_threshold: float | None = None,
        drop_states_indices: Sequence[int] | None = None,
        visualize_directory: str | None = None,
        import_modules: Any = None,
        **kwargs: Any,
    ):
        refused = {
            "reward_threshold": (reward_threshold, "read the returns in the Runner's callback"),
            "visualize_directory": (visualize_directory, "wrap the environment into gymnasium.wrappers.RecordVideo"),
            "import_modules": (import_modules, "import the module in the program"),
        }
        for name, (value, way) in refused.items():
            if value is not None:
                raise ValueError(f"`{name}` has no meaning here: {way}. Received: {value!r}")
        if (min_value is None) != (max_value is None):
            raise ValueError(
                f"`min_value` and `max_value` are given both or not. Received: {min_value} and {max_value}"
            )
        if visualize:
            kwargs["render_mode"] = "human"
        self.gym = _environment(level, kwargs)
        self._terminal_reward = terminal_reward
        self._bounds = None if min_value is None or max_value is None else (float(min_value), float(max_value))
        self._dropped = sorted(drop_states_indices or ())
        self._actions = to_spec(self.gym.action_space)
        self._states = self._described(self.gym.observation_space)

    def _described(self, space: gymnasium.Space) -> dict[str, Any]:
        spec = to_spec(space)
        if isinstance(space, gymnasium.spaces.Box):
            self._bound(spec, space)
            if self._dropped:
                if len(space.shape) != 1:
                    raise ValueError(
                        f"`drop_states_indices` is for states with one axis. Received: shape {space.shape}"
                    )
                kept = [i for i in range(space.shape[0]) if i not in self._dropped]
                spec["shape"] = [len(kept)]
                for name in ("min_value", "max_value"):
                    if isinstance(spec.get(name), list):
                        spec[name] = [spec[name][i] for i in kept]
        elif self._bounds is not None or self._dropped:
            raise ValueError(f"`min_value`, `max_value` and `drop_states_indices` are for one Box. Received: {space}")
        return spec

    def _bound(self, spec: dict[str, Any], space: gymnasium.spaces.Box) -> None:
        """Puts the bounds of one state, of which very large ones are none, into its specification."""
        for name, given, most in (("min_value", space.low, 0), ("max_value", space.high, 1)):
            bounds = _finite(given)
            if self._bounds is not None:
                bounds = np.where(np.isfinite(bounds), bounds, self._bounds[most])
            bounds = bounds.astype(space.dtype if np.dtype(space.dtype).kind == "f" else np.float64)
            if not np.isfinite(bounds).any():
                spec.pop(name, None)
            elif (bounds == bounds.flat[0]).all():
                spec[name] = float(bounds.flat[0])
            else:
                known: Any = np.where(np.isfinite(bounds), bounds.astype(object), None)
                spec[name] = known.tolist()

    def states(self) -> dict[str, Any]:
        return self._states

    def actions(self) -> dict[str, Any]:
        return self._actions

    def max_episode_timesteps(self) -> int | None:
        spec = self.gym.spec
        return None if spec is None else spec.max_episode_steps

    def close(self) -> None:
        self.gym.close()

    def reset(self) -> Any:
        states, info = self.gym.reset()
        return self._seen(states, info)

    def execute(self, actions: Any) -> tuple[Any, int, float]:
        states, reward, terminated, truncated, info = self.gym.step(actions)
        if terminated:
            reward = float(reward) + self._terminal_reward
        return self._seen(states, info), 1 if terminated else 2 if truncated else 0, float(reward)

    def _seen(self, states: Any, info: Mapping[str, Any]) -> Any:
        if self._bounds is not None:
            low, high = (self._limit(name) for name in ("min_value", "max_value"))
            states = np.clip(np.delete(states, self._dropped) if self._dropped else states, low, high)
        elif self._dropped:
            states = np.delete(states, self._dropped)
        if "action_mask" not in info:
            return states
        masked = dict(states) if isinstance(states, Mapping) else {"state": states}
        return {**masked, "action_mask": info["action_mask"]}

    def _limit(self, name: str) -> np.ndarray:
        return np.asarray(self._states[name], np.float32)

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.gym})"


def _environment(level: Any, kwargs: dict[str, Any]) -> Any:
    if isinstance(level, gymnasium.Env):
        if kwargs:
            raise TypeError(f"An environment that is made already takes no arguments. Received: {sorted(kwargs)}")
        return level
    if isinstance(level, type) and issubclass(level, gymnasium.Env):
        return level(**kwargs)
    if not isinstance(level, str):
        raise TypeError(f"`level` must be an id, a `gymnasium.Env` or a class of these. Received: {level!r}")
    return gymnasium.make(_versioned(level), **kwargs)


def _versioned(level: str) -> str:
    """An id with its version: of one without the newest."""
    if re.search(r"-v\d+$", level):
        return level
    known = [re.fullmatch(rf"{re.escape(level)}-v(\d+)", name) for name in gymnasium.registry]
    versions = [int(found[1]) for found in known if found]
    if not versions:
        raise ValueError(f"`level` is no id of gymnasium's. Received: {level!r}")
    return f"{level}-v{max(versions)}"


def _finite(value: Any, infinite_from: float = 1e6) -> Any:
    """A bound of a gym space: numbers of such a size stand for none."""
    array = np.asarray(value, np.float64)
    return np.where(np.abs(array) >= infinite_from, np.sign(array) * math.inf, array)
