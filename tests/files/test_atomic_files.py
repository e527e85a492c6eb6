"""Files that are there whole or not at all."""

import errno
import fcntl
import os
import time

import pytest

from kagent.files import atomic_files
from kagent.files.atomic_files import local_directory, replacing, replacing_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing(target) as temporary:
        temporary.write_text("ne")
        raise RuntimeError
    assert names(tmp_path) == ["a.txt"] and target.read_text() == "old"


def test_what_a_killed_process_left_is_swept_up_at_once(tmp_path):
    target = tmp_path / "a[1].txt"
    left, writing, other = (
        tmp_path / name for name in (".a[1].txt.abcd1234.txt", ".a[1].txt.efgh5678.txt", ".b.txt.abcd1234.txt")
    )
    for path in (left, writing, other):
        path.write_text("half")
    with open(writing) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as a process has it that writes now
        with replacing(target) as temporary:
            temporary.write_text("whole")
            with replacing(target) as second:  # nor is what this process is writing swept up
                second.write_text("first")
            assert temporary.exists()
    # The third is of another file.
    assert names(tmp_path) == sorted([target.name, writing.name, other.name])
    assert target.read_text() == "whole"


def test_without_locks_what_is_an_hour_old_is_swept_up(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_files, "fcntl", None)
    left, fresh = tmp_path / ".a.txt.abcd1234.txt", tmp_path / ".a.txt.efgh5678.txt"
    for path in (left, fresh):
        path.write_text("half")
    os.utime(left, (time.time() - 4000,) * 2)
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
    assert names(tmp_path) == [fresh.name, "a.txt"]


def test_a_disk_that_is_full_is_named_with_what_is_free(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(OSError, match=r"No space left on device.*\d+ bytes are free there.*a\.txt") as raised:
        with replacing(target):
            with open("/dev/full", "w") as full:
                full.write("new")
    assert raised.value.filename == str(target) and raised.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="No space left on device") as raised, replacing(target):
        try:
            with replacing(tmp_path / "b.txt"), open("/dev/full", "w") as full:
                full.write("new")
        except OSError as error:
            raise error.with_traceback(None) from None  # as Keras does with what is raised inside of `save_weights`
    assert str(raised.value).count("bytes are free") == 1 and raised.value.filename == str(tmp_path / "b.txt")
    with pytest.raises(FileNotFoundError, match="elsewhere"), replacing(target):  # of another file: as it is
        open(tmp_path / "elsewhere").close()
    assert target.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_place_where_nothing_can_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder" / "inside").mkdir(parents=True)

    def refused(path, error):
        with pytest.raises(error, match="nothing can be written there") as raised, replacing(path) as temporary:
            temporary.write_text("new")
        return raised.value.filename

    assert refused(tmp_path / "file" / "a.txt", FileExistsError) == str(tmp_path / "file")
    assert refused(tmp_path / "folder", IsADirectoryError) == str(tmp_path / "folder")

    def forbidden(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", ".a.txt.abcd1234.txt")

    monkeypatch.setattr("tempfile.mkstemp", forbidden)
    assert refused(tmp_path / "a.txt", PermissionError) == str(tmp_path / "a.txt")
    monkeypatch.setattr("tempfile.mkdtemp", forbidden)
    with (
        pytest.raises(PermissionError, match="nothing can be written there"),
        replacing_folder(tmp_path / "new", ["a"]),
    ):
        pass
    assert names(tmp_path) == ["file", "folder"] and (tmp_path / "file").read_text() == "old"


def test_local_directories(tmp_path):
    assert local_directory(str(tmp_path)) == local_directory(tmp_path) == tmp_path
    assert not local_directory(tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    for wrong, error in (
        (3, TypeError),
        (b"x", TypeError),
        ("", ValueError),
        ("gs://x", ValueError),
        ("a\0b", ValueError),
    ):
        with pytest.raises(error, match=r"`place` must be a path.*Received"):
            local_directory(wrong, "place")
    with pytest.raises(ValueError, match=r"`place` must be a directory, not a file"):
        local_directory(tmp_path / "file", "place")
