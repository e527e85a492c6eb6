"""Checkpoint: what is on disk at every moment is whole, and training goes on from it as if nothing had happened."""

from __future__ import annotations

import doctest
import fcntl
import json
import os
import shutil
import signal
import time
import types
import warnings
from pathlib import Path

import forked
import gymnasium
import h5py
import keras
import numpy as np
import pytest
from agent_states import differences, state_of
from keras.callbacks import LambdaCallback
from variants import thorough, with_few

import kagent
from kagent import saving
from kagent.callbacks import Checkpoint, checkpoint

DQN = {
    "env": "CartPole-v1", "network": {"type": "mlp", "units": [8]}, "memory": 120, "batch_size": 8, "start": 16,
    "target_update_period": 40, "horizon": 0,
}  # fmt: skip


class Killed(Exception):
    pass


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def series(*timesteps, name="dqn"):
    return sorted(f"{name}-{number}.weights.h5" for number in timesteps)


def begin(agent, folder, **arguments):
    """A Checkpoint as at the beginning of `fit`, without the fit; it saves at every `epoch`."""
    callback = Checkpoint(folder, **{"frequency": None, **arguments})
    callback.set_model(agent)
    callback.on_train_begin()
    return callback


def epoch(callback, timesteps):
    callback.model.counters.timesteps = timesteps
    callback.on_epoch_begin(0)
    callback.on_epoch_end(0)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A folder with the checkpoints 10, 20 and 30 of an agent, and what the agent was at 20."""
    agent, folder = kagent.DQN(**DQN, seed=5), tmp_path_factory.mktemp("original")
    callback, states = begin(agent, folder), {}
    for timesteps in (10, 20, 30):
        agent.policy.trainable_variables[0].assign_add(np.ones((4, 8), np.float32))
        agent.actor.expire()
        epoch(callback, timesteps)
        states[timesteps] = state_of(agent)
    return folder, states[20]


@pytest.fixture
def filled(original, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(original[0], tmp_path / "run")


# Resuming --------------------------------------------------------------------------------------------------

PROGRAM = """
import json, sys, kagent
from kagent.files import segments
segments.LEAST, segments.PART = 64, 480  # bytes: the memory is in parts of ten rows, beside the files
agent = kagent.DQN(**json.loads(sys.argv[2]), seed=0)
agent.compile(jit_compile=False)
often = kagent.callbacks.Checkpoint(sys.argv[1], frequency=1e-9, max_checkpoints=3)
agent.fit("CartPole-v1", steps=240, steps_per_epoch=55, callbacks=[often], verbose=0)
"""


def newest(folder):
    found = [int(path.name[4:].split(".")[0]) for path in folder.glob("dqn-*.weights.h5")]
    return max(found, default=-1)


@pytest.mark.thorough
def test_killed_at_any_moment_it_ends_where_the_uninterrupted_run_does(small, tmp_path):
    folder = tmp_path / "run"
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(kagent.__path__[0])}
    child, give_up = forked.Child(["-c", PROGRAM, folder, json.dumps(DQN)], env=environment), time.monotonic() + 120
    while newest(folder) < 70 and child.poll() is None and time.monotonic() < give_up:
        time.sleep(0.002)
    child.kill()  # nearly all of its time goes into saving: most likely in the middle of that
    _, errors = child.communicate()
    assert child.returncode == -signal.SIGKILL, errors[-3000:]
    left = sorted(folder.glob("dqn-*.weights.h5"))
    assert 1 <= len(left) <= 4 and newest(folder) < 240  # one more than kept, if killed before the oldest was deleted
    bounds = {"steps": 240, "steps_per_epoch": 55, "verbose": 0}
    whole, resumed = small("dqn", **DQN), small("dqn", **DQN, seed=9)
    assert (folder / "dqn.segments").is_dir()
    for path in left:
        resumed.load_weights(path)
    resumed = small("dqn", **DQN, seed=9)
    whole.fit("CartPole-v1", **bounds)
    callback, at = Checkpoint(folder, max_checkpoints=3), newest(folder)
    history = resumed.fit("CartPole-v1", **bounds, callbacks=[callback])
    assert differences(state_of(resumed), state_of(whole)) == []
    assert history.epoch == list(range(at // 55, 5)) and history.history["timesteps"][-1] == 240
    assert callback.newest == folder / "dqn-240.weights.h5" and len(list(folder.glob("dqn-*"))) == 3


@pytest.mark.parametrize(
    "kind, arguments, kills",
    [
        # After one of the two updates that one step of four environments makes due.
        ("dqn", {"n_envs": 4, "frequency": 2, "start": 8}, {"on_update_end": 12}),
        # After an epoch's last update, when its end has not been told: the save before counts. And after that.
        thorough(("ppo", {"n_steps": 8}, {"on_update_end": 8, "on_epoch_begin": 16})),
    ],
)
def test_resumed_in_mid_episode_no_epoch_is_lost_or_told_twice(kind, arguments, kills, small, tmp_path):
    def fit(*callbacks, seed=0):
        agent = small(kind, seed=seed, compiled={"run_eagerly": True}, **arguments)
        agent.fit("CartPole-v1", steps=40, steps_per_epoch=16, callbacks=[*callbacks, tell], verbose=0)
        return agent

    def kill(self, number, logs=None):
        if saver.model.timesteps >= {"dqn": 12, "ppo": 16}[kind]:
            raise Killed

    told = []
    tell = LambdaCallback(on_epoch_end=lambda epoch, logs: told.append((epoch, logs["timesteps"])))
    whole = state_of(fit())
    assert told == [(0, 16), (1, 32), (2, 40)]
    for event, saved in kills.items():
        told.clear()
        saver = Checkpoint(tmp_path / event, frequency=1e-9)
        with pytest.raises(Killed):
            fit(saver, type("Kill", (kagent.callbacks.Callback,), {event: kill})())
        assert saver.newest.name == f"{kind}-{saved}.weights.h5"
        resumed = fit(Checkpoint(tmp_path / event), seed=9)
        assert differences(state_of(resumed), whole) == []
        assert told == [(0, 16), (1, 32), (2, 40)]


def test_a_rollout_that_was_complete_when_training_stopped_is_learned_from_first(small, tmp_path):
    class Stop(kagent.callbacks.Callback):
        def on_timestep_end(self, timestep, logs=None):
            self.model.stop_training = timestep == 16

    agent, resumed = (small("ppo", compiled={"run_eagerly": True}) for _ in range(2))
    agent.fit("CartPole-v1", steps=40, callbacks=[Stop(), Checkpoint(tmp_path)], verbose=0)
    assert names(tmp_path) == series(16, name="ppo") and agent.memory.is_full and not agent.updates
    resumed.fit("CartPole-v1", max_steps=20, callbacks=[Checkpoint(tmp_path)], verbose=0)
    assert resumed.timesteps == 20 and resumed.updates == 4 and len(resumed.memory) == 4


@pytest.fixture
def idle(small):
    """An agent that never learns: quick."""
    return lambda **changes: small("dqn", start=10_000, compiled={"run_eagerly": True}, **changes)


def test_bounds_count_from_before_the_checkpoint_and_nothing_is_done_twice(idle, tmp_path):
    def fit(agent=None, **bounds):
        agent = agent or idle()
        callback = Checkpoint(tmp_path, frequency=None)
        history = agent.fit("CartPole-v1", steps_per_epoch=20, callbacks=[callback], verbose=0, **bounds)
        return agent, history.epoch

    assert fit(steps=50)[1] == [0, 1, 2] and names(tmp_path) == series(20, 40, 50)
    agent, epochs = fit(steps=110)  # 110 in all; the third epoch, which was cut off, is gone on with
    assert agent.timesteps == 110 and epochs == [2, 3, 4, 5]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    for bound in ({"max_steps": 110}, {"steps": 110}, {"max_steps": 60}):
        agent, epochs = fit(**bound)
        assert agent.timesteps == 110 and epochs == []
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again, epochs = fit(agent, steps=20)  # of the same agent: 20 more
    assert again.timesteps == 130 and epochs == [0]
    assert fit(max_steps=140)[0].timesteps == 140
    assert names(tmp_path) == series(80, 100, 110, 130, 140)


def test_it_ends_with_a_save_where_training_is_stopped(idle, tmp_path):
    agent = idle()
    stop = LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(agent, "stop_training", True))
    agent.fit("CartPole-v1", steps=90, steps_per_epoch=30, callbacks=[stop, Checkpoint(tmp_path)], verbose=0)
    assert names(tmp_path) == series(30)
    agent.fit("CartPole-v1", episodes=1, callbacks=[Checkpoint(tmp_path)], verbose=0)
    assert names(tmp_path) == series(30, agent.timesteps) and agent.episodes > 0


def test_a_second_fit_goes_on_from_the_agent_as_it_is(idle, tmp_path):
    agent, callback = idle(), Checkpoint(tmp_path, frequency=None, load=False)
    crash = LambdaCallback(on_epoch_end=lambda epoch, logs: (_ for _ in ()).throw(Killed) if epoch == 1 else None)
    with pytest.raises(Killed):
        agent.fit("CartPole-v1", steps=60, steps_per_epoch=20, callbacks=[crash, callback], verbose=0)
    assert names(tmp_path) == series(20) and agent.timesteps == 40
    agent.fit("CartPole-v1", steps=15, steps_per_epoch=20, callbacks=[callback], verbose=0)
    assert names(tmp_path) == series(20, 55)
    agent.load_weights(tmp_path / "dqn-20.weights.h5")  # turned back by hand
    with pytest.raises(ValueError, match=r"The agent is 20 timesteps old.*beyond that: dqn-55\.weights\.h5"):
        agent.fit("CartPole-v1", steps=15, callbacks=[callback], verbose=0)
    with pytest.warns(UserWarning, match=r"load=False begins a new run.*dqn-20.*dqn-55.*were moved to .*dqn-before-1'"):
        idle().fit("CartPole-v1", steps=15, callbacks=[callback], verbose=0)  # with another agent it is another run
    assert names(tmp_path)[-2:] == ["dqn-8.weights.h5", "dqn-before-1"]
    assert names(tmp_path / "dqn-before-1") == series(20, 55)


def test_an_agent_that_is_ahead_is_not_turned_back(small, filled):
    agent = small("dqn")
    agent.counters.timesteps = 31
    before = state_of(agent)
    with pytest.raises(ValueError, match=r"has taken 31 timesteps.*dqn-30\.weights\.h5' only 30.*turn it back"):
        begin(agent, filled)
    assert differences(state_of(agent), before) == []
    begin(agent, filled, load="dqn-30.weights.h5")
    assert agent.timesteps == 30


@pytest.mark.thorough
def test_offline_training_keeps_one_file(idle, tmp_path):
    agent, resumed = idle(), idle()
    agent.fit("CartPole-v1", steps=20, verbose=0)
    data = agent.memory.dataset(8).take(2)
    agent.fit(data, epochs=2, callbacks=[Checkpoint(tmp_path, frequency=1e-9)], verbose=0)
    assert names(tmp_path) == series(20)
    resumed.fit(data, epochs=1, callbacks=[Checkpoint(tmp_path)], verbose=0)
    assert (resumed.timesteps, resumed.updates) == (20, 6)


# Damage ----------------------------------------------------------------------------------------------------


def without(entry):
    def damage(path):
        with h5py.File(path, "r+") as file:
            del file[entry]

    return damage


DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a byte short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no HDF5 " * 100),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "no state": without("vars/state"),
    "no counters": without("vars/counters"),
    "no policy": without("layers/value_policy"),
    "no layer": without("layers/value_policy/model/layers/dense_1/vars"),
    "no optimizer": without("optimizer"),
    "nothing of the agent": without("vars"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_newest_falls_back_to_the_one_before_and_says_so(name, small, filled, original):
    DAMAGES[name](filled / "dqn-30.weights.h5")
    agent = small("dqn", **DQN, seed=1)
    with pytest.warns(UserWarning, match=r"dqn-30\.weights\.h5' is damaged; training goes on from 'dqn-20\.weights"):
        callback = begin(agent, filled)
    assert agent.timesteps == 20 and callback.newest == filled / "dqn-20.weights.h5"
    assert differences(state_of(agent), original[1]) == []


def test_flipped_bits_are_damage_and_not_another_agents(small, filled, original):
    path, agent = filled / "dqn-30.weights.h5", small("dqn", seed=1)
    content = path.read_bytes()
    for text in (b'"shape": [4]', b'"algorithm"', b'"preset": "DQN"', b'"format": 2'):
        for number in range(len(text)):
            changed = bytearray(content)
            changed[content.index(text) + number] ^= 1
            path.write_bytes(changed)
            assert not saving.is_of_another(agent, path)
            with pytest.raises(ValueError, match="is damaged"):
                saving.spaces_of(path)
    with pytest.warns(UserWarning, match=r"dqn-30\.weights\.h5' is damaged.*checksum"):
        begin(agent, filled)
    assert differences(state_of(agent), original[1]) == []


def test_weights_that_are_not_finite_fall_back_and_another_algorithm_is_an_error(small, tmp_path):
    agent = small("ppo", compiled={"run_eagerly": True})
    callback = begin(agent, tmp_path, filename="run")
    epoch(callback, 10)
    state = state_of(agent)
    agent.policy.trainable_variables[0].assign_add(np.full((4, 8), np.nan, np.float32))
    epoch(callback, 20)
    fresh = small("ppo", seed=3)
    with pytest.warns(UserWarning, match=r"run-20\.weights\.h5' is damaged; training goes on from 'run-10.*not finite"):
        begin(fresh, tmp_path, filename="run")
    assert differences(state_of(fresh), state) == []
    (tmp_path / "run-20.weights.h5").unlink()
    other = kagent.A2C("CartPole-v1", network={"type": "mlp", "units": [8]}, seed=0)
    before = state_of(other)
    with (
        warnings.catch_warnings(),
        pytest.raises(ValueError, match=r"of another agent.*(?s:.*)preset 'PPO', the agent's is"),
    ):
        warnings.filterwarnings("ignore", "Skipping nested container")
        begin(other, tmp_path, filename="run")
    assert differences(state_of(other), before) == []


@pytest.mark.filterwarnings("ignore:The checkpoint")
def test_damaged_files_stay_until_the_run_comes_by_and_are_not_counted(small, filled):
    for timesteps in (20, 30):
        (filled / f"dqn-{timesteps}.weights.h5").write_bytes(b"")
    callback = begin(small("dqn"), filled, max_checkpoints=1)
    epoch(callback, 15)
    assert names(filled) == series(15, 20, 30)
    callback.on_train_begin()  # a further fit is not held up by them
    epoch(callback, 30)
    assert names(filled) == series(20, 30)
    assert begin(small("dqn"), filled).newest.name == "dqn-30.weights.h5"


@pytest.mark.parametrize("load", [True, "dqn-30"])
def test_only_damaged_ones_are_an_error_and_change_nothing(load, small, filled):
    for path, name in zip(sorted(filled.iterdir()), ("truncated", "empty", "no optimizer")):
        DAMAGES[name](path)
    agent, before = small("dqn", seed=1), names(filled)
    state = state_of(agent)
    callback = Checkpoint(filled, load=load)
    for _ in range(2):  # trying again is no way around it
        with pytest.raises(ValueError, match=r"dqn-30\.weights\.h5") as raised:
            agent.fit("CartPole-v1", steps=5, callbacks=[callback], verbose=0)
    assert load is not True or all(name in str(raised.value) for name in before)
    assert differences(state_of(agent), state) == [] and names(filled) == before


def test_damage_loses_nothing_else(small, filled, tmp_path):
    """In the midst of the memory, too, after all of the rest has been loaded."""
    agent = small("dqn", compiled={"run_eagerly": True})
    agent.fit("CartPole-v1", steps=40, callbacks=[Checkpoint(tmp_path / "a")], verbose=0)
    without("vars/memory.block.float32.0")(tmp_path / "a" / "dqn-40.weights.h5")
    agent = small("dqn", seed=1)
    state = state_of(agent)
    with pytest.raises(ValueError, match="None of the checkpoints can be loaded"):
        begin(agent, tmp_path / "a")
    assert differences(state_of(agent), state) == []


@pytest.mark.parametrize("load", [True, "dqn-30.weights.h5"])
def test_other_spaces_are_an_error_not_damage(load, small, filled):
    agent = small("dqn", env="Acrobot-v1")
    state = state_of(agent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Skipping nested container")
        with pytest.raises(ValueError, match=r"(?s)dqn-30\.weights\.h5.*observation_space.*agent: Box\(shape=\(6,\)"):
            begin(agent, filled, load=load)
    assert differences(state_of(agent), state) == []


def test_neither_are_a_newer_kagents(small, filled):
    with h5py.File(filled / "dqn-30.weights.h5", "r+") as file:
        state = json.loads(file["vars/state"][()].tobytes())
        del file["vars/state"]
        file["vars/state"] = np.frombuffer(json.dumps({**state, "format": 10**6}).encode(), np.uint8)
    with pytest.raises(ValueError, match=r"dqn-30\.weights\.h5.*is of another agent.*(?s:.*)newer kagent"):
        begin(small("dqn"), filled)


# Files -----------------------------------------------------------------------------------------------------


def test_the_newest_are_kept_and_nothing_else_is_touched(small, filled):
    others = ["dqn-2-5.weights.h5", "other-1.weights.h5", "dqn-007.weights.h5", "dqn-1.weights.h5.bkp", "dqn.keras"]
    for name in others:
        (filled / name).write_text("mine")
    (filled / "dqn-3.weights.h5").symlink_to(filled / "other-1.weights.h5")
    (filled / "dqn-4.weights.h5").mkdir()
    others += series(3, 4)
    callback = begin(small("dqn"), filled, max_checkpoints=2)
    assert callback.newest.name == "dqn-30.weights.h5" and names(filled) == sorted([*series(10, 20, 30), *others])
    epoch(callback, 100)
    assert names(filled) == sorted([*series(30, 100), *others])
    epoch(callback, 100)
    epoch(callback, 1000)  # by number, not by name
    assert names(filled) == sorted([*series(100, 1000), *others])
    assert {(filled / name).read_text() for name in others[:5]} == {"mine"}


def test_what_was_just_saved_is_never_deleted(small, filled):
    (filled / "dqn-30.weights.h5").rename(filled / "dqn-99.weights.h5")
    callback = begin(small("dqn"), filled, max_checkpoints=1)
    assert callback.model.timesteps == 30
    epoch(callback, 40)
    assert names(filled) == series(40, 99)


def test_older_ones_are_deleted_only_when_the_new_one_is_on_disk(small, filled, monkeypatch):
    callback = begin(small("dqn"), filled, max_checkpoints=1)

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.warns(
            UserWarning, match=r"could not be saved; the newest is 'dqn-30.weights.h5'.*OSError.*No space left"
        ):
            epoch(callback, 40)
        callback.on_epoch_begin(0)
        with pytest.raises(OSError, match="No space left"):  # the last save
            callback.on_train_end()
    assert names(filled) == series(10, 20, 30)
    epoch(callback, 40)
    assert names(filled) == series(40)


def test_a_save_that_failed_is_tried_again_when_the_next_is_due(small, tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(checkpoint, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    callback = begin(small("dqn"), tmp_path, frequency=10)
    callback.on_epoch_begin(0)

    def pass_(seconds, timesteps):
        now[0] += seconds
        callback.model.counters.timesteps = timesteps
        callback.on_update_end(0)
        return names(tmp_path)

    def fail(path):
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(callback.model, "save_weights", fail)
        with pytest.warns(UserWarning, match="there is none yet") as caught:
            assert pass_(10, 1) == pass_(9, 2) == []
        assert len(caught) == 1
    assert pass_(0, 3) == [] and pass_(1, 4) == series(4)
    strict = begin(callback.model, tmp_path / "strict", strict=True)
    monkeypatch.setattr(callback.model, "save_weights", fail)
    with pytest.raises(OSError, match="No space left"):
        epoch(strict, 5)
    with pytest.raises(TypeError, match=r"`strict` must be True or False\. Received: 1"):
        Checkpoint(tmp_path, strict=1)


def test_what_killed_processes_left_is_swept_up_when_the_next_begins(small, filled):
    left, writing, other = (
        filled / f".{name}.weights.h5.abcd123_.weights.h5" for name in ("dqn-17", "dqn-40", "sac-17")
    )
    for path in (left, writing, other):
        path.write_text("half")
    with open(writing) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as a process has it that writes now
        begin(small("dqn"), filled)
    assert names(filled) == sorted([*series(10, 20, 30), writing.name, other.name])


def test_two_runs_are_not_mixed_in_one_series(small, filled):
    before = {path: path.read_bytes() for path in filled.iterdir()}
    ours = begin(small("dqn"), filled, load=False, filename="mine", max_checkpoints=1)
    for timesteps in (7, 9):
        epoch(ours, timesteps)
    assert names(filled) == sorted([*series(10, 20, 30), *series(9, name="mine")])
    # Another process, which began a run of the same name after this one had looked.
    (filled / "mine-8.weights.h5").write_text("theirs")
    (filled / "mine-12.weights.h5").write_text("theirs")
    epoch(ours, 10)
    assert (filled / "mine-8.weights.h5").read_text() == "theirs"
    with pytest.raises(FileExistsError, match=r"mine-12\.weights\.h5' was written by another run"):
        epoch(ours, 12)
    assert (filled / "mine-12.weights.h5").read_text() == "theirs"
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_new_run_moves_the_checkpoints_of_the_one_before(small, filled):
    content = {path.name: path.read_bytes() for path in filled.iterdir()}
    (filled / "dqn-before-1").mkdir()  # of the time before that
    agent = small("dqn", seed=1)
    state = state_of(agent)
    with pytest.warns(
        UserWarning, match=r"load=False.*dqn-10\.weights\.h5, dqn-20.*were moved to .*dqn-before-2'.*load=True"
    ):
        callback = begin(agent, filled, load=False)
    assert differences(state_of(agent), state) == [] and callback.newest is None
    assert {path.name: path.read_bytes() for path in (filled / "dqn-before-2").iterdir()} == content
    epoch(callback, 10)
    assert names(filled) == sorted([*series(10), "dqn-before-1", "dqn-before-2"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = begin(agent, filled, load=False)  # a notebook's cell that runs again
    assert again.newest == filled / "dqn-10.weights.h5" and agent.timesteps == 10


# Interrupts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event", with_few(["on_timestep_end", "on_update_end", "on_epoch_end", "step"], ["on_update_end", "step"])
)
def test_an_interrupt_saves_and_the_same_cell_goes_on(event, small, tmp_path):
    class Interrupt(kagent.callbacks.Callback):
        armed = True

        def _interrupt(self, *arguments):
            if self.armed and self.model.timesteps >= 20:
                Interrupt.armed = False
                raise KeyboardInterrupt

    class Env(gymnasium.Wrapper):
        def step(self, action):
            Interrupt._interrupt(interrupt, action) if event == "step" else None
            return super().step(action)

    if event != "step":
        setattr(Interrupt, event, Interrupt._interrupt)
    interrupt, agent = Interrupt(), small("dqn", compiled={"run_eagerly": True}, frequency=4)

    def cell():
        saver = Checkpoint(tmp_path)
        bounds = {"max_steps": 30, "steps_per_epoch": 10}
        agent.fit(Env(gymnasium.make("CartPole-v1")), **bounds, callbacks=[interrupt, saver], verbose=0)

    interrupt.set_model(agent)
    with pytest.raises(KeyboardInterrupt):
        cell()
    assert names(tmp_path) == series(20) and agent.timesteps == 20
    with warnings.catch_warnings():
        # The step that was cut off is lost, and its episode with it.
        warnings.filterwarnings("ignore" if event == "step" else "error", "The open episodes")
        restarted = small("dqn", compiled={"run_eagerly": True}, frequency=4, seed=5)
        begin(restarted, tmp_path)
        assert differences(state_of(restarted), state_of(agent)) in ([], ["open episodes"])
        cell()
    assert names(tmp_path) == series(20, 30) and agent.timesteps == 30
    whole = small("dqn", compiled={"run_eagerly": True}, frequency=4)
    whole.fit("CartPole-v1", max_steps=30, steps_per_epoch=10, verbose=0)
    if event != "step":
        restarted.fit("CartPole-v1", max_steps=30, steps_per_epoch=10, verbose=0)
        assert differences(state_of(restarted), state_of(whole)) == []


def test_an_error_saves_nothing(idle, tmp_path):
    def fail(epoch, logs):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        idle().fit(
            "CartPole-v1", steps=9, callbacks=[Checkpoint(tmp_path), LambdaCallback(on_epoch_end=fail)], verbose=0
        )
    assert names(tmp_path) == []


def test_one_is_loaded_by_its_name(small, filled):
    agent = small("dqn", seed=1)
    assert begin(agent, filled, load="dqn-30").newest.name == "dqn-30.weights.h5" and agent.timesteps == 30
    with pytest.raises(ValueError, match=r"'dqn-10\.weights\.h5' is 10 timesteps old.*dqn-20.*dqn-30.*`filename`"):
        begin(agent, filled, load="dqn-10.weights.h5")
    assert agent.timesteps == 30
    callback = begin(agent, filled, load="dqn-10.weights.h5", filename="branch")
    assert agent.timesteps == 10
    epoch(callback, 15)
    assert names(filled) == sorted([*series(10, 20, 30), *series(15, name="branch")])
    with pytest.raises(ValueError, match=r"begins another run than that of the checkpoints branch-15\.weights\.h5"):
        begin(agent, filled, load="dqn-20.weights.h5", filename="branch")
    with pytest.raises(ValueError, match=r"`load` must name a file in .*'dqn-10\.weights\.h5', 'dqn-20.*'dqn-99\.w"):
        begin(agent, filled, load="dqn-99.weights.h5")
    (filled / "link.weights.h5").symlink_to(filled / "dqn-10.weights.h5")
    with pytest.raises(ValueError, match="`load` must name a file"):
        begin(agent, filled, load="link")
    for timesteps in (20, 30):
        (filled / f"dqn-{timesteps}.weights.h5").unlink()
    epoch(begin(agent, filled, load="dqn-10"), 12)  # with what was beyond it gone, the series itself goes on
    assert names(filled) == sorted([*series(10, 12), *series(15, name="branch"), "link.weights.h5"])


def test_without_checkpoints_it_begins_afresh_in_a_folder_of_its_own_making(small, tmp_path):
    agent, folder = small("dqn"), tmp_path / "a" / "b ü"
    state = state_of(agent)
    callback = begin(agent, str(folder))
    assert names(folder) == [] and callback.newest is None and differences(state_of(agent), state) == []
    callback.on_train_end()  # nothing has happened
    assert names(folder) == []
    epoch(begin(small("dqn", name="mine"), folder), 5)
    assert names(folder) == series(5, name="mine")


# When ------------------------------------------------------------------------------------------------------


def test_it_saves_every_so_many_seconds_of_wall_time(small, tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(checkpoint, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    callback = begin(small("dqn"), tmp_path, frequency=10)
    callback.on_epoch_begin(0)

    def pass_(seconds, timesteps, event):
        now[0] += seconds
        callback.model.counters.timesteps = timesteps
        getattr(callback, event)(0)
        return [int(name[4:].split(".")[0]) for name in names(tmp_path)]

    assert pass_(9, 1, "on_update_end") == pass_(0, 1, "on_epoch_end") == []
    assert pass_(1, 2, "on_update_end") == pass_(9, 3, "on_update_end") == [2]
    assert pass_(1, 4, "on_epoch_end") == pass_(9, 5, "on_epoch_end") == [2, 4]
    assert pass_(100, 6, "on_update_end") == pass_(0, 7, "on_update_end") == [2, 4, 6]
    callback.on_train_end()
    assert names(tmp_path) == series(2, 4, 6, 7)


# Arguments -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"directory": None}, TypeError, r"`directory` must be a path\. Received: None"),
        ({"directory": 3}, TypeError, "`directory`.*Received: 3"),
        ({"directory": b"a"}, TypeError, "`directory`.*Received: b'a'"),
        ({"directory": ""}, ValueError, "`directory`.*Received: ''"),
        ({"directory": "gs://bucket/run"}, ValueError, "`directory`.*on this machine.*gs://"),
        ({"directory": __file__}, ValueError, r"`directory` must be a directory, not a file.*test_checkpoint\.py"),
        ({"filename": ""}, ValueError, "`filename` must be a file name without folders.*Received: ''"),
        ({"filename": "a/b"}, ValueError, "`filename`.*Received: 'a/b'"),
        ({"filename": "a\\b"}, ValueError, "`filename`.*Received"),
        ({"filename": ".."}, ValueError, r"`filename`.*Received: '\.\.'"),
        ({"filename": "a\0"}, ValueError, "`filename`.*Received"),
        ({"filename": 3}, TypeError, "`filename`.*Received: 3"),
        ({"frequency": 0}, ValueError, "`frequency` must be a number of seconds > 0.*Received: 0"),
        ({"frequency": -1.0}, ValueError, "`frequency`.*Received: -1.0"),
        ({"frequency": float("nan")}, ValueError, "`frequency`.*Received: nan"),
        ({"frequency": float("inf")}, ValueError, "`frequency`.*Received: inf"),
        ({"frequency": True}, TypeError, "`frequency`.*Received: True"),
        ({"frequency": "600"}, TypeError, "`frequency`.*Received: '600'"),
        ({"load": "../a.weights.h5"}, ValueError, "`load` must be True, False or a file name.*Received: '../a"),
        ({"load": "a/b"}, ValueError, "`load`.*Received: 'a/b'"),
        ({"load": ""}, ValueError, "`load`.*Received: ''"),
        ({"load": None}, TypeError, "`load`.*Received: None"),
        ({"load": 1}, TypeError, "`load`.*Received: 1"),
        ({"max_checkpoints": 0}, ValueError, "`max_checkpoints` must be an integer >= 1.*Received: 0"),
        ({"max_checkpoints": True}, ValueError, "`max_checkpoints`.*Received: True"),
        ({"max_checkpoints": 2.5}, ValueError, "`max_checkpoints`.*Received: 2.5"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_at_once(arguments, error, message, tmp_path):
    with pytest.raises(error, match=message):
        Checkpoint(**{"directory": tmp_path / "new", **arguments})
    with pytest.raises(error, match=message):
        Checkpoint.from_spec({"directory": tmp_path / "new", **arguments})
    assert not (tmp_path / "new").exists()


def test_tensorforces_dict(tmp_path):
    spec = {"directory": tmp_path, "filename": "a", "frequency": 60, "load": "b", "max-checkpoints": 3}
    made = Checkpoint.from_spec(spec)
    assert (made.directory, made.filename, made.frequency, made.load) == (tmp_path, "a", 60.0, "b")
    assert made.max_checkpoints == 3 == Checkpoint.from_spec({"directory": ".", "max_checkpoints": 3}).max_checkpoints
    default = Checkpoint.from_spec({"directory": tmp_path})
    assert (default.filename, default.frequency, default.load, default.max_checkpoints) == (None, 600.0, True, 5)
    for spec, error, message in [
        ({}, ValueError, "`saver` needs a 'directory'"),
        ({"directory": ".", "max_checkpoint": 3, "unit": "updates"}, ValueError,
         r"no key \['max_checkpoint', 'unit'\]\. Known: \['directory', 'filename', 'frequency', 'load', 'max_checkpoints'"),
        ({"directory": ".", "max_checkpoints": 3, "max-checkpoints": 3}, ValueError, "not both"),
        ("checkpoints", TypeError, "`saver` must be a dict.*Received: 'checkpoints'"),
        ({"directory": ".", 3: 4}, ValueError, r"no key \['3'\]"),
    ]:  # fmt: skip
        with pytest.raises(error, match=message):
            Checkpoint.from_spec(spec)


def test_only_an_agent_and_a_folder_that_can_be_written_to_will_do(small, tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(TypeError, match=r"needs a kagent agent\. Received: a Sequential"):
        begin(model, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        begin(small("dqn"), tmp_path / "file" / "folder")


def test_the_examples_of_the_docstrings_run(idle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(checkpoint, extraglobs={"kagent": kagent, "agent": idle()})
    assert result.failed == 0 and result.attempted == 4 and names("checkpoints") == series(300)


def test_the_spaces_of_the_newest_file_that_says_them(small, tmp_path):
    saver = Checkpoint(tmp_path / "series", "run")
    assert saver.spaces() is None and not (tmp_path / "series").exists()
    agent = small("dqn")
    (tmp_path / "series").mkdir()
    older, newer = (tmp_path / "series" / f"run-{number}.weights.h5" for number in (9, 10))
    agent.save_weights(older)
    newer.write_bytes(older.read_bytes()[:2000])
    assert saver.files == [older, newer]
    assert saver.spaces() == (agent.observation_space, agent.action_space)
    older.write_bytes(b"x")
    with pytest.raises(ValueError, match=r"None of the checkpoints in .*series' can be read: .*run-10"):
        saver.spaces()


def test_a_folder_by_another_name_is_the_same_series(small, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    agent = small("dqn")
    epoch(begin(agent, tmp_path / "folder"), 30)
    again = begin(agent, tmp_path / "link")
    epoch(again, 30)  # the run's own file, which it may replace
    epoch(again, 40)
    assert names(tmp_path / "folder") == series(30, 40) and again.newest.name == "dqn-40.weights.h5"
