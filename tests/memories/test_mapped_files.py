"""Replay memories in files: as those in memory, refused where the disk is too small, and gone with their process."""

from __future__ import annotations

import gc
import os
import shutil

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from agent_states import differences, state_of
from gymnasium import spaces

import kagent
from kagent.memories import (
    Hindsight,
    Prioritized,
    Recent,
    Replay,
    ReplayEpisodes,
    ReplaySequences,
    Transition,
    frames,
    mapped_files,
)
from kagent.memories.framed_storage import FramedStorage
from kagent.memories.linked_storage import LinkedStorage
from kagent.memories.mapped_files import MappedFile
from kagent.memories.storage import Storage
from kagent.testing import check_memory

FORMS = {
    Storage: spaces.Box(-1, 1, (1,), np.float32),
    LinkedStorage: spaces.Box(-1, 1, (200,), np.float32),
    FramedStorage: spaces.Box(0, 255, (4, 16, 16), np.uint8),
}


def on_disk(directory):
    """Bytes of files of this directory that this process has open, whether they have names or not."""
    sizes = {}
    for handle in os.listdir("/proc/self/fd"):
        try:
            place, found = os.readlink(f"/proc/self/fd/{handle}"), os.stat(f"/proc/self/fd/{handle}")
        except OSError:
            continue
        if place.startswith(f"{directory}/"):
            sizes[found.st_ino] = found.st_blocks * 512
    return sum(sizes.values())


def fill(memory, steps, seed=0):
    """Walks of frames, or of numbers, with ends."""
    random, space = np.random.default_rng(seed), memory.observation.leaves[0]
    stack = np.zeros(space.shape, space.dtype)
    for number in range(steps):
        new = random.integers(0, 255, space.shape[1:]) if space.dtype == np.uint8 else random.random(space.shape[1:])
        after = np.concatenate([stack[1:], np.asarray(new, space.dtype)[None]])
        ended = np.array([number % 7 == 6])
        one = np.array([float(number)], np.float32)
        memory.append_step(
            Transition([stack[None]], [np.array([number % 3])], one, ended, ~ended & False, [after[None]])
        )
        stack = np.zeros_like(stack) if ended[0] else after


def built(directory, form, kind=Replay, capacity=40):
    memory = kind(capacity, directory=directory)
    memory.build(FORMS[form], spaces.Discrete(3))
    assert type(memory.storage) is form
    return memory


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [Replay, Prioritized])
def test_it_holds_what_a_memory_in_memory_holds(form, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "_CHUNK", 5 * 256)  # room is taken for five frames at a time
    disk, heap = built(tmp_path / "files", form, kind), built(None, form, kind)
    for memory in (disk, heap):
        fill(memory, 101)
    state, other = disk.state(), heap.state()
    assert state.keys() == other.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(value[:], other[name][:], err_msg=name)
    for one, two in zip(disk.dataset(8, seed=3).take(3), heap.dataset(8, seed=3).take(3)):
        for name in ("observation", "next_observation", "reward"):
            np.testing.assert_array_equal(one[name], two[name])
    for restored in (built(tmp_path / "files", form, kind), built(tmp_path / "files", form, kind, capacity=60)):
        restored.restore({name: np.array(value[:]) for name, value in state.items()})
        fill(restored, 50)
    assert os.listdir(tmp_path / "files") == []  # nothing with a name


GOALS = spaces.Dict({name: spaces.Box(-99, 99, (2,), np.float32) for name in ("achieved_goal", "desired_goal")})
CONSECUTIVE = {
    "Hindsight": lambda **where: Hindsight(40, compute_reward=lambda got, goal, info: (got == goal).all(-1) * 1.0, **where),
    "ReplayEpisodes": lambda **where: ReplayEpisodes(40, **where),
    "ReplaySequences": lambda **where: ReplaySequences(40, sequence_length=3, burn_in=2, prioritized=True, **where),
    "Recent": lambda **where: Recent(40, **where),
}  # fmt: skip


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="Linux says which files are open")
@pytest.mark.parametrize("kind", CONSECUTIVE)
def test_memories_of_timesteps_and_episodes_too(kind, tmp_path):
    make, memories = CONSECUTIVE[kind], []
    for where in ({"directory": tmp_path / "swap"}, {}):
        memory = make(**where)
        memory.build(GOALS, spaces.Discrete(3), num_envs=2)
        random = np.random.default_rng(0)
        for number in range(50):  # of two environments: the ring is overwritten twice
            one, two = random.normal(size=(2, 2, 2)).astype(np.float32)
            ended = np.array([number % 7 == 6, number % 5 == 4])
            step = [one, two], [np.array([1, 2])], random.normal(size=2).astype(np.float32), ended, ~ended & False
            memory.append_step(Transition(*step, [two, one]))
        memories.append(memory)
    disk, heap = memories
    assert on_disk(tmp_path / "swap") >= heap.storage.blocks["float32"].nbytes and os.listdir(tmp_path / "swap") == []
    state = disk.state()
    again = make(directory=str(tmp_path / "swap"))
    again.build(GOALS, spaces.Discrete(3), num_envs=2)
    again.restore(state)
    for other in (heap, again):
        for name, value in other.state().items():
            np.testing.assert_array_equal(value, state[name], err_msg=name)
        one, two = (next(iter(memory.dataset(6, seed=3))) for memory in (disk, other))
        tf.nest.map_structure(np.testing.assert_array_equal, one, two)
    assert "directory" not in disk.get_part()
    with pytest.raises(ValueError, match=r"`memory\.directory` must be a directory, not a file"):
        make(directory=__file__)


def test_it_keeps_the_rules_of_memories(tmp_path):
    check_memory(lambda: Replay(50, directory=tmp_path))


@pytest.mark.eager(seldom=True)
def test_an_agent_resumes_from_its_weights_wherever_the_memory_is(small, tmp_path):
    def make(directory, seed=0):
        return small("dqn", memory={"type": "replay", "capacity": 30, "directory": directory}, seed=seed)

    agent = make(str(tmp_path / "swap"))
    agent.fit("CartPole-v1", steps=40, verbose=0)
    agent.save_weights(tmp_path / "a.weights.h5")
    shutil.rmtree(tmp_path / "swap")  # files in use have no names
    agent.memory.dataset(4)
    for directory in (str(tmp_path / "swap"), None):
        other = make(directory, seed=9)
        other.load_weights(tmp_path / "a.weights.h5")
        assert differences(state_of(other), state_of(agent)) == []
    assert (tmp_path / "swap").is_dir()
    config = agent.get_config()
    assert "directory" not in config["memory"] and str(tmp_path) not in str(config)
    config["memory"]["directory"] = str(tmp_path)
    with pytest.raises(ValueError, match=r"nothing of places on this machine\. Received: memory\.directory="):
        type(agent).from_config(config)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="Linux says which files are open")
def test_room_is_taken_before_rows_are_used_and_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "_CHUNK", 4 << 10)
    memory = built(tmp_path, FramedStorage, capacity=4000)
    begun = on_disk(tmp_path)
    assert 4000 * 256 <= begun < 1.5 * 4000 * 256  # 256 bytes are a frame
    pool = memory.storage.pools["observation.0"]
    pool.used = len(pool.frames) // 4
    pool._check_growth()
    assert on_disk(tmp_path) >= begun + 4000 * 256
    del memory, pool
    gc.collect()
    assert on_disk(tmp_path) == 0


def test_a_disk_that_is_too_small_is_refused_before_anything_is_taken(tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path).free
    row = 4 * 6  # two numbers before a step, one action, one reward, two ends: six of float32
    capacity = free // row + 10_000
    space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    spaces_ = {"observation_space": space, "action_space": gymnasium.spaces.Discrete(3)}
    with pytest.raises(
        ValueError, match=rf"GiB in '{tmp_path}/new' for {capacity} transitions, .* are free there. Give it a capa"
    ):
        kagent.DQN(**spaces_, memory=Replay(capacity, directory=tmp_path / "new"))
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(mapped_files, "free_space", lambda directory: 3 << 30)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        ValueError, match=r"needs 4\.0 GiB more in .* and 3\.0 GiB are free there. Give it a smaller capacity"
    ):
        MappedFile(tmp_path, (1 << 30, 1), "float32")
    monkeypatch.delattr(os, "posix_fallocate")  # as on systems that lack it: zeros are written
    file = MappedFile(tmp_path, (3 << 20, 1), "uint8", rows=1)
    file.reserve((2 << 20) + 3)
    assert os.fstat(file._file.fileno()).st_blocks * 512 >= (2 << 20) + 3 and not file.array.any()
    with pytest.raises(ValueError, match=r"`memory\.directory` must be a directory, not a file"):
        Replay(10, directory=__file__)
    with pytest.raises(TypeError, match=r"`memory\.directory` must be a path"):
        Replay(10, directory=3)
