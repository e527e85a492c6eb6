"""Arrays in files, for memories that are larger than the machine's own memory."""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

_ZEROS = bytes(1 << 20)


class MappedFile:
    """An array in a file of a directory. The system keeps what is used of it in memory, and the rest on the disk.

    The file has no name: it is nobody else's, whoever uses the directory, and its room is free again when the array and all views of
    it are gone, however the process ends. Rows are used only after `reserve` has taken their room on the disk, because the system
    ends a process (SIGBUS) that writes where there is none.

    Args:
        directory: Where; it is made if need be.
        shape, dtype: Of the array, which is zeros.
        rows: How many rows have room at first; None: all.

    Attributes:
        array: The array.

    Raises:
        ValueError: The disk has not so much room.
    """

    def __init__(self, directory: Path, shape: tuple[int, ...], dtype: str, rows: int | None = None):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._row = math.prod(shape[1:]) * np.dtype(dtype).itemsize
        self._reserved = 0
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)
        self.reserve(shape[0] if rows is None else rows)
        os.ftruncate(self._file.fileno(), shape[0] * self._row)
        self.array: np.ndarray = np.memmap(self._file, np.dtype(dtype), "r+", shape=shape).view(np.ndarray)

    def reserve(self, rows: int) -> None:
        """Takes room on the disk for the first rows.

        Args:
            rows: How many; there may be room for more already.

        Raises:
            ValueError: The disk has not so much room.
        """
        begin, size = self._reserved, rows * self._row - self._reserved
        if size <= 0:
            return
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file.fileno(), begin, size)
            else:
                for place in range(begin, begin + size, len(_ZEROS)):
                    self._file.seek(place)
                    self._file.write(_ZEROS[: begin + size - place])
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise ValueError(
                f"The `memory` needs {size / 2**30:.1f} GiB more in {str(self.directory)!r}, and {free_space(self.directory) / 2**30:.1f}"
                " GiB are free there. Give it a smaller capacity, or another directory"
            ) from error
        self._reserved = begin + size


def free_space(directory: Path) -> int:
    """Bytes that are free on the disk of a directory, which need not exist yet."""
    there = next(folder for folder in (directory, *directory.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free
