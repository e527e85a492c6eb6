"""Which weights files of an agent have their memory in a folder beside them: those of the savers that write again and again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import h5py

from kagent.files import segments as parts
from kagent.files.segments import SUFFIX, Segments

_ENDING = ".weights.h5"


class MemoryFolders:
    """The folders for large memories that an agent's periodic savers write, see `kagent.files.segments`.

    A weights file that is written otherwise holds all of its memory.
    """

    def __init__(self) -> None:
        self._segments: dict[str, Segments] = {}  # by folder
        self._backups: dict[str, Path] = {}  # folders of files that Keras's callbacks write, by file
        self._current: Path | None = None

    @contextlib.contextmanager
    def using(self, folder: Path) -> Iterator[None]:
        """Weights files that are written inside have this folder for large memories. What none names any more is deleted then, and so
        is what was written for a file that failed: it would keep a full disk full."""
        self._current = folder
        try:
            yield
        finally:
            self._current = None
            _sweep(self._at(folder))

    def use_for(self, files: Iterable[Path]) -> None:
        """These weights files have a folder from now on, each one of its own name, and those named earlier have none."""
        self._backups = {
            os.path.realpath(file): file.with_name(file.name.removesuffix(_ENDING) + SUFFIX) for file in files
        }

    def of(self, file: str) -> Segments | None:
        """Where the memory of a weights file that is about to be written goes; None: into the file."""
        folder = self._current or self._backups.get(os.path.realpath(file))
        return None if folder is None else self._at(folder)

    def end(self, file: str) -> None:
        """Deletes what no weights file names any more, after a backup was written or failed."""
        folder = self._backups.get(os.path.realpath(file))
        if folder is not None:
            _sweep(self._at(folder))

    def _at(self, folder: Path) -> Segments:
        return self._segments.setdefault(os.path.realpath(folder), Segments(folder))


def _sweep(segments: Segments) -> None:
    # Of weights files those beside the folder count, whichever saver wrote them, and copies of them.
    folder = segments.folder
    if not folder.is_dir():
        return
    named: set[str] = set()
    all_known = True
    for path in folder.parent.iterdir():
        if _ENDING not in path.name or path.name.startswith(".") or not path.is_file():
            continue
        try:
            path.open("rb").close()
        except FileNotFoundError:
            continue
        except OSError:  # as without a permission: it may be whole
            return
        try:
            with h5py.File(path, "r") as file:
                store = file.get("vars")  # other models of Keras have none
                name, cuts = parts.of_file({} if store is None else store)
        except Exception:  # a damaged file raises whatever HDF5 does
            all_known = False
            continue
        if name == folder.name:
            named |= {part for cut in cuts.values() for part, _ in cut.parts}
    segments.sweep(named, all_known)
