"""Open episodes as data: what is read from a saved state, and what environments can tell of theirs."""

from __future__ import annotations

import inspect
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from ..spaces import Structure


def parse(episode: Any, observation: Structure, action: Structure, action_dtypes: list[np.dtype]) -> dict[str, Any]:
    """One entry of `SingleEnvs.state()["episodes"]`, checked: it may come from a file, so nothing of it is
    trusted.

    Raises:
        ValueError: A part is missing, or has not the shape and dtype of the spaces.
    """

    def refuse(what: str) -> ValueError:
        return ValueError(f"`state` does not fit these environments: {what}. Use what `state()` returned")

    if not isinstance(episode, dict) or not {"seed", "length", "return", "observation"} <= set(episode):
        raise refuse("an episode lacks its seed, length, return or observation")
    length = int(episode["length"])
    parsed = dict(episode, seed=int(episode["seed"]), length=length, observation=_arrays(episode["observation"]))
    parsed["return"] = float(episode["return"])
    options = parsed["options"] = episode.get("options")
    if options is not None and not (isinstance(options, dict) and is_plain(options)):
        raise refuse("its options are no dict of plain values")
    if _signature(parsed["observation"]) != [(leaf.shape, leaf.stored_dtype) for leaf in observation.leaves]:
        raise refuse("an observation has other leaves")
    if "snapshot" not in episode:
        parsed["actions"] = _arrays(episode.get("actions", ()))
        shapes = [(length, *leaf.shape) for leaf in action.leaves]
        if _signature(parsed["actions"]) != list(zip(shapes, action_dtypes)):
            raise refuse("its actions have other leaves")
    return parsed


def snapshot_env(env: Any) -> Any:
    """The innermost environment, if it can tell its state and no wrapper around it has its own; or None."""
    while isinstance(env, gymnasium.Wrapper):
        if type(env) not in (OrderEnforcing, PassiveEnvChecker, TimeLimit):
            return None
        env = env.env
    for name, arguments in (("get_state", ()), ("set_state", (None,))):
        method = getattr(env, name, None)
        if not callable(method):
            return None
        try:
            inspect.signature(method).bind(*arguments)
        except (TypeError, ValueError):  # a method of that name with another meaning
            return None
    return env


def set_state(env: Any, snapshot: Any, length: int) -> bool:
    """Puts an environment that was just reset into a state `length` steps later; whether it can."""
    inner = snapshot_env(env)
    if inner is None:
        return False
    inner.set_state(copy(snapshot))
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, TimeLimit):
            env._elapsed_steps = length  # it offers no public way to continue an episode
        env = env.env
    return True


def is_plain(value: Any) -> bool:
    """Whether `value` is made of numeric arrays, numbers, strings, None, lists and dicts with string keys."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_plain(part) for key, part in value.items())
    if isinstance(value, list | tuple):
        return all(is_plain(part) for part in value)
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind in "biuf"
    return value is None or isinstance(value, bool | int | float | str)


def copy(value: Any) -> Any:
    """A copy of a plain value. Tuples become lists, as in JSON, and NumPy scalars arrays of rank 0."""
    if isinstance(value, dict):
        return {key: copy(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [copy(part) for part in value]
    return np.array(value) if isinstance(value, np.ndarray | np.generic) else value


def _arrays(parts: Any) -> list[np.ndarray]:
    return [np.asarray(part) for part in parts]


def _signature(arrays: list[np.ndarray]) -> list[tuple]:
    return [(array.shape, array.dtype) for array in arrays]
