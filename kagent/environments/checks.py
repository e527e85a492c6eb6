"""What environments get wrong, found cheaply and said precisely.

The functions here run when the fast test of the hot path was not conclusive: they convert what is unambiguous and
raise for the rest. Their messages do not know where they are; `located` adds the environment and the step.
"""

from __future__ import annotations

import difflib
import math
from typing import Any

import gymnasium
import numpy as np

from .. import spaces
from ..spaces import Leaf

# From here on (and down to its negative) float32, in which rewards are stored, rounds to infinity.
INFINITE = 2.0**128 - 2.0**103
STEP = "`step` must return (observation, reward, terminated, truncated, info)"
RESET = "`reset` must return (observation, info)"


def located(error: Exception, where: str) -> Exception:
    """A TypeError or ValueError, as `error` is, with the place in its message."""
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(f"{error} ({where})")


def observation(leaf: Leaf, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A leaf of an observation in stored form, as an array of `shape` that may be cast to
    `leaf.stored_dtype`.

    Args:
        leaf: The leaf of the observation space.
        value: What the environment returned for it.
        shape: The leaf's shape, with the batch axis for vector environments.

    Raises:
        ValueError: Wrong shape, or a value that the leaf cannot hold.
        TypeError: A dtype that cannot be cast without loss of meaning.
    """
    if leaf.kind == "discrete" and isinstance(value, int | np.integer) and shape == ():
        assert leaf.start is not None and leaf.nvec is not None
        index = int(value) - int(leaf.start)
        if 0 <= index < leaf.nvec:
            return np.asarray(index)
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"Observation{at(leaf)} must be numeric. Received: {type(value).__name__} of dtype "
            f"{array.dtype}; "
            f"observation_space says {leaf.dtype}, shape {leaf.shape}"
        )
    if array.shape != shape:
        raise ValueError(
            f"Observation{at(leaf)} has the wrong shape. Received: {array.shape}; observation_space says {shape}"
        )
    if leaf.stored_dtype.kind == "f":
        return array
    if array.dtype.kind == "f":
        raise TypeError(
            f"Observation{at(leaf)} holds floats where observation_space says {leaf.kind} of dtype "
            f"{leaf.dtype}. "
            f"Received: dtype {array.dtype}. Cast it in the environment, or declare a float Box"
        )
    if leaf.nvec is not None and leaf.start is not None:
        array = array.astype(np.int64) - leaf.start
        if not ((array >= 0) & (array < leaf.nvec)).all():
            last = leaf.start + leaf.nvec - 1
            raise ValueError(
                f"Observation{at(leaf)} is outside the space. Received: {value!r}; allowed: "
                f"{leaf.start.tolist()} to {last.tolist()}"
            )
    elif not np.can_cast(array.dtype, leaf.stored_dtype) and (array.astype(leaf.stored_dtype) != array).any():
        raise ValueError(
            f"Observation{at(leaf)} does not fit into {leaf.dtype}. Received: dtype {array.dtype} with "
            f"values from {array.min()} to {array.max()}"
        )
    return array


def reward(value: Any) -> float:
    """A reward as float. Numbers of any library and arrays of one element are accepted.

    Raises:
        TypeError: Not a number.
        ValueError: More than one number.
    """
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:  # an int of more than 1,024 bits
            return math.inf if value > 0 else -math.inf
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"The reward must be a number. Received: {value!r} ({type(value).__name__})")
    if array.size != 1:
        raise ValueError(f"The reward must be one number. Received: an array of shape {array.shape}")
    return float(array.item())


def not_finite_reward(value: float) -> str:
    """What is wrong with a reward that is not finite as it is stored."""
    stored = " as float32, in which it is stored" if math.isfinite(value) else ""
    return f"The reward is not finite{stored}. Received: {value}"


def reset_options(value: Any) -> dict[str, Any] | None:
    """`reset_options` as plain values of its own: they are saved with the open episodes that began with them.

    Tuples become lists, and NumPy's scalars Python's.

    Raises:
        TypeError: Not a dict.
        ValueError: A part that is not plain, or the key `"reset_mask"`, which is gymnasium's own.
    """
    if value is None:
        return None
    if not isinstance(value, dict):
        raise TypeError(f"`reset_options` must be a dict or None. Received: {value!r}")
    if "reset_mask" in value:
        raise ValueError(
            "`reset_options` must not have the key 'reset_mask': kagent says itself which environments reset"
        )
    return {key: _plain(part, f"[{key!r}]") for key, part in value.items() if _is_key(key, "")}


def _plain(value: Any, place: str) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part, f"{place}[{key!r}]") for key, part in value.items() if _is_key(key, place)}
    if isinstance(value, list | tuple):
        return [_plain(part, f"{place}[{index}]") for index, part in enumerate(value)]
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":
        return value.copy() if isinstance(value, np.ndarray) else value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"`reset_options{place}` must be a number, a string, a bool, None, a numeric array, or lists and dicts of them: it "
        f"is saved with open episodes. Received: {value!r} ({type(value).__name__})"
    )


def _is_key(key: Any, place: str) -> bool:
    if not isinstance(key, str):
        raise ValueError(f"`reset_options{place}` must have strings as keys. Received: {key!r}")
    return True


def flag(value: Any, name: str) -> bool:
    """`terminated` or `truncated` as bool. NumPy booleans, 0/1 numbers and arrays of one element are
    accepted.

    Raises:
        TypeError: Anything else.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    array = np.asarray(value) if not isinstance(value, dict | list | tuple) else np.asarray(None)
    if array.size != 1 or array.dtype.kind not in "biuf" or array.item() not in (0, 1):
        raise TypeError(f"`{name}` must be a bool. Received: {value!r} ({type(value).__name__}). {STEP}")
    return bool(array.item())


def step_result(result: Any) -> Exception:
    """The error for a `step` that does not return five values."""
    if isinstance(result, tuple | list) and len(result) == 4:
        return ValueError(
            f"{STEP}. Received: 4 values, the old gym API (observation, reward, done, info). Return "
            "`terminated` (the task ended) and `truncated` (a time limit was hit) instead of `done`"
        )
    count = f"{len(result)} values" if isinstance(result, tuple | list) else type(result).__name__
    return ValueError(f"{STEP}. Received: {count}")


def reset_result(result: Any) -> tuple[Any, dict[str, Any]]:
    """Takes apart what `reset` returned.

    Raises:
        ValueError: Not the two values of gymnasium's API.
    """
    if isinstance(result, tuple | list) and len(result) == 2 and isinstance(result[1], dict):
        return result[0], result[1]
    if isinstance(result, tuple | list) and len(result) == 2 and result[1] is None:
        return result[0], {}
    received = f"{type(result).__name__} of {len(result)}" if hasattr(result, "__len__") else type(result).__name__
    raise ValueError(
        f"{RESET}. Received: {received}. An environment of the old gym API returns the observation alone: "
        "return `observation, {}`, and accept `seed` and `options`"
    )


def not_finite(leaves: tuple[Leaf, ...], arrays: list[np.ndarray]) -> tuple[int, str]:
    """Row and description of the first non-finite entry of observation leaves `(N, *leaf.shape)`."""
    for leaf, array in zip(leaves, arrays):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row, *index = np.argwhere(~np.isfinite(array))[0].tolist()
            place = f" at index {tuple(index)}" if index else ""
            value = array[(row, *index)]
            return (
                row,
                f"Observation{at(leaf)} is not finite. Received: {value}{place} (float32 is what is stored)",
            )
    raise AssertionError("every entry is finite")


def check_spaces(
    expected_observation: gymnasium.Space,
    expected_action: gymnasium.Space,
    environments: Any,
    name: str = "env",
) -> None:
    """Refuses environments whose spaces are not the agent's.

    Args:
        expected_observation, expected_action: The agent's spaces.
        environments: Anything with `observation_space` and `action_space` of a single environment.
        name: The argument's name, for the message.

    Raises:
        ValueError: They differ; the message shows the leaves side by side.

    Example:

    >>> from gymnasium.spaces import Box, Discrete
    >>> import types
    >>> env = types.SimpleNamespace(observation_space=Box(0, 1), action_space=Discrete(2))
    >>> check_spaces(Box(0, 1), Discrete(2), env)
    """
    tables = []
    for role, expected in (("observation_space", expected_observation), ("action_space", expected_action)):
        rows = spaces.difference(expected, getattr(environments, role))
        if rows:
            tables.append(f"{role}:\n{rows}")
    if tables:
        raise ValueError(f"The spaces of `{name}` are not the agent's. Received:\n" + "\n".join(tables))


def unknown_id(env_id: str, error: Exception) -> ValueError:
    """The error for an id that gymnasium does not know, with those it knows that look alike."""
    known = {name.lower(): name for name in gymnasium.registry}
    close = [known[name] for name in difflib.get_close_matches(env_id.lower(), known, n=3)]
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    return ValueError(
        f"Unknown environment id. Received: {env_id!r}.{hint} An id is known once the package that registers "
        f"it is imported, or written as 'package:Name-v0'. gymnasium says: {error}"
    )


def missing_extra(env_id: str, error: Exception) -> Exception:
    """The error for an id whose simulator is not installed, with kagent's extra that has it; of others gymnasium's own."""
    extras = {"box2d": "box2d", "mujoco": "mujoco", "opencv": "atari", "cv2": "atari"}
    extra = next((extra for name, extra in extras.items() if name in str(error).lower()), None)
    if extra is None:
        return error
    made: Exception = gymnasium.error.DependencyNotInstalled(
        f"{env_id!r} needs a simulator that is not installed: pip install 'kagent[{extra}]'. gymnasium says: {error}"
    )
    return made


def at(leaf: Leaf) -> str:
    """A leaf's name, for messages; empty where the space is not nested."""
    return f" leaf {leaf.name!r}" if leaf.path else ""


def described(env: Any) -> str:
    """An environment as it shows itself, for messages. gymnasium's way needs an `id` of its spec, which those of other
    libraries need not have; it is then the name of the class."""
    try:
        return str(env)
    except Exception:
        return f"<{type(env).__name__}>"


def time_limit(spec: Any) -> int | None:
    """`max_episode_steps` of a spec. Those of other libraries (EnvPool) need not have it."""
    limit = getattr(spec, "max_episode_steps", None)
    return int(limit) if isinstance(limit, int | np.integer) and limit > 0 else None


def check_limit(spec: Any, max_episode_timesteps: int) -> None:
    """Refuses a limit beyond the environment's own.

    Raises:
        ValueError: An environment of this spec (or None) ends its episodes earlier.
    """
    own = time_limit(spec)
    if own is not None and own < max_episode_timesteps:
        name = getattr(spec, "id", "the environment")
        raise ValueError(
            f"`max_episode_timesteps` must be at most {own}, at which {name} truncates by itself. "
            f"Received: {max_episode_timesteps}"
        )
