"""An actor on disk: `actor.json` and `actor.npz`, in a directory or among the assets of a `.keras` file.

Files come from anywhere: nothing is unpickled, and what a header declares is compared with what is there
before memory is taken for it.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from kagent.files import run_folder
from kagent.files.atomic_files import replacing

JSON, NPZ = "actor.json", "actor.npz"
VERSION = 1
STANDARDIZED = 2  # with "standardization", which readers of version 1 would leave out
RECURRENT = 3  # with "network_state", and perhaps "standardization"
REFUSED = 4  # no actor, but "reason"
_MAX_JSON = 1 << 24  # bytes
_LONGEST = 500  # characters of a reason
_HEADERS = 1 << 12  # bytes, more than zip and npy headers of one array take


class NoActor(ValueError):
    """A file of an agent without a NumPy form, which says why: `reason`."""

    def __init__(self, path: Path, reason: str):
        super().__init__(
            f"{str(path)!r} is of an agent that the NumPy actor cannot compute: {reason!r}. Load it with kagent.load"
        )
        self.reason = reason


def write(directory: Path, content: dict[str, Any], flat: np.ndarray) -> None:
    """Writes both files beside those that are there, which stay as they are where the disk takes no more.

    Args:
        directory: Made if it does not exist.
        content: What `about` is to give back, JSON-ready.
        flat: The weights, float32 `(size,)`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    flat = np.ascontiguousarray(flat, "<f4")
    version = STANDARDIZED if "standardization" in content else VERSION
    version = RECURRENT if "network_state" in content else version
    text = json.dumps({"version": version, "checksum": zlib.crc32(flat.tobytes()), **content}, allow_nan=False)
    with replacing(directory / NPZ) as weights_file, replacing(directory / JSON) as about_file:
        about_file.write_text(text, encoding="utf-8")
        np.savez(weights_file, weights=flat)


def refuse(directory: Path, reason: str) -> None:
    """Writes that there is no actor, and why. `about` reads it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / JSON).write_text(json.dumps({"version": REFUSED, "reason": reason[:_LONGEST]}), encoding="utf-8")


def about(path: Path) -> dict[str, Any]:
    """The parsed `actor.json` of a `.keras` file, of the folder of one, or of a directory that `write` wrote.

    Raises:
        FileNotFoundError: There is nothing at `path`.
        ValueError: Not such a file, or too large; or of an agent without a NumPy form.
    """
    try:
        parsed = json.loads(_member(path, JSON, _MAX_JSON))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{JSON} in {str(path)!r} is not JSON: {error}") from error
    version = parsed.get("version") if isinstance(parsed, dict) else None
    if type(version) is int and version == REFUSED:
        raise NoActor(path, str(parsed.get("reason"))[:_LONGEST])
    found = [isinstance(parsed.get(name), list) for name in ("standardization", "network_state")] if version else []
    allowed = {VERSION: [[False, False]], STANDARDIZED: [[True, False]], RECURRENT: [[False, True], [True, True]]}
    if type(version) is not int or found not in allowed.get(version, []):
        known = f"{VERSION}, {STANDARDIZED} with a standardization, or {RECURRENT} with a network's state"
        raise ValueError(f"{JSON} in {str(path)!r} must be of version {known}. Received: {version!r}")
    if parsed.get("preprocessing"):  # files of before there was a reason
        raise ValueError(
            f"{str(path)!r} is of an agent with `preprocessing` that the NumPy actor does not do: load it with kagent.load. "
            "Allowed: running and exponential normalization of observations"
        )
    result: dict[str, Any] = parsed
    return result


def weights(path: Path, size: int, checksum: Any = None) -> np.ndarray:
    """The weights in `actor.npz`, read-only float32 `(size,)`.

    Args:
        path: As for `about`.
        size: How many numbers are expected; no more than they need is read.
        checksum: CRC-32 of their bytes, as `actor.json` says it; None in files of before it did.

    Raises:
        ValueError: Something else is in it, such as the weights of another save.
    """
    npz = io.BytesIO(_member(path, NPZ, 4 * size + 2 * _HEADERS))
    raw = _unzip(npz, "weights.npy", 4 * size + _HEADERS, NPZ)
    stream = io.BytesIO(raw)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError(f"{NPZ} in {str(path)!r} has a header of another version than 1.0")
    # The header is compared before the array is made: it could declare any size.
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    if shape != (size,) or dtype != np.dtype("<f4") or len(raw) - stream.tell() != 4 * size:
        raise ValueError(f"{NPZ} must hold {size} float32 numbers. Received: shape {shape}, dtype {dtype}")
    found = np.frombuffer(raw, "<f4", offset=stream.tell())
    if checksum is not None and checksum != zlib.crc32(found.tobytes()):
        raise ValueError(f"{NPZ} holds other weights than those of {JSON}: it is damaged, or of another save")
    return found


def _member(path: Path, name: str, limit: int) -> bytes:
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}")
    if not path.is_dir():
        with path.open("rb") as file:
            return _unzip(file, f"assets/{name}", limit, str(path))
    inside = path / name
    if not inside.is_file():
        inside = path / "assets" / name  # of a `.keras` archive that is a folder
    if not inside.is_file():
        raise ValueError(
            f"{str(path)!r} holds no {name}: it is not the directory of a saved actor{run_folder.hint(path)}"
        )
    if inside.stat().st_size > limit:
        raise ValueError(f"{str(inside)!r} is larger than {limit} bytes. Received: {inside.stat().st_size}")
    return inside.read_bytes()


def _unzip(file: IO[bytes], name: str, limit: int, where: str) -> bytes:
    try:
        with zipfile.ZipFile(file) as archive:
            if name not in archive.namelist():
                raise ValueError(
                    f"{where!r} has no {name!r}: either it was not saved by a kagent agent, or the agent's "
                    "policy has layers that the NumPy actor does not know (then load it with kagent.load)"
                )
            # zipfile reads no more than the size declared here, however far the data would unpack.
            size = archive.getinfo(name).file_size
            if size > limit:
                raise ValueError(f"{name!r} in {where!r} is larger than {limit} bytes. Received: {size}")
            return archive.read(name)
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # a damaged file raises whatever its decompressor does
        raise ValueError(f"{where!r} is not a readable .keras file: {error}") from error
