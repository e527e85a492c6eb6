"""An agent's files: its specification as JSON, and its state in one of Tensorforce's formats."""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from kagent.compat.tensorforce.programs import saved_model
from kagent.files import atomic_files

ENDINGS = {"checkpoint": ".weights.h5", "numpy": ".npz", "hdf5": ".hdf5"}
_FORMATS = {**{name: name for name in ENDINGS}, "tensorflow": "checkpoint"}
DEFAULT_NAME = "agent"
LEFT_OUT = "not_saved"
_COUNTERS = ("timesteps", "episodes", "gradient_steps")
_HEADER = 1 << 12  # bytes of an array's description at most
_APPENDED = {"timesteps": "timesteps", "episodes": "episodes", "updates": "updates"}


class Found(NamedTuple):
    """Files of an agent.

    Attributes:
        spec: Path of the specification.
        state: Path of the state.
        format: Its format.
    """

    spec: Path
    state: Path
    format: str


def save(agent: Any, directory: Path, filename: str, format: str, append: str | None) -> str:
    """Writes an agent; see `Agent.save`."""
    if append is not None and append not in _APPENDED:
        raise ValueError(f"`append` must be None or one of {tuple(_APPENDED)}. Received: {append!r}")
    if format not in _FORMATS and format != "saved-model":
        raise ValueError(f"`format` must be one of {(*ENDINGS, 'saved-model')}. Received: {format!r}")
    if Path(filename).name != filename:
        raise ValueError(f"`filename` must be a name, without folders. Received: {filename!r}")
    named = filename if append is None else f"{filename}-{getattr(agent, append)}"
    if format != "saved-model":  # whose folder is made once it is known that the policy can be one
        directory.mkdir(parents=True, exist_ok=True)
    if format == "saved-model" and named == DEFAULT_NAME:  # a folder by itself, which `load` does not read
        return str(_write_state(agent.model, directory, format))
    path = _write_state(agent.model, directory / named, format)
    # Behind the state: where that cannot be written, both files of before stay as they were.
    write_spec(agent.spec, directory, filename)
    return str(path)


def _write_state(model: Any, place: Path, format: str) -> Path:
    if format == "saved-model":
        saved_model.write(model, place)
        return place
    format = _FORMATS[format]
    path = place.with_name(place.name + ENDINGS[format])
    if format == "checkpoint":
        model.save_weights(str(path))
        return path
    image = io.BytesIO()  # HDF5 ends the process on a full disk
    if format == "numpy":
        np.savez(image, **_variables(model))
    else:
        with h5py.File(image, "w") as file:
            for name, array in _variables(model).items():
                file[name] = array
    with atomic_files.replacing(path) as temporary:
        temporary.write_bytes(image.getbuffer())
    return path


def write_spec(spec: dict[str, Any], directory: Path, filename: str) -> None:
    """Writes a specification as `<filename>.json`, without what JSON does not hold, of which a warning says the names."""
    directory.mkdir(parents=True, exist_ok=True)
    encoded, left_out = _encoded(spec)
    with atomic_files.replacing(directory / f"{filename}.json") as temporary:
        text = json.dumps({**encoded, **({LEFT_OUT: left_out} if left_out else {})}, indent=2)
        temporary.write_text(text, encoding="utf-8")
    if left_out:
        warnings.warn(
            f"A file holds no objects: {left_out} are left out of the specification. `Agent.load` needs them again",
            stacklevel=4,
        )


def find(directory: Path, filename: str | None, format: str | None) -> Found:
    """The files that `load` reads: of several of one name those with the largest number appended, else the newest.

    Raises:
        ValueError: There are none, or the format is unknown.
    """
    if format is not None and format not in _FORMATS:
        raise ValueError(f"`format` must be one of {tuple(ENDINGS)}. Received: {format!r}")
    name = filename or DEFAULT_NAME
    for ending in ENDINGS.values():
        name = name.removesuffix(ending)
    endings = ENDINGS if format is None else {_FORMATS[format]: ENDINGS[_FORMATS[format]]}
    pattern = re.compile(rf"{re.escape(name)}(-(\d+))?")
    found = []
    for kind, ending in endings.items():
        for path in directory.glob(f"*{ending}"):
            matched = pattern.fullmatch(path.name.removesuffix(ending))
            if matched:
                found.append(
                    (
                        matched[1] is None and filename is not None,
                        int(matched[2] or -1),
                        path.stat().st_mtime_ns,
                        path,
                        kind,
                    )
                )
    if not found:
        raise ValueError(f"There is no file of {name!r} in {directory}, of the formats {list(endings)}")
    *_, state, kind = max(found)
    spec = directory / f"{name}.json"
    if not spec.is_file():
        spec = directory / (re.sub(r"-\d+$", "", name) + ".json")
    if not spec.is_file():
        raise ValueError(f"There is no specification beside the file. Received: {state}, and no {spec}")
    return Found(spec, state, kind)


def read_spec(found: Found) -> dict[str, Any]:
    """The specification that was written."""
    spec: dict[str, Any] = json.loads(found.spec.read_text(encoding="utf-8"))
    return spec


def restore(model: Any, found: Found) -> None:
    """Gives an agent of kagent's the state in a file.

    Raises:
        ValueError: The file is of another agent.
    """
    if found.format == "checkpoint":
        model.load_weights(str(found.state))
        return
    arrays = _read(found, _variables(model))
    for name, variable in _named(model):
        variable.assign(arrays[name])
    for name in _COUNTERS:
        setattr(model.counters, name, int(arrays[f"counters/{name}"]))
    if model.preprocessing is not None:
        learned = model.preprocessing.statistics()
        for i, k, name, _ in _statistics(model):
            learned[i][k] = {**learned[i][k], name: arrays[f"statistics/{i}/{k}/{name}"]}
        model.preprocessing.set_statistics(learned)
    units = model.episodes if model.update_rule.unit == "episodes" else model.timesteps
    model.counters.due_updates_done = model.update_rule.passed(units)  # the next one is due from now on
    model.actor.expire()


def _read(found: Found, expected: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a file, of which nothing is read before it is known to be as large as expected."""
    try:
        with zipfile.ZipFile(found.state) if found.format == "numpy" else h5py.File(found.state, "r") as file:
            if isinstance(file, zipfile.ZipFile):
                sizes = {item.filename.removesuffix(".npy"): item.file_size for item in file.infolist()}
                known = {
                    name: 0 <= size - expected[name].nbytes <= _HEADER
                    for name, size in sizes.items()
                    if name in expected
                }
            else:
                known = {name: name in file and _same(file[name], expected[name]) for name in expected}
                sizes = dict.fromkeys(_datasets(file), 0)
        wrong = sorted(name for name in {*sizes, *expected} if not known.get(name))
        if wrong:
            raise ValueError(
                f"The file is of an agent with other variables. Received: {found.state}, which differs in {wrong[:5]}"
            )
        with (
            np.load(found.state, allow_pickle=False) if found.format == "numpy" else h5py.File(found.state, "r") as file
        ):
            arrays = {name: file[name][()] for name in expected}
    except FileNotFoundError:
        raise
    except (OSError, zipfile.BadZipFile, KeyError, EOFError, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"The file is damaged. Received: {found.state} ({error})") from error
    wrong = [name for name, array in arrays.items() if not _same(array, expected[name])]
    if wrong:
        raise ValueError(
            f"The file is of an agent with other variables. Received: {found.state}, which differs in {wrong[:5]}"
        )
    infinite = [name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]
    if infinite:
        raise ValueError(f"The file's variables are not finite. Received: {found.state}, with {infinite[:5]}")
    return arrays


def _same(one: Any, other: Any) -> bool:
    return bool(getattr(one, "shape", None) == other.shape and getattr(one, "dtype", None) == other.dtype)


def _datasets(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found


def _named(model: Any) -> list[tuple[str, Any]]:
    """The variables of the networks and of their targets by their places: Keras numbers names on through a program."""
    return [(f"variables/{i:03d}", variable) for i, variable in enumerate(model.weights)]


def _variables(model: Any) -> dict[str, Any]:
    counted = {f"counters/{name}": np.asarray(getattr(model.counters, name)) for name in _COUNTERS}
    learned = {f"statistics/{i}/{k}/{name}": array for i, k, name, array in _statistics(model)}
    return {**{name: variable.numpy() for name, variable in _named(model)}, **counted, **learned}


def _statistics(model: Any) -> list[tuple[int, int, str, Any]]:
    """What preprocessing has learned: of each state and the reward, of each of its layers, arrays by name."""
    found = [] if model.preprocessing is None else model.preprocessing.statistics()
    return [(i, k, name, part[name]) for i, parts in enumerate(found) for k, part in enumerate(parts) for name in part]


def _encoded(spec: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What of a specification JSON holds, and the names of the rest."""
    made, left_out = {}, []
    for name, value in spec.items():
        try:
            made[name] = json.loads(json.dumps(value, default=_array))
        except TypeError:
            left_out.append(name)
    return made, left_out


def _array(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{value!r} is no JSON")
