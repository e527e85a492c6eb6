"""Traces: whole episodes in a file. `kagent.callbacks.Recorder` writes them, `agent.pretrain` learns from them.

A trace is an `.npz` file that NumPy alone reads, `np.load(path, allow_pickle=False)`. It holds E episodes, one behind
the other, of T timesteps together. All values are the environment's own, in the dtypes of its spaces (a `Discrete`
with `start=3` counts from 3). Its arrays:

* `observation` `(T, *shape)`: what the agent saw. Of a nested space one array per leaf, `observation/<path>`, such as
  `observation/camera/left`; an entry of a `Tuple` is called by its index.
* `action` or `action/<path>` `(T, *shape)`: what it did there.
* `action_mask` or `action_mask/<path>`, bool `(T, sum(nvec))`: what was allowed there, component by component. Only where
  the environment gives masks, and only of discrete leaves.
* `reward`, float64 (or float32) `(T,)`.
* `terminated`, `truncated`, bool `(T,)`: exactly the last timestep of every episode has one of them, or both.
* `episode_length`, int64 `(E,)`, in timesteps; the sum is T.
* `final_observation` or `final_observation/<path>` `(E, *shape)`: where each episode ended, also where it was truncated.
  Within an episode, the observation after timestep t is that of timestep t + 1: see `successors`.
* `end_observed`, bool `(E,)`: only where some of these final observations are not the environment's. False: the episode
  terminated, its loop did not say where, and `final_observation` repeats the last one acted on.
* `final_action_mask` or `final_action_mask/<path>`, bool `(E, sum(nvec))`: what would have been allowed there.

Files may come from anywhere: sizes are checked before memory is taken for them, and nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from kagent.files.atomic_files import replacing
from kagent.spaces import Leaf, Structure

LARGEST = 1 << 30  # bytes of a trace's arrays
_BOOL = np.dtype(np.bool_)


class Header(NamedTuple):
    """What is known of an array before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype


class _Rule(NamedTuple):
    rows: str  # the array that has as many: "reward", one per timestep, or "episode_length", one per episode
    dtypes: tuple[np.dtype, ...]
    shape: tuple[int, ...]  # of a row


def array_name(group: str, leaf: Leaf) -> str:
    """`"observation/camera/left"` of a leaf of a nested space, `"observation"` of a space that is not nested."""
    return f"{group}/{leaf.name}" if leaf.path else group


def trace_files(directory: str | os.PathLike[str]) -> list[Path]:
    """The files `trace-*.npz` of a directory, oldest number first.

    Raises:
        TypeError: Not a path.
        ValueError: There is no such directory, or no trace in it.

    Example:

    >>> trace_files("/nowhere")
    Traceback (most recent call last):
        ...
    ValueError: `directory` must be a directory of traces. There is none at '/nowhere'
    """
    if not isinstance(directory, str | os.PathLike):
        raise TypeError(
            f"`directory` must be the path of a directory of traces. Received: {type(directory).__name__}. `fit` learns from "
            "kagent.datasets.Episodes"
        )
    folder = Path(directory)
    if not folder.is_dir():
        raise ValueError(f"`directory` must be a directory of traces. There is none at {str(folder)!r}")
    found = [path for path in folder.glob("trace-*.npz") if path.is_file()]
    if not found:
        raise ValueError(f"`directory` must hold traces, files trace-*.npz. Received: {str(folder)!r}, with none")
    return sorted(found, key=lambda path: (len(path.name), path.name))  # numbers may outgrow their nine digits


def trace_headers(
    path: str | os.PathLike[str],
    observation_space: gymnasium.Space | Structure | None = None,
    action_space: gymnasium.Space | Structure | None = None,
    *,
    max_bytes: int = LARGEST,
) -> dict[str, Header]:
    """Names, shapes and dtypes of a trace's arrays, checked. Arguments and errors: `load_trace`."""
    observation, action = _structures(observation_space, action_space)
    with _opened(path) as archive:
        headers = _headers(archive, max_bytes)
        _check_headers(headers, observation, action)
    return headers


def load_trace(
    path: str | os.PathLike[str],
    observation_space: gymnasium.Space | Structure | None = None,
    action_space: gymnasium.Space | Structure | None = None,
    *,
    max_bytes: int = LARGEST,
) -> dict[str, np.ndarray]:
    """Reads a trace and checks all of it.

    Args:
        path: A file that a `Recorder` or `save_trace` wrote, or one like it.
        observation_space, action_space: Where given, names, dtypes, shapes and values must be of these spaces. The
            bounds of an observation's `Box` are not enforced, as they are not of environments.
        max_bytes: What its arrays may take in memory.

    Returns:
        The file's arrays by name, as the module's docstring lists them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not a trace, too large, or an array that is missing, unknown, of the wrong dtype or length, not
            finite, or outside its space. The message names the file and the array.

    Example:

    >>> history = agent.fit("CartPole-v1", episodes=2, callbacks=[kagent.callbacks.Recorder("traces")])
    >>> trace = load_trace(trace_files("traces")[0])
    >>> bool(trace["episode_length"].sum() == len(trace["reward"]))
    True
    """
    observation, action = _structures(observation_space, action_space)
    with _opened(path) as archive:
        headers = _headers(archive, max_bytes)
        _check_headers(headers, observation, action)
        trace = {name: _read(archive, name, header) for name, header in headers.items()}
        _check_values(trace, observation, action)
    return trace


def save_trace(path: str | os.PathLike[str], trace: Mapping[str, Any]) -> None:
    """Writes a trace, beside `path` first and then renamed: never half a file.

    For demonstrations from elsewhere: what is written here, `load_trace` reads and `agent.pretrain` learns from.

    Args:
        path: The file; a name that `pretrain` is to find is `trace-*.npz`.
        trace: Arrays by name, as the module's docstring lists them.

    Raises:
        ValueError: As `load_trace`.

    Example:

    >>> save_trace("/tmp/kagent_traces/trace-0.npz", {
    ...     "observation": np.zeros((2, 3), np.float32), "final_observation": np.ones((1, 3), np.float32),
    ...     "action": np.array([0, 1]), "reward": np.array([0.5, 1.0]), "episode_length": np.array([2]),
    ...     "terminated": np.array([False, True]), "truncated": np.array([False, False]),
    ... })
    """
    arrays = {name: np.asarray(array) for name, array in trace.items()}
    with _naming(path):
        check_trace(arrays)
    with replacing(Path(path)) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)


def check_trace(
    trace: Mapping[str, np.ndarray], observation: Structure | None = None, action: Structure | None = None
) -> None:
    """Refuses arrays that are no trace, or one of other spaces.

    Raises:
        ValueError: `trace` is not what the module's docstring says, or not of these spaces. The message names the array.
    """
    for name, array in trace.items():
        if not isinstance(name, str) or not isinstance(array, np.ndarray):
            raise ValueError(f"it must be NumPy arrays by name. Received: {type(array).__name__} as {name!r}")
    headers = {name: Header(array.shape, array.dtype) for name, array in trace.items()}
    _check_headers(headers, observation, action)
    _check_values(trace, observation, action)


def successors(trace: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What came after every timestep: `next_observation...` and, where there are masks, `next_action_mask...`.

    Args:
        trace: As `load_trace` returns it.

    Returns:
        Arrays `(T, ...)`: the next timestep's, at the end of an episode its final one.

    Example:

    >>> trace = {"observation": np.array([1, 2, 5]), "final_observation": np.array([3, 6]),
    ...          "episode_length": np.array([2, 1])}
    >>> successors(trace)["next_observation"].tolist()
    [2, 3, 6]
    """
    ends = np.cumsum(trace["episode_length"]) - 1
    made = {}
    for name, final in trace.items():
        if name.startswith("final_"):
            column = name.removeprefix("final_")
            made[f"next_{column}"] = shifted = np.roll(trace[column], -1, axis=0)
            shifted[ends] = final
    return made


# Files -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, PermissionError, MemoryError):
        raise
    except Exception as error:  # a damaged file raises whatever its decompressor does
        raise ValueError(f"Trace {os.fspath(path)!r}: {error}") from error


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[zipfile.ZipFile]:
    with _naming(path), zipfile.ZipFile(path) as archive:
        yield archive


def _headers(archive: zipfile.ZipFile, max_bytes: int) -> dict[str, Header]:
    # zipfile unpacks no more than the sizes declared here, however far the data would go.
    total = sum(info.file_size for info in archive.infolist())
    if total > max_bytes:
        raise ValueError(f"its arrays must be of at most max_bytes={max_bytes} bytes. Received: {total}")
    headers: dict[str, Header] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name == info.filename or name in headers:
            raise ValueError(f"its entries must be arrays <name>.npy, each once. Received: {info.filename!r}")
        with archive.open(info) as file:
            # Headers of other versions may be of any length, and are for what no trace has.
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError(f"array {name!r} must have a header of version 1.0")
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            size = info.file_size - file.tell()
        if min(shape, default=0) < 1 or math.prod(shape) * dtype.itemsize != size:
            raise ValueError(f"array {name!r} must be as large as it says. Received: {shape} {dtype} in {size} bytes")
        headers[name] = Header(tuple(shape), dtype.newbyteorder("="))
    return headers


def _read(archive: zipfile.ZipFile, name: str, header: Header) -> np.ndarray:
    with archive.open(f"{name}.npy") as file:
        return np.ascontiguousarray(np.lib.format.read_array(file, allow_pickle=False), header.dtype)


# Checks ----------------------------------------------------------------------------------------------------


def _structures(observation: Any, action: Any) -> tuple[Structure | None, Structure | None]:
    pairs = ((observation, "observation_space"), (action, "action_space"))
    made = [space if space is None or isinstance(space, Structure) else Structure(space, role) for space, role in pairs]
    return made[0], made[1]


def _columns(group: str, headers: Mapping[str, Header], structure: Structure | None) -> dict[str, Header]:
    # What rows of a group's arrays must look like, by name: as the space says, or else as they do.
    if structure is not None:
        return {array_name(group, leaf): Header(leaf.shape, leaf.dtype) for leaf in structure.leaves}
    found = {name: header for name, header in headers.items() if name.partition("/")[0] == group}
    return {name: Header(header.shape[1:], header.dtype) for name, header in found.items()} or {
        group: Header((), np.dtype(np.float64))  # which is missing
    }


def _rules(headers: Mapping[str, Header], observation: Structure | None, action: Structure | None) -> dict[str, _Rule]:
    rules = {
        "reward": _Rule("reward", (np.dtype(np.float64), np.dtype(np.float32)), ()),
        "terminated": _Rule("reward", (_BOOL,), ()),
        "truncated": _Rule("reward", (_BOOL,), ()),
        "episode_length": _Rule("episode_length", (np.dtype(np.int64),), ()),
    }
    if "end_observed" in headers:
        rules["end_observed"] = _Rule("episode_length", (_BOOL,), ())
    for name, (shape, dtype) in _columns("observation", headers, observation).items():
        rules[name] = _Rule("reward", (dtype,), shape)
        rules[f"final_{name}"] = _Rule("episode_length", (dtype,), shape)
    discrete = (
        None if action is None else {array_name("action", leaf): leaf for leaf in action.leaves if leaf.is_discrete}
    )
    for name, (shape, dtype) in _columns("action", headers, action).items():
        rules[name] = _Rule("reward", (dtype,), shape)
        mask = f"action_mask{name.removeprefix('action')}"
        given = mask if mask in headers else f"final_{mask}"
        if given not in headers or (discrete is not None and name not in discrete):
            continue
        width = headers[given].shape[-1:] if discrete is None else (discrete[name].num_values,)
        rules[mask] = _Rule("reward", (_BOOL,), width)
        rules[f"final_{mask}"] = _Rule("episode_length", (_BOOL,), width)
    return rules


def _check_headers(headers: Mapping[str, Header], observation: Structure | None, action: Structure | None) -> None:
    rules = _rules(headers, observation, action)
    for wrong, word in ((rules.keys() - headers.keys(), "lacks"), (headers.keys() - rules.keys(), "has unknown")):
        if wrong:
            raise ValueError(f"it {word} arrays {sorted(wrong)}. Received: {sorted(headers)}. Allowed: {sorted(rules)}")
    if 0 in headers["reward"].shape:
        raise ValueError(f"it must have at least one timestep. Received: 'reward' of shape {headers['reward'].shape}")
    for name, (rows, dtypes, shape) in rules.items():
        received, count = headers[name], headers[rows].shape[:1]
        if received.dtype.kind not in "biuf":
            raise ValueError(f"array {name!r} must hold numbers or bools. Received: dtype {received.dtype}")
        if received.shape != (*count, *shape) or received.dtype not in dtypes or not all(received.shape):
            allowed = " or ".join(map(str, dtypes))
            raise ValueError(
                f"array {name!r} must be {(*count, *shape)} {allowed}. Received: {received.shape} {received.dtype}"
            )


def _check_values(trace: Mapping[str, np.ndarray], observation: Structure | None, action: Structure | None) -> None:
    lengths, count = trace["episode_length"], len(trace["reward"])
    _require("episode_length", lengths, (lengths >= 1) & (lengths <= count), f"1 to {count}, the number of timesteps")
    if lengths.sum() != count:
        raise ValueError(
            f"array 'episode_length' must sum to {count}, the length of 'reward'. Received: {lengths.sum()}"
        )
    last = np.zeros(count, bool)
    last[np.cumsum(lengths) - 1] = True
    over = trace["terminated"] | trace["truncated"]
    _require(
        "terminated", over, over == last, "with 'truncated', True at the last timestep of each episode and only there"
    )
    if "end_observed" in trace:
        good = trace["end_observed"] | trace["terminated"][last]
        _require("end_observed", trace["end_observed"], good, "True where an episode was truncated and not terminated")
    for name, array in trace.items():
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):  # float32 is what is learned from, of rewards too
                finite = np.isfinite(array.astype(np.float32, copy=False))
            _require(name, array, finite, "finite")
    for structure, groups in ((observation, ("observation", "final_observation")), (action, ("action",))):
        for leaf in () if structure is None else structure.leaves:
            for group in groups:
                _check_range(array_name(group, leaf), trace[array_name(group, leaf)], leaf, group == "action")
    for leaf in () if action is None else action.leaves:
        if array_name("action_mask", leaf) in trace:
            _check_masks(trace, leaf)


def _require(name: str, array: np.ndarray, good: np.ndarray, allowed: str) -> None:
    if not good.all():
        place = np.argwhere(~good)[0].tolist()
        raise ValueError(f"array {name!r} must be {allowed}. Received: {array[tuple(place)]} at {place}")


def _check_range(name: str, array: np.ndarray, leaf: Leaf, bounded: bool) -> None:
    if leaf.nvec is not None and leaf.start is not None:
        last = leaf.start + leaf.nvec - 1
        allowed = f"from {leaf.start.tolist()} to {last.tolist()}"
        _require(name, array, (array >= leaf.start) & (array <= last), allowed)
    elif bounded and leaf.low is not None and leaf.high is not None:
        allowed = f"from {leaf.low.tolist()} to {leaf.high.tolist()}"
        _require(name, array, (array >= leaf.low) & (array <= leaf.high), allowed)


def _check_masks(trace: Mapping[str, np.ndarray], leaf: Leaf) -> None:
    assert leaf.nvec is not None and leaf.start is not None
    starts = np.concatenate([[0], np.cumsum(leaf.nvec.ravel())[:-1]])
    for group in ("action_mask", "final_action_mask"):
        name = array_name(group, leaf)
        some = np.logical_or.reduceat(trace[name], starts, axis=1)
        _require(name, some, some, "True for at least one value of each component")
    action, name = trace[array_name("action", leaf)], array_name("action_mask", leaf)
    index = (action - leaf.start).reshape(len(action), -1) + starts
    good = np.take_along_axis(trace[name], index, axis=1)
    _require(array_name("action", leaf), action.reshape(len(action), -1), good, f"allowed by {name!r}")
