"""Files that hold more than their size says: how far they unpack is checked before they are read."""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from kagent.files import run_folder
from kagent.files.checked_file import DamagedFile

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
_RATIO = 20  # of what is unpacked to what is stored; kagent and Keras write neither compressed
_FREE = 64 << 20  # bytes that are always allowed
_LARGEST_CONFIG = 8 << 20  # bytes
_MOST_ENTRIES = 100_000


@contextlib.contextmanager
def reading(path: Any) -> Iterator[None]:
    """Whatever a damaged file makes its readers raise becomes a ValueError that names it.

    `OSError` of the system (it cannot be read) and `ValueError` (bad content) stay as they are; those of HDF5 and JSON, which do
    not name the file, become a `DamagedFile`.
    """
    try:
        yield
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DamagedFile(f"{str(path)!r} is damaged: {error}") from error
    except (ValueError, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise DamagedFile(f"{str(path)!r} is damaged: {error}") from error
    except Exception as error:
        raise ValueError(f"{str(path)!r} cannot be read: {type(error).__name__}: {error}") from error


def read_config(path: Any) -> dict[str, Any]:
    """The `config.json` of a `.keras` file, or of the directory of one, after a check of all that is beside it.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no such file, damaged, or unpacks to far more than it is.
    """
    path = Path(path)
    with reading(path):
        if path.is_dir():
            if told := run_folder.hint(path):
                raise ValueError(f"{str(path)!r} is not the directory of a .keras file{told}")
            with (path / CONFIG).open("rb") as file:
                text = file.read(_LARGEST_CONFIG + 1)
        else:
            text = _unzipped(path)
        if len(text) > _LARGEST_CONFIG:
            raise ValueError(f"{CONFIG} in {str(path)!r} has more than {_LARGEST_CONFIG} bytes")
        config = json.loads(text)
        if not isinstance(config, dict):
            raise ValueError(f"{CONFIG} in {str(path)!r} must hold an object. Received: {type(config).__name__}")
        return config


def weights_size(path: Any) -> int:
    """Bytes that the weights of a `.keras` file have, or of the directory of one."""
    path = Path(path)
    if path.is_dir():
        return os.path.getsize(path / WEIGHTS)
    with zipfile.ZipFile(path) as archive:
        return archive.getinfo(WEIGHTS).file_size


def _unzipped(path: Path) -> bytes:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            stored = min(sum(member.compress_size for member in members), os.fstat(file.fileno()).st_size)
            _check(f"{str(path)!r}", len(names), sum(member.file_size for member in members), stored)
            if len(set(names)) != len(names):
                raise ValueError(f"{str(path)!r} holds a file twice")
            for name in (CONFIG, WEIGHTS):
                if name not in names:
                    raise ValueError(f"{str(path)!r} holds no {name}: it was not saved by a kagent agent")
            if archive.getinfo(CONFIG).file_size > _LARGEST_CONFIG:
                raise ValueError(f"{CONFIG} in {str(path)!r} has more than {_LARGEST_CONFIG} bytes")
            return archive.read(CONFIG)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{str(path)!r} is not a readable .keras file: {error}") from error


def check_store(store: Any) -> None:
    """`check_hdf5` of the file behind what Keras hands to `load_own_variables`, before it reads anything from it.

    The agent comes first of all that Keras loads. That the file is at `h5_file` Keras does not document;
    `tests/files/test_packed.py` breaks if it moves.
    """
    file = getattr(store, "h5_file", None)
    if isinstance(file, h5py.File):
        check_hdf5(file)


def check_hdf5(file: h5py.File) -> None:
    """Checks how large the data sets of an HDF5 file are, and that they are in it.

    Raises:
        ValueError: They unpack to far more than the file, or lie in other files.
    """
    sizes: list[int] = []

    def visit(name: str, entry: Any) -> None:
        if not isinstance(entry, h5py.Dataset):
            return
        if entry.external or entry.is_virtual:
            raise ValueError(f"The data set {name!r} lies in another file")
        sizes.append(entry.nbytes)

    file.visititems(visit)
    _check("The file", len(sizes), sum(sizes), file.id.get_filesize())


def _check(what: str, count: int, unpacked: int, stored: int) -> None:
    if count > _MOST_ENTRIES:
        raise ValueError(f"{what} has {count} entries. At most {_MOST_ENTRIES} are taken")
    if unpacked > _FREE + _RATIO * stored:
        raise ValueError(
            f"{what} would unpack to {unpacked} bytes from {stored}. At most {_RATIO} times as many are taken"
        )
