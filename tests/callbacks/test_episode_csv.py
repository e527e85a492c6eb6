"""EpisodeCSV: a row for each episode, none twice, none half; and the history as a frame."""

import csv
import math
import os
import signal
import sys
import types

import forked
import pytest
from toy_envs import Counter

import kagent
from kagent.callbacks import Checkpoint, EpisodeCSV
from kagent.callbacks.history_frame import columns

HEADER = "timesteps,episode,env,episode_return,episode_length,seconds\n"


@pytest.fixture
def agent(small):
    return small("dqn", env=Counter(), start=10_000, exploration=0.0)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def numbers(path, name):
    return [float(row[name]) for row in rows(path)]


@pytest.mark.eager
@pytest.mark.filterwarnings("ignore:The open episodes")
def test_a_row_for_each_episode(agent, tmp_path):
    """Episode e of a Counter has the rewards 100 e + step + action / 8."""
    path = tmp_path / "logs" / "episodes.csv"
    returns = []
    told = type("Told", (kagent.callbacks.Callback,), {"on_episode_end": lambda self, e, logs: returns.append(logs)})()
    for lengths in ((2, 3), (4,)):  # the second fit goes on with the file of the first
        agent.fit(Counter(lengths=lengths), steps=10, verbose=0, callbacks=[EpisodeCSV(path), told])
    assert path.read_text().startswith(HEADER) and path.read_text().count("\n") == 7
    assert numbers(path, "episode") == [0, 1, 2, 3, 4, 5]
    assert numbers(path, "timesteps") == [2, 5, 7, 10, 14, 18]
    assert numbers(path, "episode_length") == [2, 3, 2, 3, 4, 4]
    assert numbers(path, "episode_return") == [logs["episode_return"] for logs in returns]
    assert 303 <= numbers(path, "episode_return")[1] <= 304
    seconds = numbers(path, "seconds")
    assert seconds == sorted(seconds) and seconds[0] >= 0


@pytest.mark.eager
def test_environments_are_told_apart(small, tmp_path):
    agent = small("dqn", env=Counter(), start=10_000, exploration=0.0)
    make = iter([Counter(lengths=(2,)), Counter(lengths=(3,))])
    path = tmp_path / "episodes.csv"
    agent.fit(lambda: next(make), steps=12, n_envs=2, verbose=0, callbacks=[EpisodeCSV(path)])
    assert [(row["timesteps"], row["env"], row["episode_length"]) for row in rows(path)] == [
        ("4", "0", "2"), ("6", "1", "3"), ("8", "0", "2"), ("12", "0", "2"), ("12", "1", "3"),
    ]  # fmt: skip
    assert numbers(path, "episode") == [0, 1, 2, 3, 4]


@pytest.mark.eager
@pytest.mark.filterwarnings("ignore:The open episodes")
@pytest.mark.parametrize("first", ["csv", "checkpoint"])
def test_a_run_that_goes_on_has_no_row_twice(small, tmp_path, first):
    """Stopped at timestep 9, saved at timestep 6: the episode that ended at 8 is played again."""
    path = tmp_path / "episodes.csv"
    make = lambda: small("dqn", env=Counter(), start=10_000, exploration=0.0)  # noqa: E731
    agent = make()
    agent.fit(Counter(lengths=(2,)), steps=6, verbose=0, callbacks=[EpisodeCSV(path), Checkpoint(tmp_path / "saved")])
    agent.fit(Counter(lengths=(2,)), steps=3, verbose=0, callbacks=[EpisodeCSV(path)])
    assert numbers(path, "timesteps") == [2, 4, 6, 8]
    passed = numbers(path, "seconds")[2]
    with open(path, "a") as file:
        file.write("10,4,0,1")  # a kill has cut the last row
    callbacks = [EpisodeCSV(path), Checkpoint(tmp_path / "saved")]
    again = make()
    again.fit(Counter(lengths=(4,)), steps=14, verbose=0, callbacks=callbacks if first == "csv" else callbacks[::-1])
    assert again.timesteps == 14
    assert numbers(path, "timesteps") == [2, 4, 6, 10, 14] and numbers(path, "episode") == [0, 1, 2, 3, 4]
    assert numbers(path, "seconds")[3] >= passed


PROGRAM = """
import os, signal, sys
import kagent
from toy_envs import Counter

class Kill(kagent.callbacks.Callback):
    def on_timestep_end(self, timestep, logs=None):
        if timestep == 9 and sys.argv[1] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)

agent = kagent.DQN(Counter(), network={"type": "mlp", "units": [4]}, memory=50, start=1000, batch_size=4, seed=0)
saver = kagent.callbacks.Checkpoint("saved", frequency=2, unit="episodes")
table = kagent.callbacks.EpisodeCSV("episodes.csv")
agent.fit(Counter(lengths=(2,)), max_steps=14, verbose=0, callbacks=[table, saver, Kill()])
"""


@pytest.mark.thorough
def test_after_a_kill(tmp_path):
    """Killed at timestep 9 with five whole rows less one; saved at timestep 8, with four episodes."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(["tests", os.getcwd(), os.path.join(os.getcwd(), "tests")]),
    }
    (tmp_path / "train.py").write_text(PROGRAM)
    killed = forked.run([tmp_path / "train.py", "kill"], tmp_path, environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert numbers(tmp_path / "episodes.csv", "timesteps") == [2, 4, 6, 8]
    resumed = forked.run([tmp_path / "train.py", "go on"], tmp_path, environment)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert numbers(tmp_path / "episodes.csv", "timesteps") == [2, 4, 6, 8, 10, 12, 14]
    assert numbers(tmp_path / "episodes.csv", "episode") == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.eager
def test_a_new_agent_keeps_the_file_of_another_run(agent, small, tmp_path):
    path = tmp_path / "episodes.csv"
    agent.fit(Counter(lengths=(2,)), steps=4, verbose=0, callbacks=[EpisodeCSV(path)])
    before = path.read_text()
    other = small("dqn", env=Counter(), start=10_000)
    with pytest.warns(UserWarning, match=r"held the episodes of another run. They are in 'episodes-before-1\.csv' now"):
        other.fit(Counter(lengths=(3,)), steps=3, verbose=0, callbacks=[EpisodeCSV(path)])
    assert (tmp_path / "episodes-before-1.csv").read_text() == before and numbers(path, "timesteps") == [3]


@pytest.mark.eager
@pytest.mark.filterwarnings("ignore:The open episodes")
@pytest.mark.parametrize(
    "content, message",
    [
        ("a,b\n1,2\n", "is no table of an EpisodeCSV"),
        ("a,b", "is no table of an EpisodeCSV"),
        (HEADER + "x,0,0,1.0,2,0.1\n", "Line 2 of .* is no row"),
        (HEADER + "3,0,0,1.0\n", "Line 2 of .* is no row"),
        (HEADER + "99,0,0,1.0,2,0.1\n", "is of another run: its episode 0 ended at timestep 99"),
    ],
)
def test_other_files_are_refused_as_they_are(agent, tmp_path, content, message):
    agent.fit(Counter(lengths=(2,)), steps=4, verbose=0)
    path = tmp_path / "episodes.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        agent.fit(Counter(lengths=(2,)), steps=4, verbose=0, callbacks=[EpisodeCSV(path)])
    assert path.read_text() == content and agent.timesteps == 4


def test_a_full_disk_leaves_no_half_row(agent, tmp_path, monkeypatch):
    path = tmp_path / "episodes.csv"
    table = EpisodeCSV(path)
    table.set_model(agent)
    table.on_train_begin()
    table.on_epoch_begin(0)
    logs = {"env": 0, "episode_return": 1.5, "episode_length": 2}
    table.on_episode_end(0, logs)

    class Full:
        """Takes three bytes, and no more."""

        def __init__(self, file):
            self.file, self.room = file, 3

        def write(self, data):
            if not self.room:
                raise OSError(28, os.strerror(28))
            part, self.room = data[: self.room], 0
            return self.file.write(part)

        def __getattr__(self, name):
            return getattr(self.file, name)

    whole, table._file = path.read_text(), Full(table._file)
    with pytest.raises(OSError, match=r"No space left on device.*bytes are free there.*episodes\.csv"):
        table.on_episode_end(1, logs)
    assert path.read_text() == whole and whole.splitlines()[1].startswith("0,0,0,1.5,2,")
    table.on_train_abort()
    assert table._file is None


@pytest.mark.eager
@pytest.mark.eager
@pytest.mark.filterwarnings("ignore:The open episodes")
def test_a_file_that_is_removed_begins_anew(agent, tmp_path):
    path = tmp_path / "episodes.csv"

    class Remove(kagent.callbacks.Callback):
        def on_episode_end(self, episode, logs=None):
            if episode == 1:
                path.unlink()

    with pytest.warns(UserWarning, match=r"episodes\.csv' was removed while it was written"):
        agent.fit(Counter(), episodes=4, callbacks=[EpisodeCSV(path), Remove()], verbose=0)
    assert numbers(path, "episode") == [2, 3]


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
@pytest.mark.filterwarnings("ignore:The open episodes")
def test_one_file_is_of_one_callback(agent, tmp_path):
    first, second = EpisodeCSV(tmp_path / "episodes.csv"), EpisodeCSV(tmp_path / "episodes.csv")
    with pytest.raises(ValueError, match=r"Another EpisodeCSV writes '.*episodes\.csv' now"):
        agent.fit(Counter(), episodes=2, callbacks=[first, second], verbose=0)
    agent.fit(Counter(), episodes=2, callbacks=[second], verbose=0)
    assert numbers(tmp_path / "episodes.csv", "episode") == [0, 1]


def test_a_device_that_is_full_is_an_error_with_its_path(agent, tmp_path):
    (tmp_path / "episodes.csv").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device.*episodes\.csv"):
        agent.fit(Counter(lengths=(2,)), steps=4, verbose=0, callbacks=[EpisodeCSV(tmp_path / "episodes.csv")])
    assert agent.timesteps == 0


def test_paths_are_checked_at_once(tmp_path):
    with pytest.raises(ValueError, match="`path` must be a file, not a folder"):
        EpisodeCSV(tmp_path)
    with pytest.raises(TypeError, match=r"`path` must be a path\. Received: 3"):
        EpisodeCSV(3)
    with pytest.raises(ValueError, match="`path` must be a path on this machine"):
        EpisodeCSV("gs://bucket/episodes.csv")


# Frames ----------------------------------------------------------------------------------------------------


@pytest.fixture
def history(agent):
    return agent.fit(
        Counter(lengths=(7,)), steps=20, steps_per_epoch=5, validation_env=Counter(lengths=(2,)), validation_episodes=1,
        validation_freq=2, verbose=0,
    )  # fmt: skip


@pytest.mark.eager
def test_the_columns_of_a_frame(history):
    """An episode ends at timesteps 7 and 14: the first epoch has no return. Epochs 1 and 3 have validations, 0 and 2 none."""
    found = columns(history)
    assert (
        found["epoch"] == [0, 1, 2, 3] and found["timesteps"] == [5, 10, 15, 20] and found["episodes"] == [0, 1, 2, 2]
    )
    assert math.isnan(found["episode_return"][0]) and found["episode_length"][1:] == [7.0, 7.0, 7.0]
    assert all(isinstance(value, int) for value in found["timesteps"])
    validated = found["val_episode_length"]
    assert [math.isnan(value) for value in validated] == [True, False, True, False] and validated[1] == 2.0
    assert {len(values) for values in found.values()} == {4}


class Frames(types.ModuleType):
    """Stands for a library of frames: what it was given is what is tested."""

    DataFrame = dict


def test_a_frame_is_of_the_library_that_is_there(history, monkeypatch):
    library = Frames("polars")
    library.__spec__ = object()
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "polars" or None)
    monkeypatch.setitem(sys.modules, "polars", library)
    assert list(kagent.history_frame(history)) == list(columns(history))
    with pytest.raises(ImportError, match="A frame needs pandas: pip install pandas"):
        kagent.history_frame(history, "pandas")
    with pytest.raises(ValueError, match=r"`library` must be None or one of \('pandas', 'polars'\). Received: 'numpy'"):
        kagent.history_frame(history, "numpy")
    with pytest.raises(TypeError, match=r"`history` must be the History that `fit` returns\. Received: dict"):
        kagent.history_frame(history.history)


def test_values_of_unknown_epochs_are_refused(history):
    history.history["own"] = [1.0]
    with pytest.raises(ValueError, match="4 epochs and 1 values of 'own'"):
        columns(history)
