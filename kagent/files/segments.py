"""Large arrays in a folder beside a weights file, of which each save writes the new parts only.

An array is cut at rows that stay the same. A part is a file that holds the bytes of its rows and is named by their digest, so that
it never changes, and what two saves have in common is there once. Who keeps the array may know which rows stayed the same: these are
neither read nor hashed. The weights file names the parts and is written after them: it is whole from the moment on at which it takes
the place of the one before, and parts that no weights file names are deleted after that.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kagent.files import atomic_files
from kagent.files.atomic_files import beside
from kagent.files.checked_file import DamagedFile
from kagent.files.stored_state import read_text

SUFFIX = ".segments"  # of the folder
LEAST = 16 << 20  # bytes of an array that has parts of its own
PART = 8 << 20  # bytes of a part, about
KINDS = "biuf"  # of the dtypes of arrays that have parts
LARGEST = 64 << 20  # bytes of a part at most
_PART_SUFFIX = ".part"  # while it is written
_NAME = re.compile(r"[0-9a-f]{64}")


class Cut(NamedTuple):
    """An array in parts, as a weights file names it.

    Attributes:
        dtype: Its name, as `"uint8"`.
        shape: Of a row.
        parts: Digests in the order of the rows, with the rows of each.
    """

    dtype: str
    shape: tuple[int, ...]
    parts: tuple[tuple[str, int], ...]

    @classmethod
    def check(cls, name: str, found: Any) -> Cut:
        """What a file says of an array.

        Raises:
            ValueError: No array is cut so.
        """
        try:
            cut = cls(found["dtype"], tuple(found["shape"]), tuple((part, rows) for part, rows in found["parts"]))
            fits = np.dtype(cut.dtype).name == cut.dtype and np.dtype(cut.dtype).kind in KINDS
        except (KeyError, TypeError, ValueError, SyntaxError):
            fits = False
        if (
            not fits
            or not all(_is_count(length) for length in (*cut.shape, *(rows for _, rows in cut.parts)))
            or not all(isinstance(part, str) and _NAME.fullmatch(part) for part, _ in cut.parts)
            or any(rows * cut.row_bytes > LARGEST for _, rows in cut.parts)
        ):
            raise ValueError(f"The file's memory is damaged: no array is cut as {name!r} is")
        return cut

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


class Segments:
    """The parts in a folder. One process writes to it at a time.

    Args:
        folder: Its path ends in `SUFFIX`; it is made when the first part is written.

    Attributes:
        written: Bytes that `write` wrote, of all its calls together.
        hashed: Bytes whose digests it took.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.written = self.hashed = 0
        self._own: set[str] = set()  # parts that this object wrote
        self._whole: set[str] = set()  # parts that it wrote, or read and found whole
        self._marked: dict[Hashable, str] = {}  # parts by their marks

    def write(
        self,
        array: Any,
        cuts: Sequence[int] | np.ndarray | None = None,
        mark: Callable[[int, int], Hashable] | None = None,
    ) -> Cut:
        """Writes the parts of an array that are not there yet, and flushes them to disk.

        Args:
            array: `(N, ...)`, an array or an object with `len` whose slices are arrays. A row has at most `LARGEST` bytes.
            cuts: The rows that parts begin with; None: so many rows each as take 8 MiB.
            mark: From the first row of a part and the one behind its last to what stands for its bytes: a part with the mark of an
                earlier one has the same, and is not read. None: nobody knows.

        Raises:
            OSError: The disk cannot take a part. Those that are there stay as they are.
        """
        head = array[:1]
        size = max(1, head.nbytes)
        begins = range(0, len(array), max(1, PART // size)) if cuts is None else [int(cut) for cut in cuts]
        parts = []
        for first, end in zip(begins, [*begins[1:], len(array)]):
            for begin in range(first, end, max(1, LARGEST // size)):
                stop = min(begin + max(1, LARGEST // size), end)
                known = None if mark is None else mark(begin, stop)
                name = self._marked.get(known, "")
                if not name or not self._is_there(name, (stop - begin) * head.nbytes):
                    part = np.ascontiguousarray(array[begin:stop])
                    name = self._keep(part.reshape(-1).view(np.uint8).data)
                    if known is not None:
                        self._marked[known] = name
                parts.append((name, stop - begin))
        return Cut(head.dtype.name, head.shape[1:], tuple(parts))

    def _keep(self, content: memoryview) -> str:
        self.hashed += len(content)
        name = hashlib.sha256(content).hexdigest()
        if self._is_there(name, len(content)):
            return name
        _make(self.folder)
        with beside(self.folder / name, _PART_SUFFIX) as temporary, open(temporary, "wb") as file:
            file.write(content)
        self.written += len(content)
        self._own.add(name)
        self._whole.add(name)
        return name

    def _is_there(self, name: str, size: int) -> bool:
        try:
            if name in self._whole:
                return (self.folder / name).stat().st_size == size
            read(self.folder, name, size)  # of an earlier process: it may be damaged
        except OSError:
            return False
        self._whole.add(name)
        return True

    def sweep(self, named: Collection[str], all_known: bool = True) -> None:
        """Deletes the parts that no weights file names, and the folder where none is left.

        Args:
            named: Parts that weights files name.
            all_known: Whether these are all of them. If not, only parts that this object wrote are deleted: a weights file that
                cannot be read may need the others.
        """
        if not self.folder.is_dir() or self.folder.is_symlink():
            return
        self._marked = {mark: part for mark, part in self._marked.items() if part in named}
        # What a process left that was killed while it wrote.
        atomic_files.sweep(self.folder, "", _PART_SUFFIX, series=True)
        for path in self.folder.iterdir():
            if _NAME.fullmatch(path.name) and path.name not in named and (all_known or path.name in self._own):
                self._own.discard(path.name)
                self._whole.discard(path.name)
                with contextlib.suppress(OSError):  # the next sweep tries again
                    path.unlink()
        with contextlib.suppress(OSError):
            self.folder.rmdir()  # if it is empty


def _make(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise FileExistsError(errno.EEXIST, "The folder for the parts of a memory is a link or a file", str(folder))
    folder.mkdir(exist_ok=True)


def read(folder: Path, name: str, size: int) -> bytes:
    """The bytes of a part.

    Args:
        folder: Where it is.
        name: Its digest.
        size: How many bytes it has.

    Raises:
        DamagedFile: It is not there, no plain file, of another size, or not what was written.
        OSError: It cannot be read.
    """
    path = folder / name
    flags = [
        getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")
    ]  # a pipe would wait for its writer
    try:
        handle = os.open(path, os.O_RDONLY | sum(flags))
    except FileNotFoundError:
        raise DamagedFile(f"A part of the memory is gone: {str(path)!r}") from None
    except OSError as error:
        strange = {errno.ELOOP: "a link", errno.ENXIO: "no file"}.get(error.errno or 0)
        if strange is not None:
            raise DamagedFile(f"A part of the memory is {strange}: {str(path)!r}") from None
        raise
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise DamagedFile(f"A part of the memory is no file: {str(path)!r}")
        if found.st_size != size:
            raise DamagedFile(f"A part of the memory has {found.st_size} bytes and not {size}: {str(path)!r}")
        with open(handle, "rb", closefd=False) as file:
            content = file.read(size)
    finally:
        os.close(handle)
    if hashlib.sha256(content).hexdigest() != name:
        raise DamagedFile(f"A part of the memory is not what was written: {str(path)!r}")
    return content


def opened(folder: Path, cuts: Mapping[str, Cut], room: int | None) -> dict[str, Iterator[np.ndarray]]:
    """Arrays that `Segments.write` wrote, each as an iterator of its parts, which are read and compared one at a time.

    Args:
        folder: Where the parts are.
        cuts: By the names of the arrays.
        room: Bytes which parts that are named more than once may take together; None: there is no bound.

    Raises:
        DamagedFile: The folder is not there, or parts are named again and again.
    """
    if not folder.is_dir() or folder.is_symlink():
        raise DamagedFile(
            f"The memory of this file is in the folder {str(folder)!r}, which is not there. A checkpoint moves with its folder"
        )
    sizes = [(part, rows * cut.row_bytes) for cut in cuts.values() for part, rows in cut.parts]
    repeated = sum(size for _, size in sizes) - sum(dict(sizes).values())
    if room is not None and repeated > room:
        raise DamagedFile(f"The parts of the memory are named again and again, for {repeated} bytes")

    def parts(cut: Cut) -> Iterator[np.ndarray]:
        for name, rows in cut.parts:
            content = read(folder, name, rows * cut.row_bytes)
            yield np.frombuffer(content, np.dtype(cut.dtype)).reshape(rows, *cut.shape)

    return {name: parts(cut) for name, cut in cuts.items()}


def description(folder: str, cuts: Mapping[str, Cut]) -> dict[str, Any]:
    """What a weights file holds of the arrays in its folder, JSON-ready.

    Args:
        folder: Its name.
        cuts: By the names of the arrays.
    """
    return {"folder": folder, "arrays": {name: cut._asdict() for name, cut in cuts.items()}}


def described(about: Mapping[str, Any]) -> tuple[str, dict[str, Cut]]:
    """The inverse of `description`.

    Args:
        about: What a weights file says of its memory; its item `segments`, where there is one, is the description.

    Raises:
        ValueError: It is damaged, or names something else than a folder beside the file.
    """
    if "segments" not in about:
        return "", {}
    try:
        name, arrays = about["segments"]["folder"], dict(about["segments"]["arrays"])
    except (KeyError, TypeError, ValueError):
        raise ValueError("The file's memory is damaged: its segments are not described") from None
    bare = (
        isinstance(name, str) and name.endswith(SUFFIX) and not name.startswith(".") and not set(name) & set("/\\:\0")
    )
    if not bare:
        raise ValueError(f"The file's memory must be in a folder beside it. Received: {name!r}")
    return name, {str(array): Cut.check(str(array), cut) for array, cut in arrays.items()}


def of_file(store: Any) -> tuple[str, dict[str, Cut]]:
    """`described`, of a weights file.

    Args:
        store: Its group `vars`.

    Raises:
        ValueError, KeyError: It is damaged.
    """
    return described(json.loads(read_text(store, "memory"))) if "memory" in store else ("", {})
