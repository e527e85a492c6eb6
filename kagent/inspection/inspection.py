"""What a file of an agent is, read before anything of it is built."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import os
import tempfile
import textwrap
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np

from kagent import spaces
from kagent.acting import archive
from kagent.files import checked_file, packed, segments
from kagent.files.atomic_files import local_path
from kagent.files.stored_state import read_state

_COUNTERS = ("timesteps", "episodes")  # the first two of the entry
_METADATA, _LARGEST = "metadata.json", 1 << 20
_ARCHIVE, _WEIGHTS = ".keras", ".weights.h5"
_INDENT = 14  # columns of the names in a table


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What a file says of its agent. `print` shows it as a table.

    Attributes:
        path: The file or folder.
        kind: "agent" (`agent.save`), "weights" (`agent.save_weights`, `Checkpoint`) or "actor" (`agent.actor.save`).
        bytes: Size on disk.
        algorithm: Name of the preset, such as "PPO"; None where the file does not say it.
        objective: Name of the objective's class, or None.
        observation_space, action_space: The spaces of the environment that it is for.
        counters: `timesteps` and `episodes` that were trained; empty for an actor.
        versions: Of `kagent`, `keras`, `tensorflow`, `numpy`, as far as the file says them, and `format`.
        saved: When, as Keras writes it, or None.
        sizes: How many numbers `networks` (targets among them) and `optimizer` have; of an actor, `policy`.
        memory: Bytes of the replay memory in the file, or in the folder beside it; 0 where there is none.
        served: Whether `kagent.acting.load` takes the file.
        unserved: Why it does not, as the layer without a NumPy form; None where the file does not say it.
        settings: The agent's configuration, as `agent.get_config()` gives it; empty where the file has none.
    """

    path: Path
    kind: str
    bytes: int
    algorithm: str | None
    objective: str | None
    observation_space: gymnasium.Space
    action_space: gymnasium.Space
    counters: dict[str, int]
    versions: dict[str, str]
    saved: str | None
    sizes: dict[str, int]
    memory: int
    served: bool
    settings: dict[str, Any] = dataclasses.field(repr=False)
    unserved: str | None = None

    def summary(self) -> dict[str, Any]:
        """All but the settings, JSON-ready; spaces as `kagent.spaces.to_config` describes them."""
        found = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "settings"
        }
        return found | {
            "path": str(self.path),
            "observation_space": spaces.to_config(self.observation_space),
            "action_space": spaces.to_config(self.action_space),
        }

    def __str__(self) -> str:
        counts = ", ".join(f"{value:,} {name}" for name, value in self.counters.items())
        sizes = ", ".join(f"{name} {value:,}" for name, value in self.sizes.items())
        rows = {
            "file": f"{self.path}, {self.bytes:,} bytes",
            "kind": {"agent": "agent, for kagent.load", "weights": "weights, for agent.load_weights"}.get(
                self.kind, "actor, for kagent.acting.load"
            ),
            "algorithm": self.algorithm or ("made of parts" if self.kind != "actor" else None),
            "objective": self.objective,
            "observations": self.observation_space,
            "actions": self.action_space,
            "trained": counts or None,
            "versions": ", ".join(f"{name} {value}" for name, value in self.versions.items()),
            "saved": self.saved,
            "numbers": sizes,
            "memory": f"{self.memory:,} bytes" if self.memory else None,
            "in NumPy": {"weights": None}.get(
                self.kind,
                "kagent.acting.load serves it"
                if self.served
                else f"no: {ascii(self.unserved)[1:-1] if self.unserved else 'it acts by kagent.load'}",
            ),
        }
        return "\n".join(_row(name, str(value)) for name, value in rows.items() if value is not None)


def _row(name: str, value: str) -> str:
    """A row of the table, in 80 columns; the name of a file stays whole."""
    if name == "file":
        return f"{name:<{_INDENT}}{value}"
    return textwrap.fill(" ".join(value.split()), 80, initial_indent=f"{name:<{_INDENT}}", subsequent_indent=" " * _INDENT,
                         break_long_words=False, break_on_hyphens=False)  # fmt: skip


def inspect(path: str | os.PathLike[str]) -> Inspection:
    """What a file of an agent holds. Nothing of it is built, imported or called, so that a file from elsewhere can be looked at.

    Args:
        path: A `.keras` file or the folder of one, a `.weights.h5` file, a folder that `agent.actor.save` wrote, or the folder
            of a run of `kagent train`, whose `agent.keras` is read.

    Returns:
        An `Inspection`.

    Raises:
        FileNotFoundError: There is nothing at `path`.
        ValueError: Of no agent of kagent; damaged, of a newer kagent, or unpacks to far more than it is.
        OSError: It cannot be read, or is damaged (then it is a ValueError, too).

    Example:

    >>> found = kagent.inspect("agent.keras")
    >>> found.algorithm, found.action_space, found.counters["timesteps"]
    ('PPO', Discrete(2), 0)
    """
    found = local_path(path, "path")
    if not found.exists():
        raise FileNotFoundError(f"There is no file {str(found)!r}")
    if (found / "agent.keras").is_file():
        found = found / "agent.keras"
    if found.is_dir() and (found / archive.JSON).is_file():
        return _actor(found)
    is_folder = found.is_dir() and (found / packed.CONFIG).is_file() and (found / packed.WEIGHTS).is_file()
    if is_folder or found.name.endswith(_ARCHIVE):
        return _agent(found)
    if found.is_file() and found.name.endswith(_WEIGHTS):
        return _weights(found)
    raise ValueError(
        f"{str(found)!r} is no file of an agent. Allowed: a .keras file, a .weights.h5 file, the folder of a saved actor or of a run"
    )


def _agent(path: Path) -> Inspection:
    if path.is_file():
        checked_file.check(path)
    with packed.reading(path):
        config = packed.read_config(path)
        if not isinstance(config.get("config"), dict) or "observation_space" not in config["config"]:
            raise ValueError(f"{str(path)!r} holds a {config.get('class_name')!r}, not a kagent agent")
        with _stored(path) as file:
            facts = _of_hdf5(file)
        metadata = _metadata(path)
        settings = config["config"]
    versions = {**facts.pop("versions")}
    if isinstance(metadata.get("keras_version"), str):
        versions.setdefault("keras", metadata["keras_version"])
    preset = config.get("class_name")
    return Inspection(
        path, "agent", _bytes(path), **{**facts, "algorithm": facts["algorithm"] or (preset if isinstance(preset, str) else None)},
        versions=versions, saved=_text(metadata.get("date_saved")), settings=settings, **_served(path),
    )  # fmt: skip


def _weights(path: Path) -> Inspection:
    checked_file.check(path)
    with packed.reading(path), h5py.File(path, "r") as file:
        facts = _of_hdf5(file)
    return Inspection(path, "weights", _bytes(path), **facts, saved=None, served=False, settings={})


def _actor(path: Path) -> Inspection:
    about = archive.about(path)
    try:
        shapes = [tuple(map(int, shape)) for shape in about["program"]["weights"]]
        kinds = [str(decision["kind"]) for decision in about["decisions"]]
        found = {
            role: spaces.from_config(about[role.removesuffix("_space")])
            for role in ("observation_space", "action_space")
        }
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"The actor in {str(path)!r} is damaged, or of another version of kagent: {error}") from error
    return Inspection(
        path, "actor", _bytes(path), algorithm=None, objective=None, **found, counters={},
        versions={"format": str(about["version"])}, saved=None, sizes={"policy": sum(map(math.prod, shapes))}, memory=0,
        served=True, settings={"decisions": kinds},
    )  # fmt: skip


def _of_hdf5(file: h5py.File) -> dict[str, Any]:
    """What the weights of an agent say."""
    packed.check_hdf5(file)
    if "vars" not in file or "state" not in file["vars"]:
        raise ValueError("The file holds no kagent agent")
    store = file["vars"]
    state = read_state(store)
    counts = np.asarray(store["counters"])
    if counts.ndim != 1 or counts.dtype.kind not in "iuf" or len(counts) < len(_COUNTERS):
        raise ValueError(f"The file's counters must be integers. Received: {counts.dtype} {counts.shape}")
    about = state.get("algorithm")
    about = about if isinstance(about, dict) else {}
    versions = state.get("versions")
    known = {str(name): str(value) for name, value in versions.items()} if isinstance(versions, Mapping) else {}
    sizes, memory = _sizes(file)
    _, cuts = segments.of_file(store)
    memory += sum(rows * cut.row_bytes for cut in cuts.values() for _, rows in cut.parts)
    return {
        "algorithm": _text(about.get("preset")),
        "objective": _text(about.get("objective")),
        "observation_space": spaces.from_config(state["observation_space"]),
        "action_space": spaces.from_config(state["action_space"]),
        "counters": {name: int(value) for name, value in zip(_COUNTERS, counts)},
        "versions": {**known, "format": str(state["format"])},
        "sizes": sizes,
        "memory": memory,
    }


def _sizes(file: h5py.File) -> tuple[dict[str, int], int]:
    """Numbers of networks and optimizers, and the bytes of the memory."""
    sizes = {"networks": 0, "optimizer": 0}
    memory = 0

    def visit(name: str, entry: Any) -> None:
        nonlocal memory
        if not isinstance(entry, h5py.Dataset):
            return
        parts = name.split("/")
        if parts[0] == "vars":
            if parts[-1].startswith("memory."):
                memory += entry.nbytes
            return
        sizes["optimizer" if parts[0] == "optimizer" else "networks"] += entry.size

    file.visititems(visit)
    return sizes, memory


@contextlib.contextmanager
def _stored(path: Path) -> Iterator[h5py.File]:
    """The weights in a `.keras` file, or in the folder of one."""
    if path.is_dir():
        with h5py.File(path / packed.WEIGHTS, "r") as file:
            yield file
        return
    with zipfile.ZipFile(path) as whole, whole.open(packed.WEIGHTS) as member, tempfile.TemporaryFile() as copy:
        while part := member.read(1 << 24):
            copy.write(part)
        copy.seek(0, io.SEEK_SET)
        with h5py.File(copy, "r") as file:
            yield file


def _metadata(path: Path) -> dict[str, Any]:
    if path.is_dir():
        file = path / _METADATA
        text = file.read_bytes()[: _LARGEST + 1] if file.is_file() else b"{}"
    else:
        with zipfile.ZipFile(path) as whole:
            if _METADATA not in whole.namelist():
                return {}
            text = b"" if whole.getinfo(_METADATA).file_size > _LARGEST else whole.read(_METADATA)
    if not text or len(text) > _LARGEST:
        raise ValueError(f"{_METADATA} in {str(path)!r} has more than {_LARGEST} bytes, or none")
    found = json.loads(text)
    return found if isinstance(found, dict) else {}


def _served(path: Path) -> dict[str, Any]:
    try:
        archive.about(path)
    except ValueError as error:
        return {"served": False, "unserved": getattr(error, "reason", None)}
    return {"served": True}


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
