"""Files on a disk that is full or loses bits: an error or the whole content, never a crash or another content."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import forked
import h5py
import keras
import numpy as np
import pytest
from agent_states import differences, state_of

import kagent
from kagent.files import checked_file

OLD = Path(__file__).parent / "format_1.weights.h5"


@pytest.fixture(scope="module")
def agent():
    network = {"type": "mlp", "units": [4]}
    agent = kagent.DQN("CartPole-v1", network=network, memory=30, batch_size=8, start=16, horizon=0, seed=0)
    agent.compile(run_eagerly=True)
    agent.fit("CartPole-v1", steps=40, verbose=0)
    return agent


# A disk that is full ---------------------------------------------------------------------------------------

# A limit on the size of files, which root has to keep too, stands for the disk.
FULL = """
import errno, os, resource, sys
import kagent
agent = kagent.DQN("CartPole-v1", network={"type": "mlp", "units": [4]}, memory=30, batch_size=8, start=16, horizon=0, seed=0)
agent.compile(run_eagerly=True)
agent.fit("CartPole-v1", steps=40, verbose=0)
folder, soft, hard = sys.argv[1], *resource.getrlimit(resource.RLIMIT_FSIZE)
saves = {"a.weights.h5": agent.save_weights, "a.keras": agent.save, "folder": lambda path: agent.save(path, zipped=False)}
for name, save in saves.items():
    path = os.path.join(folder, name)
    save(path)
    there, size = sorted(os.listdir(folder)), os.path.getsize(path) if name != "folder" else 30_000
    for limit in (0, 100, 8192, size // 2, size - 200, size - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            save(path)
        except OSError as error:
            assert error.errno == errno.EFBIG and error.filename == path and "bytes are free there" in str(error), error
        else:
            raise AssertionError((name, limit))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert sorted(os.listdir(folder)) == there, os.listdir(folder)
agent.load_weights(os.path.join(folder, "a.weights.h5"))
assert kagent.load(os.path.join(folder, "a.keras")).timesteps == kagent.load(os.path.join(folder, "folder")).timesteps == 40
print("whole")
"""


def test_a_full_disk_is_an_error_at_every_size_and_leaves_the_old_file(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(kagent.__path__[0])}
    result = forked.run(["-c", FULL, tmp_path], env=environment)
    assert (result.returncode, result.stdout) == (0, "whole\n"), result.stderr[-3000:]


def test_nothing_is_written_after_the_end(tmp_path):
    # An error elsewhere ends a save while HDF5 has the file: it closes when it is collected.
    path = tmp_path / "a.h5"
    path.touch()
    file = checked_file.CheckedFile(str(path))
    content = h5py.File(file, "w")
    content["a"] = np.arange(100)
    file.finish()
    size = path.stat().st_size
    content["b"] = np.arange(100)
    content.close()
    assert file.error is None and path.stat().st_size == size


def test_the_first_error_is_kept_and_what_follows_is_dropped():
    file = checked_file.CheckedFile("/dev/full")
    for _ in range(2):
        assert file.write(b"abc") == 3
    assert file.tell() == 6 and file.error.errno == errno.ENOSPC
    with pytest.raises(OSError, match="No space left"):
        file.finish()


def test_keras_takes_it_for_a_buffer_and_writes_nothing_by_itself(agent, tmp_path, monkeypatch):
    opened, original = [], h5py.File.__init__
    monkeypatch.setattr(
        h5py.File, "__init__", lambda self, name, *a, **k: (opened.append(name), original(self, name, *a, **k))[1]
    )
    agent.save_weights(tmp_path / "a.weights.h5")
    agent.save(tmp_path / "a.keras")
    assert len(opened) == 2 and isinstance(opened[0], checked_file.CheckedFile)
    assert not any(isinstance(name, str | os.PathLike) for name in opened)


# Bits that flip --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.weights.h5", "a.keras"])
def test_no_flipped_bit_loads_with_another_content(name, agent, tmp_path):
    path, damaged = tmp_path / name, tmp_path / f"damaged-{name}"
    agent.save(path, include_memory=True) if name.endswith("keras") else agent.save_weights(path)
    content, before, refused = path.read_bytes(), state_of(agent), 0
    random = np.random.default_rng(0)
    ends = [len(content) - number for number in range(1, 25)]  # where the trailer is
    for place in [*random.integers(0, len(content), 200), *ends]:
        changed = bytearray(content)
        changed[place] ^= 1 << random.integers(8)
        damaged.write_bytes(changed)
        try:
            agent.load_weights(damaged)
        except ValueError:
            refused += 1
            continue
        assert differences(state_of(agent), before) == [], int(place)
    assert refused > 150 and differences(state_of(agent), before) == []


def test_keras_loads_no_flipped_bit_with_another_content_either(agent, tmp_path):
    """By `keras.saving.load_model`, which knows nothing of checksums of kagent's but for those in the agent's own hooks."""
    path, damaged = tmp_path / "a.keras", tmp_path / "damaged.keras"
    agent.save(path, include_memory=True)
    content, before, refused = path.read_bytes(), state_of(agent), 0
    random = np.random.default_rng(1)
    for place in random.integers(0, len(content), 12):
        changed = bytearray(content)
        changed[place] ^= 1 << random.integers(8)
        damaged.write_bytes(changed)
        try:
            loaded = keras.saving.load_model(damaged)
        except Exception:  # Keras and zipfile have errors of their own
            refused += 1
            continue
        assert differences(state_of(loaded), before) == [], int(place)
    assert refused > 3


def test_a_damaged_file_is_an_oserror_too(agent, tmp_path):
    """For which Keras's `BackupAndRestore(double_checkpoint=True)` falls back."""
    path = tmp_path / "a.weights.h5"
    agent.save_weights(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"a\.weights\.h5' is damaged") as raised:
        agent.load_weights(path)
    assert isinstance(raised.value, ValueError)


def test_a_lost_end_is_found(agent, tmp_path):
    """Disks lose whole blocks, most often the last ones, and the checksum with them."""
    path, damaged = tmp_path / "a.weights.h5", tmp_path / "damaged.weights.h5"
    agent.save_weights(path)
    content, before = path.read_bytes(), state_of(agent)
    blank = [content[:-lost] + bytes(lost) for lost in (8, 17, 24, 25, 512, 4096)]  # of 24 bytes the last 4 are zero
    cut = [content[:-lost] for lost in (1, 8, 16, 21, 23, 25, 4096)]
    for changed in (*blank, *cut, content + b"x", content + bytes(4096)):
        damaged.write_bytes(changed)
        with pytest.raises(ValueError) as raised:
            agent.load_weights(damaged)
        assert isinstance(raised.value, checked_file.DamagedFile)
        assert differences(state_of(agent), before) == []
    damaged.write_bytes(content[:-24])  # without a checksum, and whole
    agent.load_weights(damaged)
    assert differences(state_of(agent), before) == []


def test_files_that_say_no_end_are_left_to_hdf5(tmp_path):
    path = tmp_path / "a.h5"
    for libver in ("earliest", "v110", "latest"):
        with h5py.File(path, "w", libver=libver) as file:
            file["a"] = np.arange(100)
        checked_file.check(path)
        path.write_bytes(path.read_bytes() + bytes(24))
        with pytest.raises(checked_file.DamagedFile, match="cut or overwritten"):
            checked_file.check(path)
    with h5py.File(path, "w", userblock_size=512) as file:
        file["a"] = np.arange(100)
    path.write_bytes(path.read_bytes() + bytes(24))
    checked_file.check(path)
    for content in (b"", b"x" * 30, b"x" * 1000):
        path.write_bytes(content)
        with pytest.raises(
            checked_file.DamagedFile, match=r"a\.h5' is damaged, or no weights file: HDF5 does not know it"
        ):
            checked_file.check(path)


def test_files_of_before_are_read(agent):
    # Written by kagent before there were checksums: 40 timesteps of the seed 0, 7 of them in the open episode.
    assert OLD.stat().st_size == 43307
    old = kagent.DQN(
        "CartPole-v1", network={"type": "mlp", "units": [4]}, memory=30, batch_size=8, start=16, horizon=0, seed=9
    )
    old.compile(run_eagerly=True)
    old.load_weights(OLD)
    episode = old._run.open_episodes["environments"]["episodes"][0]
    assert (old.timesteps, episode["seed"], episode["length"]) == (40, 1913191427, 7)
    assert episode["actions"][0].tolist() == [0] * 7 and len(old.memory) == 30
    old.fit("CartPole-v1", steps=1, verbose=0)
    assert old._run.open_episodes["lengths"].tolist() == [8]


def test_other_programs_read_and_change_the_file(agent, tmp_path):
    path = tmp_path / "a.weights.h5"
    agent.save_weights(path)
    with h5py.File(path) as file:
        assert file["vars/counters"][0] == agent.timesteps
    with h5py.File(path, "r+") as file:  # which takes the checksum away
        file["vars/counters"][0] = 41
    checked_file.check(path)
    other = kagent.DQN(
        "CartPole-v1", network={"type": "mlp", "units": [4]}, memory=30, batch_size=8, start=16, horizon=0, seed=9
    )
    other.load_weights(path)
    assert other.timesteps == 41
