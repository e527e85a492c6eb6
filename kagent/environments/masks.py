"""Action masks as environments give them, read into flat boolean arrays.

A mask comes from `info["action_mask"]`, or from the key `"action_mask"` of a `Dict` observation, nested like
the action space. Inside kagent each discrete action leaf has one boolean array of width `sum(nvec)`, True
where allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from ..spaces import Leaf, Path, Structure

KEY = "action_mask"

Mask = list[np.ndarray | None]
"""Per action leaf a boolean array `(sum(nvec),)`, `(N, sum(nvec))` for a batch, or None without a mask."""


class Masks:
    """Reads the masks of one environment's step, or of a batch of them.

    Args:
        observation: The observation space's structure; its key `"action_mask"`, if it has one, gives the
            masks.
        action: The action space's structure.

    Accepted per discrete leaf, as booleans or 0/1 numbers:

    * `Discrete(n)`: `(n,)`.
    * `MultiDiscrete(nvec)`: a tuple with one array per component, nested as `nvec` is, or flat
      `(sum(nvec),)`.
    * `MultiBinary(k)`: gymnasium's form, `(k,)` with 0 (only 0 allowed), 1 (only 1 allowed) or 2 (free), or
      flat `(2 * k,)`.

    None, or a missing key, leaves a leaf unmasked.

    Raises:
        ValueError: The observation space's `"action_mask"` does not fit the action space.

    Example:

    >>> space = gymnasium.spaces.Discrete(3)
    >>> masks = Masks(Structure(gymnasium.spaces.Box(0, 1)), Structure(space))
    >>> masks.read([1, 0, 1])[0].tolist()
    [True, False, True]
    """

    def __init__(self, observation: Structure, action: Structure):
        self.action = action
        self.applicable = any(leaf.is_discrete for leaf in action.leaves)
        space = observation.space
        self.in_observation = self.applicable and isinstance(space, gymnasium.spaces.Dict) and KEY in space.spaces
        self._starts: list[Any] = [
            None if leaf.nvec is None else np.concatenate([[0], np.cumsum(leaf.nvec.ravel())[:-1]])
            for leaf in action.leaves
        ]
        if self.in_observation:
            part = Structure(space[KEY], "observation_space")
            try:
                self.read(part.unflatten([np.ones(leaf.shape, np.int8) for leaf in part.leaves]))
            except ValueError as error:
                raise ValueError(
                    f"`observation_space[{KEY!r}]` does not fit the action space: {error}. Received: "
                    f"observation_space[{KEY!r}]={space[KEY]}, action_space={action.space}"
                ) from None

    def read(self, value: Any) -> Mask:
        """One environment's mask, nested like the action space, as flat boolean arrays per leaf.

        Raises:
            ValueError: Wrong nesting, wrong length, or entries that are not 0 or 1; the message names the
                leaf.
        """
        parts: list[Any] = []
        _nested(self.action.space, value, (), parts)
        return [
            None if part is None else _flat(leaf, part) for leaf, part in zip(self.action.leaves, parts, strict=True)
        ]

    def allocate(self, num_envs: int, present: Sequence[np.ndarray | None]) -> Mask:
        """Arrays `(num_envs, sum(nvec))` for the leaves that have a mask in `present`; all allowed."""
        return [
            None if part is None else np.ones((num_envs, leaf.num_values), bool)
            for leaf, part in zip(self.action.leaves, present)
        ]

    def write(self, arrays: Mask, row: int, mask: Mask, final: bool) -> None:
        """Copies one environment's mask into row `row` of a batch.

        Args:
            arrays: The batch, as `allocate` made it.
            row: Index of the environment.
            mask: What `read` returned.
            final: The state is terminal. Nothing is decided there, so a mask that is missing, or leaves a
                component without a value, is replaced by one that allows everything.

        Raises:
            ValueError: A leaf's mask came or went since the reset, or a component has no allowed value.
        """
        for leaf, starts, array, part in zip(self.action.leaves, self._starts, arrays, mask):
            if array is None:
                if part is not None:
                    raise ValueError(f"An action mask{_at(leaf)} came where none was at reset. Give it always or never")
                continue
            if part is None:
                if not final:
                    raise ValueError(f"The action mask{_at(leaf)} is missing, not so at reset. Give it always or never")
                array[row] = True
                continue
            allowed = np.logical_or.reduceat(part, starts)
            if allowed.all():
                array[row] = part
            elif final:
                array[row] = True
            else:
                raise ValueError(_nothing_allowed(leaf, part, int(np.argmin(allowed))))

    def write_batch(self, arrays: Mask, value: Any, final: np.ndarray) -> bool:
        """`write` for all rows at once, where that is simple: one discrete leaf, masks as one numeric array.

        Args:
            value: Masks of all environments.
            final: Boolean `(N,)`; see `write`.

        Returns:
            False if it is not simple, or not right: `write` each row then, which says what is wrong.
        """
        array = arrays[0]
        if len(arrays) != 1 or array is None or not isinstance(value, np.ndarray) or value.shape != array.shape:
            return False
        if value.dtype != np.bool_ and (value.dtype.kind not in "iuf" or not ((value == 0) | (value == 1)).all()):
            return False
        np.not_equal(value, 0, out=array)
        allowed = np.logical_or.reduceat(array, self._starts[0], axis=1)
        empty = ~allowed.all(axis=1)
        if (empty & ~final).any():
            return False
        array[empty] = True
        return True


def from_infos(infos: dict[str, Any], num_envs: int) -> list[Any]:
    """Each environment's `"action_mask"` in the `infos` of a vector environment; None where it gave none."""
    if KEY not in infos:
        return [None] * num_envs
    return [row[KEY] for row in rows({key: infos[key] for key in (KEY, f"_{KEY}") if key in infos}, num_envs)]


def rows(value: Any, num_envs: int) -> list[Any]:
    """One value per environment from a vector environment's batched mask.

    Nested dicts and tuples of batched arrays are taken apart; a key `_name` beside `name` says, as gymnasium
    does, which environments gave it. Entries of an object array are one environment's value each.
    """
    if isinstance(value, dict):
        columns = {}
        for key, part in value.items():
            if isinstance(key, str) and key[:1] == "_" and key[1:] in value:
                continue
            given = value.get(f"_{key}")
            column = rows(part, num_envs)
            columns[key] = column if given is None else [v if g else None for v, g in zip(column, given)]
        return [{key: column[row] for key, column in columns.items()} for row in range(num_envs)]
    if isinstance(value, tuple):
        return [tuple(parts) for parts in zip(*(rows(part, num_envs) for part in value))]
    if value is None or len(value) != num_envs:
        received = "None" if value is None else f"{len(value)} entries"
        raise ValueError(f"The action masks of a vector env need one row per env ({num_envs}). Received: {received}")
    return list(value)


def _nested(space: gymnasium.Space, value: Any, path: Path, parts: list[Any]) -> None:
    if isinstance(space, gymnasium.spaces.Dict):
        if value is not None and not hasattr(value, "keys"):
            raise ValueError(f"The action mask{_at(path)} must be a dict. Received: {type(value).__name__}")
        unknown = [] if value is None else [key for key in value.keys() if key not in space.spaces]
        if unknown:
            raise ValueError(f"The action mask{_at(path)} has keys the action space has not. Received: {unknown}")
        for key, child in space.spaces.items():
            _nested(child, None if value is None else value.get(key), (*path, key), parts)
    elif isinstance(space, gymnasium.spaces.Tuple):
        count = len(space.spaces)
        if value is not None and (not isinstance(value, tuple | list | np.ndarray) or len(value) != count):
            raise ValueError(f"The action mask{_at(path)} must be a tuple of {count} entries. Received: {value!r}")
        for index, child in enumerate(space.spaces):
            _nested(child, None if value is None else value[index], (*path, index), parts)
    else:
        if value is not None and isinstance(space, gymnasium.spaces.Box):
            raise ValueError(f"The action{_at(path)} is a Box: its mask must be None. Received: {value!r}")
        parts.append(value)


def _flat(leaf: Leaf, value: Any) -> np.ndarray:
    assert leaf.nvec is not None
    nvec, width = leaf.nvec.ravel(), leaf.num_values
    if isinstance(value, tuple | list) and len(value) and not np.isscalar(value[0]):
        value = _components(leaf, value, nvec)
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"The action mask{_at(leaf)} must hold booleans or 0 and 1. Received: {value!r}")
    array = array.ravel()
    if leaf.kind == "multi_binary" and array.size == leaf.size:
        if not np.isin(array, (0, 1, 2)).all():
            raise ValueError(f"The action mask{_at(leaf)} of a MultiBinary holds 0, 1 or 2. Received: {value!r}")
        return np.stack([array != 1, array != 0], axis=-1).ravel()
    if array.size != width:
        allowed = f"{width} entries" + (f" (or {leaf.size})" if leaf.kind == "multi_binary" else "")
        raise ValueError(f"The action mask{_at(leaf)} must have {allowed}. Received: {array.size} entries")
    if array.dtype != np.bool_ and not np.isin(array, (0, 1)).all():
        raise ValueError(f"The action mask{_at(leaf)} must hold booleans or 0 and 1. Received: {value!r}")
    return array.astype(bool)


def _components(leaf: Leaf, value: Sequence[Any], nvec: np.ndarray) -> np.ndarray:
    # One array per component; for an nvec of rank r they lie under r levels of tuples.
    parts: Sequence[Any] = value
    for _ in range(len(leaf.shape) - 1):
        parts = [part for group in parts for part in group]
    if leaf.kind != "multi_discrete":
        return np.concatenate([np.ravel(part) for part in parts])
    sizes = [int(np.size(part)) for part in parts]
    if sizes != nvec.tolist():
        raise ValueError(
            f"The action mask{_at(leaf)} must have components of {nvec.tolist()} entries. Received: {sizes}"
        )
    return np.concatenate([np.ravel(part) for part in parts])


def _nothing_allowed(leaf: Leaf, part: np.ndarray, component: int) -> str:
    where = f", component {component}," if leaf.size > 1 else ""
    return f"The action mask{_at(leaf)}{where} allows no value. Received: {part.astype(int).tolist()}"


def _at(where: Leaf | Path) -> str:
    name = where.name if isinstance(where, Leaf) else "/".join(map(str, where))
    return f" of leaf {name!r}" if name else ""
