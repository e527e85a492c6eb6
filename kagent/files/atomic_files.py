"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

_ABANDONED = 3600.0  # seconds
_NAMED = 40  # characters of a file's name in that of the temporary one
# What a disk says that cannot take a file: full, over quota, file too large, broken, read-only.
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
_MARK = "names_file_and_room"  # an attribute of errors that do


@contextlib.contextmanager
def beside(path: str | Path, suffix: str) -> Iterator[str]:
    """A temporary path in the same folder, which takes the place of `path` when the block ends without an error.

    Raises:
        OSError: Nothing can be written there, or the disk cannot take the file. The error names `path`, of a disk also the bytes
            that are free.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "There is no such folder to write a file to", str(target))
    sweep(target.parent, target.name, suffix)
    with naming_the_disk(target):
        with _naming(target):
            handle, temporary = _temporary(target, suffix)
        try:
            yield temporary
            with open(temporary, "rb+") as written:
                os.fsync(written.fileno())
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)
            with _naming(target):
                os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        finally:
            if handle is not None:
                os.close(handle)
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(target.parent or ".", os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def naming_the_disk(target: Path) -> Iterator[None]:
    """Adds `target` and the bytes that are free in its folder to errors of a disk that cannot take a file."""
    try:
        yield
    except OSError as error:
        if error.errno not in _OF_THE_DISK or _MARK in vars(error):  # Keras drops the causes of errors
            raise
        try:
            free = f"{shutil.disk_usage(target.parent or '.').free} bytes are free there"
        except OSError:
            free = "what is free there is unknown"
        message = f"{error.strerror or error}: the file could not be written, and {free}"
        named = OSError(error.errno, message, str(target))
        vars(named)[_MARK] = True
        raise named from error


@contextlib.contextmanager
def _naming(target: Path) -> Iterator[None]:
    """Adds `target` to errors of a place where nothing can be written; those of the disk are `naming_the_disk`'s."""
    try:
        yield
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            raise
        raise OSError(error.errno, f"{error.strerror or error}: nothing can be written there", str(target)) from error


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, where they are not there.

    Raises:
        OSError: Nothing can be written there, or the disk cannot take it. The error names `folder`.
    """
    with naming_the_disk(folder), _naming(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _temporary(target: Path, suffix: str) -> tuple[int | None, str]:
    # Locked until its handle is closed, which the end of the process does too: `_is_abandoned` looks for the lock.
    while True:
        handle, temporary = tempfile.mkstemp(suffix=suffix, prefix=_prefix(target), dir=target.parent or ".")
        if fcntl is None:
            os.close(handle)
            return None, temporary
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.exists(temporary):  # nobody swept it up before it was locked
            return handle, temporary
        os.close(handle)


def lock(handle: int) -> bool:
    """Locks an open file for this handle alone, until it is closed or its process ends; False where another handle has it.

    Without locks, as on Windows and on some file systems, every handle gets it.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _prefix(target: Path) -> str:
    return f".{target.name[:_NAMED]}."


def sweep(folder: Path, name: str, suffix: str, series: bool = False) -> None:
    """Deletes what processes that were killed while they wrote a file left beside it.

    Args:
        folder: Where.
        name: The file's name.
        suffix: As for `beside`.
        series: Whether `name` is only what the names of several files begin with.
    """
    cut = glob.escape(name[:_NAMED]) + ("*" if series else "")
    for left in folder.glob(f".{cut}.????????{glob.escape(suffix)}"):
        with contextlib.suppress(OSError):
            if _is_abandoned(left):
                left.unlink()


def _is_abandoned(left: Path) -> bool:
    old = time.time() - left.stat().st_mtime > _ABANDONED  # nobody writes to a file for an hour without touching it
    if fcntl is None:
        return old
    handle = os.open(left, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # somebody writes it now
        return False
    except OSError:
        return old
    finally:
        os.close(handle)
    return True


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path beside `path` to write to, with the same suffix, which takes its place if nothing goes wrong.

    Args:
        path: The file to make or to replace; its folder is made if need be.

    Raises:
        OSError: As for `beside`.

    Example:

    >>> with replacing("/tmp/kagent_note.txt") as temporary:
    ...     _ = temporary.write_text("whole or not at all")
    """
    path = Path(path)
    make_folder(path.parent)
    with beside(path, path.suffix) as temporary:
        yield Path(temporary)


@contextlib.contextmanager
def replacing_folder(path: str | Path, members: Collection[str]) -> Iterator[Path]:
    """An empty folder beside `path` to write to, which takes its place if nothing goes wrong.

    Args:
        path: The folder to make or to replace; its own folder is made if need be.
        members: Names of all that a folder may hold which is replaced.

    Raises:
        ValueError: At `path` is a file, or a folder that holds something else, which would be lost.
        OSError: As for `beside`.
    """
    folder = Path(os.path.realpath(path))
    if folder.is_dir():
        strangers = sorted(set(os.listdir(folder)) - set(members))
        if strangers:
            raise ValueError(
                f"{str(path)!r} holds {strangers[:4]}, which would be lost with the folder. Give a new or an empty folder"
            )
    elif folder.exists():
        raise ValueError(f"{str(path)!r} is a file. Give a new or an empty folder")
    make_folder(folder.parent)
    with _naming(folder):
        opened = tempfile.TemporaryDirectory(prefix=".kagent", dir=folder.parent)
    with naming_the_disk(folder), opened as temporary:
        new, old = Path(temporary, "new"), Path(temporary, "old")
        new.mkdir()
        yield new
        for written in new.rglob("*"):
            if written.is_file():
                with written.open("rb+") as file:
                    os.fsync(file.fileno())
        if folder.exists():
            os.rename(folder, old)
        try:
            os.rename(new, folder)
        except BaseException:
            if old.exists():
                os.rename(old, folder)
            raise


def local_directory(directory: Any, argument: str = "directory") -> Path:
    """A path where a directory is, or may be made.

    Args:
        directory: What was received.
        argument: Its name.

    Raises:
        TypeError: No path.
        ValueError: Not one on this machine, or of a file.
    """
    path = local_path(directory, argument)
    if os.path.lexists(path) and not path.is_dir():
        raise ValueError(f"`{argument}` must be a directory, not a file. Received: {str(path)!r}")
    return path


def local_path(value: Any, argument: str) -> Path:
    """A path on this machine.

    Raises:
        TypeError: No path.
        ValueError: One of another machine, or empty.
    """
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str):
        raise TypeError(f"`{argument}` must be a path. Received: {value!r} ({type(value).__name__})")
    if not path or "\0" in path or "://" in path:
        raise ValueError(f"`{argument}` must be a path on this machine. Received: {path!r}")
    return Path(path)


@contextlib.contextmanager
def errors_of_tensorflow() -> Iterator[None]:
    """Raises TensorFlow's errors of a disk that cannot take a file as an `OSError`."""
    try:
        yield
    except Exception as error:
        message = str(error)
        found = [code for code in sorted(_OF_THE_DISK) if os.strerror(code) in message]
        if isinstance(error, OSError) or not found:
            raise
        raise OSError(found[0], f"{os.strerror(found[0])} ({words_of(error)})") from error


def words_of(error: BaseException) -> str:
    """What an error of TensorFlow says, in one line and without the names of its operations."""
    return " ".join(re.sub(r"\{\{.*?\}\} ?|\s*\[Op:\w*\]( name: ?)?", "", str(error)).split())
