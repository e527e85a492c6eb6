"""The state of an agent as entries of a weights file: what Keras hands to `save_own_variables` and `load_own_variables`.

`counters` is an array, `memory` and `memory.NAME.NUMBER` are the memory, `state` is all else as JSON, whose large arrays
are `state.NUMBER`. Entries named by numbers are variables of Keras. Large arrays of a memory may be in a folder beside the file, see
`kagent.files.segments`: `memory` then names the folder and the parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from kagent.config.checks import check_count
from kagent.files import json_arrays, segments
from kagent.files.segments import Segments
from kagent.files.stored_state import read_state, read_text
from kagent.memories.saved_arrays import Mark, Rows
from kagent.memories.storage import free_memory

_SLICE = 64 << 20  # bytes of memory content in one entry: Keras copies entries on their way in and out


class SavedMemory(NamedTuple):
    """A memory in a file.

    Attributes:
        masked, num_envs: As of `Memory.build`.
        content: As `Memory.state` gives it; of a file, each value is an iterable of the slices of one.
        marks: As `Memory.marks` gives them; of a file, there are none.
    """

    masked: bool
    num_envs: int
    content: Mapping[str, np.ndarray | Rows | Iterable[np.ndarray]]
    marks: Mapping[str, Mark] = MappingProxyType({})


def write(store: Any, data: Mapping[str, Any], beside: Segments | None = None) -> None:
    """Writes `data`: `counters`, perhaps a `SavedMemory` as `memory`, and what `json_arrays.dump` takes.

    Args:
        store: What Keras hands out.
        data: The state.
        beside: Where large arrays of the memory go; None: into the file.
    """
    data = dict(data)
    store["counters"] = data.pop("counters")
    memory: SavedMemory | None = data.pop("memory", None)
    large: list[np.ndarray] = []
    store["state"] = np.frombuffer(json_arrays.dump(data, large), np.uint8)
    for number, array in enumerate(large):
        store[f"state.{number}"] = array
    if memory is None:
        return
    content = {name: value if isinstance(value, Rows) else np.asarray(value) for name, value in memory.content.items()}
    cuts = {}
    if beside is not None:
        cuts = {
            name: beside.write(value, _cuts(value), _mark(name, value, memory.marks))
            for name, value in content.items()
            if _is_large(value)
        }
    slices = {name: _slices(value) for name, value in content.items() if name not in cuts}
    counts = {name: len(parts) for name, parts in slices.items()}
    about: dict[str, Any] = {"masked": memory.masked, "num_envs": memory.num_envs, "slices": counts}
    if beside is not None and cuts:
        about["segments"] = segments.description(beside.folder.name, cuts)
    store["memory"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    for name, parts in slices.items():
        for number, part in enumerate(parts):
            store[f"memory.{name}.{number}"] = content[name][part]


def read(store: Any, folder: Path | None = None) -> dict[str, Any]:
    """The entries that `write` received. Slices of a memory are read on demand.

    Args:
        store: What Keras hands out.
        folder: The one of the file; None: it has none, as that of an archive.

    Raises:
        ValueError: The file holds no agent; an entry is damaged, too large, or of a newer kagent.
    """
    keys = set(store.keys())
    if "state" not in keys or "counters" not in keys:
        raise ValueError(f"The file holds no kagent agent. Received entries: {sorted(keys)[:8]}")
    memory = _memory(store, folder) if "memory" in keys else None
    return {**read_state(store), "counters": np.asarray(store["counters"]), "memory": memory}


def _memory(store: Any, folder: Path | None) -> SavedMemory:
    about = json.loads(read_text(store, "memory"))

    def parts(name: str, count: int) -> Iterator[np.ndarray]:
        return (store[f"memory.{name}.{number}"] for number in range(count))

    slices = {str(name): int(count) for name, count in about["slices"].items()}
    content: dict[str, Any] = {name: parts(name, count) for name, count in slices.items()}
    name, cuts = segments.described(about)
    if cuts:
        if folder is None:
            raise ValueError(f"The file's memory is in a folder {name!r} beside it, and this file has none beside it")
        content |= segments.opened(folder / name, cuts, free_memory())
    content = {name: _finite(name, parts) for name, parts in content.items()}
    return SavedMemory(bool(about["masked"]), check_count(about["num_envs"], "num_envs"), content)


def _finite(name: str, parts: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    # An agent stores no other numbers, and would learn from these without a word.
    for part in parts:
        array = np.asarray(part)
        if array.dtype.kind == "f" and not (good := np.isfinite(array)).all():
            raise ValueError(
                f"The memory in the file must hold finite numbers. Received: {array[~good][0]} in {name!r}"
            )
        yield array


def _is_large(array: np.ndarray | Rows) -> bool:
    row = array[:1]
    return (
        len(array) * row.nbytes >= segments.LEAST
        and row.nbytes <= segments.LARGEST
        and row.dtype.kind in segments.KINDS
    )


def _cuts(array: np.ndarray | Rows) -> np.ndarray | None:
    return array.cuts if isinstance(array, Rows) else None


def _mark(name: str, array: np.ndarray | Rows, marks: Mapping[str, Mark]) -> Mark | None:
    # Two arrays of a memory may have the same marks.
    mark = array.mark if isinstance(array, Rows) else marks.get(name)
    return None if mark is None else lambda begin, end: (name, mark(begin, end))


def _slices(array: np.ndarray | Rows) -> list[slice]:
    rows = max(1, _SLICE // max(1, array[:1].nbytes))
    return [slice(begin, begin + rows) for begin in range(0, max(1, len(array)), rows)]
