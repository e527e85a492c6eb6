"""Exact resume: killed at an epoch's end, in mid-episode, and brought back by Keras's stock BackupAndRestore."""

from __future__ import annotations

import json
import os
import signal
import warnings
from pathlib import Path

import forked
import gymnasium
import keras
import pytest
from agent_states import differences, state_of
from keras.callbacks import BackupAndRestore
from resume.cases import CASES, DEFAULT, MORE, QUICK, train
from toy_envs import Nondeterministic, Stateful
from variants import thorough

SCRIPT = Path(__file__).parent / "resume" / "train.py"


def run(folder, stop, names, killed):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    result = forked.run([SCRIPT, folder, stop, *names], env=environment)
    assert result.returncode == (-signal.SIGKILL if killed else 0), result.stderr[-3000:]
    assert "could not be brought back" not in result.stderr


def check(folder, name, whole):
    resumed = json.loads((folder / f"{name}.json").read_text())
    assert differences(resumed["state"], whole["state"]) == [], name
    assert len(whole["state"]) > 30
    # Also every epoch after the last backup says the same: where no episode ended, or no update was made, the last known
    # mean stands, and a new process knows it from the backup.
    epochs = [str(epoch) for epoch in range(CASES[name]["stops"][-1] + 1, len(whole["log"]))]
    assert list(resumed["log"]) == epochs
    assert resumed["log"] == {epoch: whole["log"][epoch] for epoch in epochs}
    assert not (folder / name).exists()


@pytest.mark.thorough
def test_killed_and_resumed_is_uninterrupted(tmp_path):
    names = list(QUICK)
    run(tmp_path, 0, names, killed=True)
    assert all((tmp_path / name / "latest.weights.h5").exists() for name in names)
    run(tmp_path, 1, names, killed=False)
    for name in names:
        check(tmp_path, name, train(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MORE, *DEFAULT])
def test_as_often_as_it_is_killed(name, tmp_path):
    kills = len(CASES[name]["stops"])
    for stop in range(kills + 1):
        run(tmp_path, stop, [name], killed=stop < kills)
    check(tmp_path, name, train(name))


# In one process --------------------------------------------------------------------------------------------


class Killed(Exception):
    pass


def kill(epoch):
    def on_epoch_end(number, logs):
        if number == epoch:
            raise Killed

    return keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)


def fit(agent, env, folder=None, *more, **bounds):
    callbacks = [BackupAndRestore(folder), *more] if folder else [*more]
    agent.fit(env, **{"steps": 90, "steps_per_epoch": 30, **bounds}, callbacks=callbacks, verbose=0)
    return agent


@pytest.mark.thorough
def test_a_kill_between_keras_two_files_loses_nothing(small, tmp_path):
    # Keras writes the weights first and then, in another file, the number of the epoch.
    whole = fit(small("dqn"), "CartPole-v1")
    with pytest.raises(Killed):
        fit(small("dqn"), "CartPole-v1", tmp_path / "backup", kill(1))
    metadata = tmp_path / "backup" / "training_metadata.json"
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), "epoch": 1}))
    resumed = fit(small("dqn", seed=9), "CartPole-v1", tmp_path / "backup")
    assert differences(state_of(resumed), state_of(whole)) == []


def test_progress_is_that_of_the_run_that_resumes(small, tmp_path):
    # Killed, and resumed with a longer bound: schedules that follow progress follow the new one.
    exploration = {"type": "EpsilonGreedy", "fraction": 1.0, "final": 0.0}
    with pytest.raises(Killed):
        fit(small("dqn", exploration=exploration), "CartPole-v1", tmp_path / "backup", kill(1))
    seen = []
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(agent.clock.progress))
    agent = small("dqn", exploration=exploration)
    fit(agent, "CartPole-v1", tmp_path / "backup", look, steps=120)
    assert seen == [0.75, 1.0]


def test_a_nondeterministic_environment_is_said_and_training_goes_on(small, tmp_path):
    with pytest.raises(Killed):
        fit(small("dqn", env=Nondeterministic()), Nondeterministic(), tmp_path / "backup", kill(1))
    agent = small("dqn", env=Nondeterministic())
    with pytest.warns(UserWarning, match=r"environment\(s\) \[0\] could not be brought back.*not deterministic"):
        fit(agent, Nondeterministic(), tmp_path / "backup")
    assert agent.timesteps == 90 and agent._run.open_episodes["lengths"] == [30] and len(agent.memory) == 90


def test_a_rollout_cut_by_a_nondeterministic_environment_ends_there(small, tmp_path):
    arguments = {"env": Nondeterministic(), "n_steps": 50, "batch_size": 50}
    bounds = {"steps": 45, "steps_per_epoch": 15}
    with pytest.raises(Killed):
        fit(small("ppo", **arguments), Nondeterministic(), tmp_path / "backup", kill(0), **bounds)
    agent, seen = small("ppo", **arguments), {}

    def look(epoch, logs):
        seen[epoch] = agent.memory.storage.views["truncated"][:50].copy()

    with pytest.warns(UserWarning, match="could not be brought back"):
        look_at = keras.callbacks.LambdaCallback(on_epoch_end=look)
        fit(agent, Nondeterministic(), tmp_path / "backup", look_at, **bounds)
    # Steps 1-15 are the first run's, what follows is another episode.
    assert seen[1].nonzero()[0].tolist() == [14] and len(agent.memory) == 45


@pytest.mark.thorough
def test_an_environment_that_tells_its_state_is_asked_for_it(small, tmp_path):
    with pytest.raises(Killed):
        fit(small("dqn", env=Stateful()), Stateful(), tmp_path / "backup", kill(1))
    agent = small("dqn", env=Stateful())
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(agent, Stateful(), tmp_path / "backup")
    assert agent.timesteps == 90 and agent._run.open_episodes["lengths"] == [90]


@pytest.mark.parametrize("before, after", [(4, 1), thorough((1, 4))])
def test_another_number_of_environments_begins_new_episodes(before, after, small, tmp_path):
    with pytest.raises(Killed):
        fit(small("dqn"), "CartPole-v1", tmp_path / "backup", kill(1), n_envs=before)
    agent = fit(small("dqn"), "CartPole-v1", tmp_path / "backup", n_envs=after)
    assert agent.timesteps >= 90 and len(agent._run.open_episodes["lengths"]) == after


def test_a_vector_environment_of_ones_own_begins_new_episodes(small, tmp_path):
    def make():
        return gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync")

    with pytest.raises(Killed):
        fit(small("dqn"), make(), tmp_path / "backup", kill(1))
    agent = fit(small("dqn"), make(), tmp_path / "backup")
    assert agent.timesteps >= 90 and agent._run.open_episodes is None
