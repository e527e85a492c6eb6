"""Files that are there whole or not at all."""

import os
import time

import pytest

from kagent.files import local_directory, replacing


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing(target) as temporary:
        temporary.write_text("ne")
        raise RuntimeError
    assert names(tmp_path) == ["a.txt"] and target.read_text() == "old"


def test_what_a_killed_process_left_is_swept_up(tmp_path):
    target = tmp_path / "a[1].txt"
    left, writing, other = (
        tmp_path / name for name in (".a[1].txt.abcd1234.txt", ".a[1].txt.efgh5678.txt", ".b.txt.abcd1234.txt")
    )
    for path in (left, writing, other):
        path.write_text("half")
    long_ago = time.time() - 4000
    for path in (left, other):
        os.utime(path, (long_ago, long_ago))
    with replacing(target) as temporary:
        temporary.write_text("whole")
    # Another process may be writing the second one now; the third is of another file.
    assert names(tmp_path) == sorted([target.name, writing.name, other.name])
    assert target.read_text() == "whole"


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
