"""Open episodes as data: read from a saved state, and taken from environments."""

from __future__ import annotations

import inspect
import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from ..spaces import Leaf, Structure

_SEEDS = 2**63


def check(state: Any, observation: Structure, action: Structure) -> dict[str, Any] | None:
    """The open episodes of a collector, as `Collector.state()` gives them, checked: they may come from a file.

    Args:
        state: None where there are none, or a dict with `environments`, `returns` and `lengths`; of environments in a program
            with `program`, the arrays of their states, in place of `environments`, and perhaps with those of recurrent networks,
            `actor`, and of preprocessing, `seen` and `sums`.
        observation, action: Spaces of one environment.

    Returns:
        `state` with its episodes parsed.

    Raises:
        ValueError: A part is missing, or impossible in these spaces.
    """
    if state is None:
        return None
    if isinstance(state, dict) and "program" in state:
        return _program(state)
    if not isinstance(state, dict) or not {"environments", "returns", "lengths"} <= set(state):
        raise _refusal("it lacks the environments, or their returns or lengths")
    environments = state["environments"]
    episodes = environments.get("episodes") if isinstance(environments, dict) else None
    if not isinstance(episodes, list):
        raise _refusal("its environments have no list of episodes")
    parsed = [parse(episode, observation, action) for episode in episodes]
    lengths, returns = np.asarray(state["lengths"]), np.asarray(state["returns"])
    count = len(parsed) or len(np.atleast_1d(lengths))  # after an error in an environment no episode is known
    for name, array, kinds in (("lengths", lengths, "i"), ("returns", returns, "f")):
        if array.dtype.kind not in kinds or array.shape != (count,) or not np.isfinite(array).all():
            raise _refusal(f"its {name} must be {count} finite numbers, not {array.dtype} {array.shape}")
    if count < 1 or lengths.min() < 0 or any(lengths[i] != episode["length"] for i, episode in enumerate(parsed)):
        raise _refusal("its lengths are not those of its episodes")
    return {**state, "environments": {**environments, "episodes": parsed}, "lengths": lengths, "returns": returns}


def _program(state: dict[str, Any]) -> dict[str, Any]:
    # Whether the arrays are such states, their environments say.
    arrays, lengths, returns = state["program"], np.asarray(state.get("lengths")), np.asarray(state.get("returns"))
    count = lengths.shape[0] if lengths.ndim == 1 and lengths.dtype.kind == "i" else 0
    if not count or lengths.min() < 0:
        raise _refusal("its lengths must be integers >= 0")
    if returns.shape != (count,) or returns.dtype.kind != "f" or not np.isfinite(returns).all():
        raise _refusal(f"its returns must be {count} finite numbers")
    found: dict[str, Any] = {"program": arrays}
    found.update((name, state[name]) for name in ("actor", "seen", "sums") if name in state)
    for parts in found.values():
        known = isinstance(parts, list) and all(isinstance(array, np.ndarray) for array in parts)
        if not known or any(array.shape[:1] != (count,) or array.dtype.kind not in "fiub" for array in parts):
            raise _refusal(f"its states must be arrays of {count} rows")
    return {**found, "lengths": lengths, "returns": returns}


def parse(episode: Any, observation: Structure, action: Structure) -> dict[str, Any]:
    """One entry of `SingleEnvs.state()["episodes"]`, checked: it may come from a file, so nothing of it is
    trusted.

    Raises:
        ValueError: A part is missing, has not the shape and dtype of the spaces, or is impossible.
    """
    if not isinstance(episode, dict) or not {"seed", "length", "return", "observation"} <= set(episode):
        raise _refusal("an episode lacks its seed, length, return or observation")
    for name, most in (("seed", _SEEDS), ("length", 2**62)):
        if isinstance(episode[name], bool) or not isinstance(episode[name], int) or not 0 <= episode[name] < most:
            raise _refusal(f"an episode's {name} must be an integer from 0 to {most - 1}, not {episode[name]!r}")
    if not isinstance(episode["return"], int | float) or not math.isfinite(episode["return"]):
        raise _refusal(f"an episode's return must be a finite number, not {episode['return']!r}")
    length = episode["length"]
    parsed = dict(episode, observation=_leaves(episode["observation"], observation))
    parsed["return"] = float(episode["return"])
    options = episode.get("options")
    if options is not None and not (isinstance(options, dict) and is_plain(options)):
        raise _refusal("its options are no dict of plain values")
    if _signature(parsed["observation"]) != [(leaf.shape, leaf.stored_dtype) for leaf in observation.leaves]:
        raise _refusal("an observation has other leaves")
    if not all(_is_possible(array, leaf, 0) for leaf, array in zip(observation.leaves, parsed["observation"])):
        raise _refusal("an observation is not finite, or outside its space")
    if "snapshot" in episode:
        parsed["mask"] = _mask(episode.get("mask"), action)
    elif "actions" in episode:
        parsed["actions"] = _arrays(episode["actions"])
        shapes = [(length, *leaf.shape) for leaf in action.leaves]
        if _signature(parsed["actions"]) != list(zip(shapes, record_dtypes(action))):
            raise _refusal("its actions have other leaves")
        if not all(_is_possible(array, leaf, leaf.start) for leaf, array in zip(action.leaves, parsed["actions"])):
            raise _refusal("an action is not finite, or outside its space")
    elif episode.get("unrecorded") is not True:
        raise _refusal("an episode lacks its actions")
    return parsed


def record_dtypes(action: Structure) -> list[np.dtype]:
    """In which dtypes the actions of an open episode are kept, of each leaf."""
    if not action.is_nested and action.leaves[0].kind == "discrete":
        return [np.dtype(np.int64)]
    return [leaf.dtype for leaf in action.leaves]


def _refusal(what: str) -> ValueError:
    return ValueError(
        f"The state of open episodes does not fit these environments: {what}. Use what `state()` returned"
    )


def _is_possible(array: np.ndarray, leaf: Leaf, start: Any) -> bool:
    if leaf.nvec is None:
        return array.dtype.kind != "f" or bool(np.isfinite(array).all())
    index = array.astype(np.int64) - start
    return bool((index >= 0).all() and (index < leaf.nvec).all())


def _mask(mask: Any, action: Structure) -> list[np.ndarray | None] | None:
    if mask is None:
        return None
    if not isinstance(mask, list) or len(mask) != len(action.leaves):
        raise _refusal("a mask has other leaves")
    parts = [None if part is None else np.asarray(part) for part in mask]
    if any(
        p is not None and (p.dtype != np.bool_ or p.size != leaf.num_values) for p, leaf in zip(parts, action.leaves)
    ):
        raise _refusal("a mask has other leaves")
    return parts


def snapshot_env(env: Any) -> Any:
    """The innermost environment, if it can give its state and no wrapper around it has its own; or None."""
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


def _leaves(parts: Any, structure: Structure) -> list[np.ndarray]:
    arrays = _arrays(parts)
    if len(arrays) != len(structure.leaves):
        return arrays
    # Files of format 1 hold plain numbers for leaves of rank 0.
    plain = [isinstance(part, int | float) and not leaf.shape for part, leaf in zip(parts, structure.leaves)]
    return [a.astype(leaf.stored_dtype) if p else a for a, p, leaf in zip(arrays, plain, structure.leaves)]


def _arrays(parts: Any) -> list[np.ndarray]:
    return [np.asarray(part) for part in parts]


def _signature(arrays: list[np.ndarray]) -> list[tuple[Any, ...]]:
    return [(array.shape, array.dtype) for array in arrays]
