"""Files that are written by Keras and checked by kagent: a full disk is an `OSError`, a flipped bit is found.

A `.weights.h5` file ends in a trailer of 24 bytes: a name, the number of bytes before it, and their CRC-32. HDF5 does
not read it. Files of other programs, and those of kagent before there was one, have none and are taken as they are: they
end where HDF5 says that they end. A file that goes on behind that has lost its trailer. A `.keras` file is a zip archive,
which holds a CRC-32 of each member.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from typing import Any

import h5py

_TRAILER = struct.Struct("<8sQQ")
_NAME = b"kagent/1"
_PART = 1 << 24  # bytes read at once
_HDF5, _ADDRESS = b"\x89HDF\r\n\x1a\n", struct.Struct("<Q")
# By the version of HDF5's superblock, where it has the size of addresses, the base address and that of the end of the file.
_PLACES = {0: (13, 24, 40), 1: (13, 28, 44), 2: (9, 12, 28), 3: (9, 12, 28)}
_LONGEST_HEAD = 52  # bytes
_NO_ARCHIVE = (
    zipfile.BadZipFile, EOFError, NotImplementedError, OSError, OverflowError, RuntimeError, ValueError, struct.error
)  # fmt: skip


class DamagedFile(OSError, ValueError):
    """A file that is not as it was written.

    An `OSError` too, because Keras's `BackupAndRestore(double_checkpoint=True)` falls back to the file before for those.
    """


class CheckedFile(io.BytesIO):
    """An open file that Keras takes for a buffer in memory, so that HDF5 writes to it through Python.

    HDF5 ends the process (SIGSEGV) where a file that it opened itself cannot be completed. Here the first write that fails
    is kept in `error`, and what follows is dropped: HDF5 closes, and the error is raised after it. Keras checks only that
    it is an `io.BytesIO`, and how its `str` ends; that it goes on to do so is tested by
    `tests/files/test_checked_file.py`.

    Args:
        path: An existing file, which is overwritten.

    Attributes:
        error: The `OSError` of the first write that failed, or None.
    """

    def __init__(self, path: str):
        super().__init__()
        self._path = path
        self._file: io.FileIO | None = open(path, "r+b", buffering=0)
        self._position = self._end = 0
        self.error: OSError | None = None

    def __str__(self) -> str:
        return self._path

    def finish(self) -> None:
        """Closes the file on disk; what HDF5 may write after that is dropped.

        Raises:
            OSError: A write had failed.
        """
        file, self._file = self._file, None
        if file is not None:
            file.close()
        if self.error is not None:
            raise self.error

    def write(self, data: Any) -> int:
        part = memoryview(data).cast("B")
        if self._file is not None and self.error is None:
            try:
                self._file.seek(self._position)
                done = 0
                while done < len(part):
                    done += self._file.write(part[done:])
            except OSError as error:
                self.error = error
        self._position += len(part)
        self._end = max(self._end, self._position)
        return len(part)

    def truncate(self, size: int | None = None) -> int:
        size = self._position if size is None else size
        if self._file is not None and self.error is None:
            try:
                self._file.truncate(size)
            except OSError as error:
                self.error = error
        self._end = size
        return size

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = 0
        if self._file is not None:
            self._file.seek(self._position)
            while count < len(view) and (read := self._file.readinto(view[count:])):
                count += read
        self._position += count
        return count

    def read(self, size: int | None = -1) -> bytes:
        size = max(self._end - self._position, 0) if size is None or size < 0 else size
        found = bytearray(size)
        return bytes(found[: self.readinto(found)])

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self._end)[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing to do: nothing is buffered here."""


def seal(path: str) -> None:
    """Appends the trailer to a `.weights.h5` file."""
    with open(path, "r+b") as file:
        size, checksum = _checksum(file)
        file.seek(0, os.SEEK_END)
        file.write(_TRAILER.pack(_NAME, size, checksum))


def check(path: Any) -> None:
    """Compares a `.weights.h5` or `.keras` file with the checksums in it, before anything of it is used.

    Raises:
        DamagedFile: They differ, or a `.keras` file is no zip archive.
        OSError: It cannot be read.
    """
    if str(path).endswith(".keras"):
        _check_archive(path)
        return
    with open(path, "rb") as file:
        length = file.seek(0, os.SEEK_END) - _TRAILER.size
        if length < 0 or not h5py.is_hdf5(path):
            raise DamagedFile(f"{str(path)!r} is damaged, or no weights file: HDF5 does not know it")
        file.seek(length)
        trailer = file.read(_TRAILER.size)
        name, size, checksum = _TRAILER.unpack(trailer)
        if name == _NAME:
            if (size, checksum) != (length, _checksum(file, length)[1]):
                raise DamagedFile(f"{str(path)!r} is damaged: it is not what was written. Its checksum differs")
            return
        end = _end_of_hdf5(file)
        if end is not None and end != length + _TRAILER.size:
            what = "it is cut" if end > length + _TRAILER.size else "its checksum was cut or overwritten"
            raise DamagedFile(f"{str(path)!r} is damaged: {what}")


def _end_of_hdf5(file: Any) -> int | None:
    """Where an HDF5 file says that it ends, in bytes; None: it is none, or its addresses do not begin at its first byte.

    HDF5 checks only that a file is not shorter. Disks lose whole blocks, most often the last ones.
    """
    file.seek(0)
    head = file.read(_LONGEST_HEAD)
    places = None if len(head) < _LONGEST_HEAD or not head.startswith(_HDF5) else _PLACES.get(head[8])
    if places is None or head[places[0]] != _ADDRESS.size:
        return None
    base, end = (_ADDRESS.unpack_from(head, place)[0] for place in places[1:])
    return end if base == 0 else None


def _checksum(file: Any, size: int | None = None) -> tuple[int, int]:
    # Bytes and CRC-32 of the first `size` bytes of a file, or of all.
    file.seek(0)
    left = os.fstat(file.fileno()).st_size if size is None else size
    checksum = total = 0
    while left > 0 and (part := file.read(min(left, _PART))):
        checksum = zlib.crc32(part, checksum)
        total, left = total + len(part), left - len(part)
    return total, checksum


def _check_archive(path: Any) -> None:
    with open(path, "rb") as opened:  # what keeps it from being read at all is no damage
        try:
            with zipfile.ZipFile(opened) as archive:
                missing = {"config.json", "model.weights.h5"} - set(archive.namelist())
                if missing:
                    raise zipfile.BadZipFile(f"it has no member {sorted(missing)}")
                stored = sum(member.compress_size for member in archive.infolist())
                if stored > os.fstat(opened.fileno()).st_size:  # the same bytes would be read again and again
                    raise zipfile.BadZipFile("its members lie over each other")
                for member in archive.infolist():
                    if member.compress_type != zipfile.ZIP_STORED:
                        continue  # Keras stores; how far others may expand is bounded where they are read
                    with archive.open(member) as file:
                        while file.read(_PART):
                            pass
        except _NO_ARCHIVE as error:
            raise DamagedFile(f"{str(path)!r} is damaged: {error}") from error
