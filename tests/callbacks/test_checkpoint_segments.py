"""Savers that write again and again put a large memory into a folder, and of each save only what is new."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

import h5py
import keras
import pytest
from agent_states import differences, state_of
from keras.callbacks import BackupAndRestore
from runs import run

import kagent
from kagent.callbacks import Checkpoint
from kagent.files import checked_file, segments
from kagent.files.segments import Segments

pytestmark = pytest.mark.eager(seldom=True)
ROW = 32  # bytes of a transition of CartPole


class Killed(BaseException):
    pass


@pytest.fixture(autouse=True)
def cut_small(monkeypatch):
    """Parts of ten transitions, of any memory, and links in the file itself."""
    monkeypatch.setattr(segments, "LEAST", 400)
    monkeypatch.setattr(segments, "PART", 10 * ROW)


@pytest.fixture
def written(monkeypatch):
    """Bytes that each part had which was written."""
    sizes, keep = [], Segments._keep

    def counted(self, content):
        before = self.written
        name = keep(self, content)
        sizes.extend([self.written - before] * (self.written > before))
        return name

    monkeypatch.setattr(Segments, "_keep", counted)
    return sizes


def killing(number):
    def kill(epoch):
        if epoch == number:
            raise Killed

    return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: kill(epoch))


def parts(folder):
    return {path.name for path in folder.iterdir()}


def test_a_checkpoint_writes_what_is_new_and_resumes_exactly(small, tmp_path, written):
    def make(seed=0):
        return small("dqn", memory=65, seed=seed)

    whole, folder = make(), tmp_path / "run"
    run(whole, epochs=5)
    each = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: each.append(sum(written)))
    with pytest.raises(Killed):
        run(make(), Checkpoint(folder, frequency=None, max_checkpoints=2), note, killing(4), epochs=5)
    # At last 5 rows behind the others and 15 at the beginning of the ring, in parts of 10.
    assert [(now - before) // ROW for before, now in zip([0, *each], each)] == [20, 20, 20, 5 + 20]
    file = folder / "dqn-80.weights.h5"
    assert 65 * (ROW + 4) <= kagent.inspect(file).memory < 65 * (ROW + 4) + 20 * 16  # with next observations at ends
    resumed = make(seed=9)
    history = run(resumed, Checkpoint(folder, frequency=None, max_checkpoints=2), epochs=5)
    assert history.epoch == [4] and differences(state_of(resumed), state_of(whole)) == []
    assert sorted(path.name for path in folder.glob("*.h5")) == ["dqn-100.weights.h5", "dqn-80.weights.h5"]
    named = set()
    for path in folder.glob("*.h5"):
        with h5py.File(path) as opened:
            _, cuts = segments.of_file(opened["vars"])
        named |= {part for cut in cuts.values() for part, _ in cut.parts}
    assert parts(folder / "dqn.segments") == named

    alone = shutil.copy(file, tmp_path / "alone.weights.h5")
    with pytest.raises(ValueError, match=r"'.*dqn\.segments', which is not there. A checkpoint moves with its folder"):
        make().load_weights(alone)
    shutil.copytree(folder / "dqn.segments", tmp_path / "dqn.segments")
    make().load_weights(alone)
    resumed.save_weights(tmp_path / "one.weights.h5")  # all in one file
    shutil.rmtree(tmp_path / "dqn.segments")
    make().load_weights(tmp_path / "one.weights.h5")
    with pytest.warns(UserWarning, match="were moved to"):
        run(make(), Checkpoint(folder, load=False), epochs=1)
    make().load_weights(folder / "dqn-before-1" / "dqn-100.weights.h5")


@pytest.mark.parametrize("horizon", [None, "early"])
def test_a_save_hashes_no_more_than_what_is_new(small, tmp_path, horizon):
    """Of a ring of 95 rows, in parts of ten, in which 20 are written between two saves."""
    changes = {} if horizon is None else {"reward_estimation": {"horizon": 1, "estimate_horizon": horizon}}
    agent = small("dqn", memory=95, start=10, **changes)
    folder, hashed, alone = tmp_path / "run", [], []

    def note(epoch, logs):
        found = agent._files.folders._at(folder / "dqn.segments")
        hashed.append(found.hashed)
        fresh = Segments(tmp_path / f"{epoch}.segments")  # one that knows nothing, for comparison
        state = agent.memory.state()
        cuts = {name: fresh.write(state[name]) for name in state if name.startswith("block.")}
        with h5py.File(max(folder.glob("*.h5"), key=os.path.getmtime)) as file:
            alone.append(segments.of_file(file["vars"])[1] == cuts)

    run(agent, Checkpoint(folder, frequency=None), keras.callbacks.LambdaCallback(on_epoch_end=note), epochs=9)
    row = agent.memory.storage.blocks["float32"][:1].nbytes
    rows = [(now - before) // row for before, now in zip([0, *hashed], hashed)]
    # The last epoch's file is written behind the other callbacks, at the end of training.
    assert all(alone[:-1]) and (rows[5:8] == [30, 30, 30] if horizon is None else rows[5:8] == [95, 95, 95])


@pytest.mark.thorough
def test_stopped_at_any_point_of_a_save_the_newest_file_is_whole(small, tmp_path, monkeypatch):
    agent, folder = small("dqn", memory=65), tmp_path / "run"
    saver = Checkpoint(folder, frequency=None, max_checkpoints=1)
    run(agent, saver, epochs=2)
    states = {40: state_of(agent)}
    before = shutil.copytree(folder, tmp_path / "before")
    run(agent, epochs=2)
    states[80] = state_of(agent)
    reader, calls, survived = small("dqn", memory=65, seed=9), 1, -1

    def counting(function):
        def called(*arguments, **named):
            nonlocal calls
            calls += 1
            if calls > survived:
                raise Killed
            return function(*arguments, **named)

        return called

    while calls > survived:
        survived += 1
        shutil.rmtree(folder)
        shutil.copytree(before, folder)
        saver._series.own = {folder / "dqn-40.weights.h5": 40}
        agent._files.folders._segments.clear()
        calls = 0

        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(os, "replace", counting(os.replace))
            patch.setattr(Path, "unlink", counting(Path.unlink))
            saver._write()
        newest = max(folder.glob("dqn-*.weights.h5"), key=lambda path: int(path.name[4:6]))
        reader.load_weights(newest)
        assert differences(state_of(reader), states[int(newest.name[4:6])]) == []
    assert survived > 6 and [path.name for path in folder.glob("*.h5")] == ["dqn-80.weights.h5"]


def test_a_save_that_fails_leaves_no_parts_behind(small, tmp_path, monkeypatch):
    """They would keep a full disk full: later rows are in other parts, and no file names these."""
    agent, folder = small("dqn", memory=65), tmp_path / "run"
    saver = Checkpoint(folder, frequency=None, max_checkpoints=1)
    run(agent, saver, BackupAndRestore(tmp_path / "backup", delete_checkpoint=False), epochs=2)
    backup = tmp_path / "backup" / "latest.weights.h5"
    folders = [folder / "dqn.segments", backup.with_name("latest.segments")]
    before = [parts(path) for path in folders]
    agent.fit("CartPole-v1", steps=30, verbose=0)
    agent._files.folders.use_for([backup])
    monkeypatch.setattr(checked_file, "seal", full)
    for save in (saver._write, lambda: agent.save_weights(backup)):
        with pytest.raises(OSError, match="No space left"):
            save()
    assert all(before) and [parts(path) for path in folders] == before


def full(path):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_backups_of_keras_too(small, tmp_path, written):
    def make(seed=0):
        return small("dqn", memory=65, seed=seed)

    folder, whole = tmp_path / "backup", make()
    run(whole, epochs=4)
    with pytest.raises(Killed):
        run(make(), BackupAndRestore(folder, double_checkpoint=True), killing(3), epochs=4)
    assert sum(written) // ROW == 60 and parts(folder) >= {"latest.segments", "latest.weights.h5.bkp"}
    content = bytearray((folder / "latest.weights.h5").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "latest.weights.h5").write_bytes(content)  # the one before has its parts still
    resumed = make(seed=9)
    history = run(resumed, BackupAndRestore(folder, double_checkpoint=True), epochs=4)
    assert history.epoch == [2, 3] and differences(state_of(resumed), state_of(whole)) == []
    assert not folder.exists()
    resumed.fit("CartPole-v1", steps=1, verbose=0)
    folder.mkdir()
    resumed.save_weights(folder / "latest.weights.h5")  # no backup any more
    assert parts(folder) == {"latest.weights.h5"}


def test_a_damaged_part_is_a_damaged_checkpoint(small, tmp_path):
    folder = tmp_path / "run"
    agent = small("dqn", memory=65)
    run(agent, Checkpoint(folder, frequency=None, max_checkpoints=2), epochs=3)
    with h5py.File(folder / "dqn-60.weights.h5") as file:
        _, cuts = segments.of_file(file["vars"])
    newest = cuts["block.float32"].parts[-1][0]
    (folder / "dqn.segments" / newest).write_bytes(bytes(10 * ROW))
    resumed = small("dqn", memory=65, seed=9)
    with pytest.warns(
        UserWarning, match=r"dqn-60\.weights\.h5' is damaged; training goes on from 'dqn-40\.weights\.h5'"
    ):
        run(resumed, Checkpoint(folder, frequency=None, max_checkpoints=2), epochs=3)
    assert differences(state_of(resumed), state_of(agent)) == []
