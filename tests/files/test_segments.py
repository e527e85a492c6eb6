"""Parts of arrays in a folder: what is new is written, what nobody names is deleted, and strangers' descriptions are refused."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from kagent.files import segments
from kagent.files.segments import Cut, Segments


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "PART", 40)
    return tmp_path / "dqn.segments"


def rows(count):
    return np.arange(2 * count, dtype=np.float32).reshape(count, 2)  # 8 bytes each: 5 rows are a part


def read(folder, cut, room=0):
    return np.concatenate(list(segments.opened(folder, {"block": cut}, room)["block"]))


def parts(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_save_writes_the_parts_that_are_new(folder):
    store, array = Segments(folder), rows(12)
    first = store.write(array)
    assert [count for _, count in first.parts] == [5, 5, 2] and store.written == 12 * 8
    array[6] = 99
    second = store.write(array)
    assert store.written == 12 * 8 + 5 * 8 and len(parts(folder)) == 4
    assert (read(folder, second) == array).all() and read(folder, first)[6].tolist() == [12, 13]
    grown = Segments(folder).write(rows(13))  # of another process: rows 0 to 9 are there
    assert read(folder, grown).shape == (13, 2) and len(parts(folder)) == 5


def test_a_part_whose_mark_is_known_is_neither_read_nor_hashed(folder):
    store, array, versions = Segments(folder), rows(12), [0, 0, 0]

    def mark(begin, end):
        assert end == min(begin + 5, 12)
        return begin, versions[begin // 5]

    cut = store.write(array, mark=mark)
    assert store.hashed == 12 * 8
    array[6], versions[1] = 99, 1
    second = store.write(array, mark=mark)
    assert store.hashed == (12 + 5) * 8 and (read(folder, second) == array).all() and second.parts[0] == cut.parts[0]
    (folder / cut.parts[0][0]).unlink()  # what is gone is written again
    assert store.write(array, mark=mark) == second and store.hashed == (12 + 5 + 5) * 8
    store.sweep({part for part, _ in second.parts})
    assert len(store._marked) == 3  # without that of the part before
    versions[1] = 0  # whose mark is of bytes that are no longer known
    assert store.write(array, mark=mark) == second and store.hashed == (12 + 5 + 5 + 5) * 8


def test_parts_begin_where_the_array_says(folder, monkeypatch):
    cut = Segments(folder).write(rows(12), np.array([0, 3, 11]))
    assert [count for _, count in cut.parts] == [3, 8, 1] and (read(folder, cut) == rows(12)).all()
    monkeypatch.setattr(segments, "LARGEST", 24)  # no part is larger than what is read
    cut = Segments(folder).write(rows(12), np.array([0, 3, 11]))
    assert [count for _, count in cut.parts] == [3, 3, 3, 2, 1] and (read(folder, cut) == rows(12)).all()
    assert Cut.check("block", cut._asdict()) == cut


def test_parts_that_nobody_names_are_deleted_and_those_of_an_unreadable_file_stay(folder):
    before = Segments(folder).write(rows(5)).parts[0][0]
    store = Segments(folder)
    first, second = store.write(rows(5) + 1).parts[0][0], store.write(rows(5) + 2).parts[0][0]
    (folder / "note.txt").write_text("not a part")
    (folder / f".{first[:40]}.abcdefgh.part").touch()  # of a process that was killed
    store.sweep({second}, all_known=False)
    assert parts(folder) == sorted([before, second, "note.txt"])
    store.sweep({second})
    assert parts(folder) == sorted([second, "note.txt"])
    assert store.write(rows(5) + 1).parts[0][0] == first and first in parts(folder)  # written anew
    (folder / "note.txt").unlink()
    store.sweep(set())
    assert not folder.exists()


def test_a_part_that_is_damaged_or_gone_is_written_again_and_never_read(folder):
    array = rows(5)
    store = Segments(folder)
    cut = store.write(array)
    path = folder / cut.parts[0][0]
    for damage in (b"", bytes(40), bytes(41)):
        path.write_bytes(damage)
        with pytest.raises(segments.DamagedFile, match=r"has \d+ bytes and not 40|is not what was written"):
            read(folder, cut)
        assert Segments(folder).write(array) == cut and (read(folder, cut) == array).all()
    path.unlink()
    with pytest.raises(segments.DamagedFile, match="is gone"):
        read(folder, cut)
    assert store.write(array) == cut and (read(folder, cut) == array).all()
    os.replace(path, folder / "elsewhere")
    path.symlink_to(folder / "elsewhere")
    with pytest.raises(segments.DamagedFile, match="is a link"):
        read(folder, cut)
    path.unlink()
    for make in (os.mkdir, getattr(os, "mkfifo", os.mkdir)):  # reading a pipe would wait for ever
        make(path)
        with pytest.raises(segments.DamagedFile, match="is no file"):
            read(folder, cut)
        path.rmdir() if path.is_dir() else path.unlink()


def test_a_full_disk_leaves_what_is_there(folder, monkeypatch):
    store, array = Segments(folder), rows(10)
    cut = store.write(array)

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left.*bytes are free"):
            store.write(array + 1)
    assert len(parts(folder)) == 2 and (read(folder, cut) == array).all()
    folder.with_suffix(".other").symlink_to(folder)
    with pytest.raises(FileExistsError, match="a link or a file"):
        Segments(folder.with_suffix(".other")).write(array + 1)


def test_descriptions_from_strangers_are_refused(folder):
    cut = Segments(folder).write(rows(5))
    honest = json.loads(json.dumps({"segments": segments.description(folder.name, {"block": cut})}))
    assert segments.described(honest) == ("dqn.segments", {"block": cut}) and segments.described({}) == ("", {})
    for name in ("../dqn.segments", "/dqn.segments", "a/b.segments", "..segments", "dqn", "c:dqn.segments", 3, None):
        with pytest.raises(ValueError, match="in a folder beside it"):
            segments.described({"segments": {**honest["segments"], "folder": name}})
    part = cut.parts[0][0]
    for wrong in (
        {"dtype": "object"}, {"dtype": "O"}, {"dtype": "f4"}, {"dtype": "float32,float32"}, {"dtype": None}, {"shape": [-2]},
        {"shape": 2}, {"shape": [2.0]}, {"parts": [[part, -5]]}, {"parts": [[part, True]]}, {"parts": [part]},
        {"parts": [["../" + part, 5]]}, {"parts": [[part.upper(), 5]]}, {"parts": [[part, 2**30]]}, {"parts": 3},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="no array is cut as 'block' is"):
            Cut.check("block", {**honest["segments"]["arrays"]["block"], **wrong})
    for about in ({"segments": 3}, {"segments": {}}, {"segments": {"folder": "a.segments", "arrays": 3}}):
        with pytest.raises(ValueError, match="are not described"):
            segments.described(about)
    again = cut._replace(parts=cut.parts * 3)
    assert read(folder, again, room=80).shape == (15, 2)
    with pytest.raises(segments.DamagedFile, match="again and again, for 80 bytes"):
        read(folder, again, room=79)
    with pytest.raises(segments.DamagedFile, match=r"'.*x\.segments', which is not there"):
        read(folder.with_name("x.segments"), cut)
