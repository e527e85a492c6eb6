"""States, actions and traces of Tensorforce's in the form that kagent's agents take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kagent.spaces import Structure
from kagent.specifications import mask_name


def plain(action: Any, structure: Structure) -> Any:
    """An action with Python's numbers for scalars, and bools for those of type bool, nested as it is."""
    return structure.unflatten(
        [_of_type(part, leaf.type) for leaf, part in zip(structure.leaves, structure.flatten(action))]
    )


def _of_type(action: Any, kind: str) -> Any:
    array = np.asarray(action)
    array = array.astype(bool) if kind == "bool" else array
    return array.item() if array.shape == () else array


def stacked(values: Any) -> Any:
    """A list of T values that are nested alike as one, with `(T, ...)` in the place of each part; other forms as they are."""
    if not isinstance(values, list | tuple) or not values:
        return values
    if isinstance(values[0], Mapping):
        return {name: stacked([value[name] for value in values]) for name in values[0]}
    return np.asarray(values)


def batch_size(states: Any, structure: Structure) -> int | None:
    """How many states there are side by side, in a list or in arrays; None: there is one, not in a batch.

    Args:
        states: As `Agent.act` is given them.
        structure: Of one of them.
    """
    if isinstance(states, list | tuple) and states and isinstance(states[0], Mapping):
        return len(states)
    leaf, found = structure.leaves[0], states
    for name in leaf.path or (("state",) if isinstance(states, Mapping) else ()):
        if not isinstance(found, Mapping) or name not in found:
            return None  # what is missing is named where it is read
        found = found[name]
    try:
        shape = np.shape(found)
    except ValueError:  # ragged
        return None
    return shape[0] if len(shape) == len(leaf.shape) + 1 and shape[1:] == tuple(leaf.shape) else None


def unnamed(states: Any, structure: Structure) -> Any:
    """The only state where it comes as `{"state": ...}`, others as they are."""
    alone = not structure.leaves[0].path and isinstance(states, Mapping) and set(states) == {"state"}
    return states["state"] if alone else states


def in_form_of(states: Any, values: list[Any]) -> Any:
    """Values of each of a batch of states: a list where these are in a list, else arrays."""
    return values if isinstance(states, list | tuple) else stacked(values)


def taken(values: Any, index: int) -> Any:
    """Element `index` of a batch: of a list, of an array, or of each part of a dict."""
    return {name: taken(part, index) for name, part in values.items()} if isinstance(values, Mapping) else values[index]


def repeated(value: Any, count: int, argument: str) -> np.ndarray:
    """A number for each of a batch; one alone is of all.

    Raises:
        ValueError: Another number of them.
    """
    found = np.asarray(value)
    if found.shape not in ((), (count,)):
        raise ValueError(f"`{argument}` must be one number, or {count} of them. Received: {value!r}")
    return np.broadcast_to(found, count)


def rows_of(states: Any, indices: np.ndarray) -> Any:
    """Rows of stacked states, nested as they are."""
    if isinstance(states, Mapping):
        return {name: rows_of(part, indices) for name, part in states.items()}
    return np.asarray(states)[indices]


def without_masks(states: Any, observation: Structure, action: Structure) -> tuple[Any, Any]:
    """Stacked states, and the masks that were among them in the form of `Agent.experience`; None: there are none."""
    if not isinstance(states, Mapping):
        return states, None
    if unnamed(states, observation) is not states:
        return states["state"], None
    keys = {leaf.path[0] for leaf in observation.leaves if leaf.path}
    names = {mask_name(leaf.name): leaf for leaf in action.leaves if leaf.is_discrete}
    found = [name for name in names if name in states and name not in keys]
    if not found:
        return states, None
    rest = {name: value for name, value in states.items() if name not in found}
    masks = []
    for leaf in action.leaves:
        given = states.get(mask_name(leaf.name)) if leaf.is_discrete else None
        masks.append(None if given is None else np.asarray(given, bool).reshape(len(given), -1))
    return (rest["state"] if not keys else rest), action.unflatten(masks)


def trace_of(path: Path) -> dict[str, Any]:
    """The arrays of one trace file of Tensorforce's: `states`, `actions`, `terminal` and `reward`.

    Raises:
        ValueError: Another file.
    """
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    found: dict[str, Any] = {}
    for name, array in arrays.items():
        group, _, rest = name.partition("/")
        if group in ("states", "actions", "auxiliaries") and rest:
            found.setdefault(group, {})[rest] = array
        else:
            found[group] = array
    missing = {"states", "actions", "terminal", "reward"} - set(found)
    if missing:
        raise ValueError(f"`directory` has a file that is no trace of Tensorforce's: {path} lacks {sorted(missing)}")
    masks = {f"{name.removesuffix('/mask')}_mask": array for name, array in found.pop("auxiliaries", {}).items()}
    if masks:
        states = found["states"]
        found["states"] = {**(states if isinstance(states, Mapping) else {"state": states}), **masks}
    for group in ("states", "actions"):
        if isinstance(found[group], dict):
            found[group] = _nested(found[group])
    return found


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split("/")
        inner = nested
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return nested


def joined(traces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Traces one behind the other."""
    first = traces[0]
    return {
        name: joined([trace[name] for trace in traces])
        if isinstance(first[name], Mapping)
        else np.concatenate([trace[name] for trace in traces])
        for name in first
    }
