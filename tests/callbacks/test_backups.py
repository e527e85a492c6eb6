"""Keras's BackupAndRestore after a kill between its two files."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import keras
import pytest
from keras.callbacks import BackupAndRestore
from runs import equal, run

pytestmark = pytest.mark.eager(seldom=True)

DAMAGES = {
    "empty": "",
    "cut": '{"epo',
    "no epoch": "{}",
    "no dict": "3",
    "no number": '{"epoch": null}',
    "negative": '{"epoch": -1}',
}


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def made():
    return {}


@pytest.fixture
def backup(small, made, tmp_path, tmp_path_factory):
    """The folder of a run that was killed in its third epoch of 20 timesteps, and the agent of the whole run."""

    def kill(epoch):
        if epoch == 2:
            raise Killed

    if not made:
        made["whole"], made["folder"] = small("dqn"), tmp_path_factory.mktemp("killed") / "backup"
        run(made["whole"], epochs=4)
        killing = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: kill(epoch))
        with pytest.raises(Killed):
            run(small("dqn"), BackupAndRestore(made["folder"]), killing, epochs=4)
    folder = shutil.copytree(made["folder"], tmp_path / "backup")
    assert json.loads((folder / "training_metadata.json").read_text())["epoch"] == 2  # Keras's names
    assert (folder / "latest.weights.h5").is_file()
    return folder, made["whole"]


@pytest.mark.parametrize("name", DAMAGES)
def test_training_goes_on_from_the_weights_beside_a_damaged_number(name, small, backup):
    folder, whole = backup
    (folder / "training_metadata.json").write_text(DAMAGES[name])
    resumed = small("dqn", seed=9)
    with pytest.warns(UserWarning, match=r"training_metadata\.json' is damaged.*goes on from 'latest\.weights\.h5'"):
        history = run(resumed, BackupAndRestore(folder), epochs=4)
    assert history.epoch == [2, 3] and resumed.timesteps == 80
    assert equal(resumed.get_weights(), whole.get_weights()) and not folder.exists()


def test_a_number_without_weights_is_refused_and_a_damaged_one_is_nothing(small, backup):
    folder, _ = backup
    (folder / "latest.weights.h5").unlink()
    agent = small("dqn")
    with pytest.raises(ValueError, match=r"says which epoch to go on with, but 'latest\.weights\.h5' is not there"):
        run(agent, BackupAndRestore(folder), epochs=1)
    assert agent.timesteps == 0
    (folder / "training_metadata.json").write_text("")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert run(agent, BackupAndRestore(folder), epochs=1).epoch == [0]


def test_damaged_weights_fall_back_to_the_ones_before(small, tmp_path):
    folder = tmp_path / "backup"
    agent = small("dqn")
    run(agent, BackupAndRestore(folder, double_checkpoint=True, delete_checkpoint=False), epochs=3)
    path = folder / "latest.weights.h5"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (folder / "training_metadata.json.bkp").write_text("")  # and the number was cut then
    resumed = small("dqn", seed=9)
    with pytest.warns(UserWarning, match=r"training_metadata\.json\.bkp' is damaged.*'latest\.weights\.h5\.bkp'"):
        history = run(resumed, BackupAndRestore(folder, double_checkpoint=True), epochs=3)
    assert history.epoch == [2] and resumed.timesteps == 60
    assert equal(resumed.get_weights(), agent.get_weights())


def test_offline_training_too(small, backup):
    folder, _ = backup
    (folder / "training_metadata.json").write_text("")
    agent = small("dqn", seed=9)
    agent.fit("CartPole-v1", steps=20, verbose=0)
    with pytest.warns(UserWarning, match="is damaged"):
        agent.fit(agent.memory.dataset(8).take(2), epochs=1, callbacks=BackupAndRestore(folder), verbose=0)
    assert agent.timesteps == 40  # of the backup


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is full is Linux's")
def test_training_goes_on_after_a_disk_was_full_when_the_number_was_written(small, tmp_path):
    """As of a tmpfs in which the weights fit, and nothing beside: OSError, and a file of no bytes."""
    folder, whole = tmp_path / "backup", small("dqn")
    run(whole, epochs=3)
    folder.mkdir()
    number = folder / "training_metadata.json"

    def fill(epoch):
        if epoch == 1:
            number.unlink()
            number.symlink_to("/dev/full")

    full = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: fill(epoch))
    with pytest.raises(OSError, match="No space left on device"):
        run(small("dqn"), full, BackupAndRestore(folder), epochs=3)
    number.unlink()
    number.touch()
    resumed = small("dqn", seed=9)
    with pytest.warns(UserWarning, match=r"killed or its disk full.*goes on from 'latest\.weights\.h5'"):
        assert run(resumed, BackupAndRestore(folder), epochs=3).epoch == [2]
    assert equal(resumed.get_weights(), whole.get_weights())


def test_a_double_backup_whose_newest_files_are_gone_goes_on_from_the_ones_before(small, tmp_path):
    whole, folder = small("dqn"), tmp_path / "backup"
    run(whole, epochs=4)

    def kill(epoch, logs):
        if epoch == 3:
            raise Killed

    killing = keras.callbacks.LambdaCallback(on_epoch_begin=kill)
    with pytest.raises(Killed):
        run(small("dqn"), BackupAndRestore(folder, double_checkpoint=True), killing, epochs=4)
    for name in ("latest.weights.h5", "training_metadata.json"):
        (folder / name).unlink()
    resumed = small("dqn", seed=9)
    with pytest.warns(UserWarning, match=r"latest\.weights\.h5' is gone: training goes on from the backup before"):
        history = run(resumed, BackupAndRestore(folder, double_checkpoint=True), epochs=4)
    assert history.epoch == [2, 3] and resumed.timesteps == 80
    assert equal(resumed.get_weights(), whole.get_weights())
