"""`kagent tune`: where it searches, and what a study leaves."""

import itertools
import json
import os
import platform
import signal
import subprocess
import sys

import optuna
import pytest
from test_train import base, here  # noqa: F401

import kagent
from kagent.cli import algorithms, main, search_spaces, settings, tune
from kagent.cli.errors import CommandError

CONTINUOUS = ("dpg", "td3", "td3bc", "cql", "sac", "tqc", "naf", "crossq")
QUICK = ["--steps", "120", "--episodes", "2", "--set", "network.units=[4]", "--set", "compile.run_eagerly=true"]


@pytest.mark.parametrize("algorithm", algorithms.ALGORITHMS, ids=lambda one: one.name)
def test_every_algorithm_has_a_space_of_its_own_arguments(algorithm):
    space, preset = search_spaces.load(algorithm.name), getattr(kagent, algorithm.preset)
    assert search_spaces.check(space) == space and len(space) >= 4
    for key, values in space.items():
        for value in values.get("choices", [values.get("low"), values.get("high")]):
            settings.resolve(preset, search_spaces.settings_of(key, value))


@pytest.mark.thorough
@pytest.mark.parametrize("algorithm", algorithms.ALGORITHMS, ids=lambda one: one.name)
def test_agents_can_be_made_of_what_is_proposed(algorithm):
    space, preset = search_spaces.load(algorithm.name), getattr(kagent, algorithm.preset)
    env = "Pendulum-v1" if algorithm.name in CONTINUOUS else "CartPole-v1"
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    made = 0
    for _ in range(6):
        chosen = settings.resolve(preset, search_spaces.suggest(study.ask(), space))
        n_envs = chosen["fit"].pop("n_envs", None) if "fit" in chosen else None
        chosen.pop("fit", None)
        try:
            preset(env, n_envs=n_envs, **chosen)
        except ValueError as error:
            assert "batch_size" in str(error)  # more than a rollout
        else:
            made += 1
    assert made >= 2


def test_what_is_fixed_is_not_searched():
    space = {name: {"choices": [1]} for name in ("a", "part.b", "part.c", "other.d")}
    assert list(search_spaces.without(space, {"a": 3, "part": {"b": 1}})) == ["part.c", "other.d"]
    assert list(search_spaces.without(space, {"part": {"type": "x"}, "other": "name"})) == ["a"]
    assert search_spaces.without(space, {}) == space
    together = {"a, part.b": {"choices": [[1, 2]]}}
    assert search_spaces.without(together, {"part": {"b": 1}}) == {}
    assert search_spaces.without(together, {"part": {"c": 1}}) == together


def test_no_proposal_takes_more_gradient_steps_than_timesteps():
    for algorithm in algorithms.ALGORITHMS:
        pairs = search_spaces.load(algorithm.name).get("frequency, gradient_steps", {"choices": []})["choices"]
        assert all(1 / 4 <= steps / frequency <= 1 for frequency, steps in pairs)
    assert not {"frequency", "gradient_steps"} & search_spaces.load("dqn").keys()


def test_proposals_and_what_optuna_stored_are_the_same_settings():
    space = {
        "network.units": {"choices": [[8], [4, 4]]},
        "rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "count": {"low": 2, "high": 9, "int": True},
        "flag": {"choices": [True, None, "text"]},
        "network.activation, other": {"choices": [["relu", [1]], ["tanh", [2]]]},
    }
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(5):
        trial = study.ask()
        chosen = search_spaces.suggest(trial, space)
        assert search_spaces.of_trial(trial.params, space) == chosen
        assert chosen["network"]["units"] in ([8], [4, 4]) and 2 <= chosen["count"] <= 9
        assert (chosen["network"]["activation"], chosen["other"]) in (("relu", [1]), ("tanh", [2]))
        assert isinstance(chosen["count"], int) and 1e-4 <= chosen["rate"] <= 1e-2


@pytest.mark.parametrize(
    "space",
    [
        [],
        {},
        {"a": 3},
        {"a.": {"choices": [1]}},
        {"a": {"choices": []}},
        {"a": {"choices": [1], "low": 0}},
        {"a": {"low": 1}},
        {"a": {"low": 2, "high": 1}},
        {"a": {"low": 0, "high": 1, "log": True}},
        {"a": {"low": True, "high": 2}},
        {"a": {"low": "0", "high": 2}},
        {"a": {"low": 0, "high": 1, "step": 0.1}},
        {"a,": {"choices": [1]}},
        {"a, b": {"choices": [1, 2]}},
        {"a, b": {"choices": [[1, 2], [3]]}},
        {"a, b": {"low": 1, "high": 2}},
    ],
)
def test_spaces_of_ones_own_are_checked(space):
    with pytest.raises(CommandError, match="--space"):
        search_spaces.check(space)


@pytest.mark.thorough
def test_a_study_is_gone_on_with_and_leaves_settings_that_train_takes(base, here):  # noqa: F811
    (base / "space.json").write_text(json.dumps({"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}))
    command = ["tune", "dqn", "CartPole-v1", "--space", "space.json", "--out", "study", *QUICK, "--set", "memory=500"]
    result = here(*command, "--trials", 1)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("trial 0: return ") and "trial 1" not in result.stdout
    result = here(*command, "--trials", 2)
    assert "trial 0: return" not in result.stdout and "trial 1: return " in result.stdout
    assert "2 trials, 0 of them stopped early" in result.stdout and (base / "study" / "study.png").is_file()
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{base / 'study' / 'study.db'}")
    rates = [trial.params["learning_rate"] for trial in study.trials]
    assert len(set(rates)) == 2
    best = json.loads((base / "study" / "best.json").read_text())
    assert best["learning_rate"] == study.best_params["learning_rate"]
    assert best["memory"] == 500 and best["network"] == {"units": [4]} and best["fit"] == {"steps": 120}
    assert here(*command, "--trials", 2, "--config", "study/best.json").returncode == 2  # nothing is left to search
    config = ["--config", "study/best.json", "--out", "trained", "--quiet", "--eval-episodes", 1]
    assert here("train", "dqn", "CartPole-v1", *config).returncode == 0
    # Nothing of the settings that are shipped for CartPole: the trial's agent had none of them.
    trained = json.loads((base / "trained" / "config.json").read_text())["settings"]
    assert trained.keys() - {"seed"} == best.keys() - {"tuned"} and best["tuned"] is False
    assert "max_grad_norm" not in trained and trained["learning_rate"] == best["learning_rate"]
    refused = here("train", "dqn", "CartPole-v1", "--set", "tuned=3")
    assert refused.returncode == 2 and "'tuned' must be true or false. Received: 3" in refused.stderr


def test_settings_that_do_not_go_together_are_a_trial_that_is_left(base, here):  # noqa: F811
    (base / "wrong.json").write_text(json.dumps({"n_steps": {"choices": [16]}, "batch_size": {"choices": [64]}}))
    result = here("tune", "ppo", "CartPole-v1", "--space", "wrong.json", "--out", "wrong", "--trials", 2, *QUICK)
    assert result.returncode == 1
    assert result.stdout.count("no agent of these settings: `batch_size`") == 2
    assert "No trial of 2 was trained to its end" in result.stdout


def test_bad_input_is_refused_before_anything_is_trained(base, here, monkeypatch):  # noqa: F811
    (base / "other.json").write_text(json.dumps({"learning_rat": {"choices": [1.0]}}))
    result = here("tune", "dqn", "CartPole-v1", "--space", "other.json", "--out", "none", "--trials", 1)
    assert result.returncode == 2 and "Did you mean 'learning_rate'?" in result.stderr
    every = itertools.chain.from_iterable(("--set", f"{key}=null") for key in search_spaces.load("naf"))
    result = here("tune", "naf", "Pendulum-v1", "--out", "none", *every)
    assert result.returncode == 2 and "nothing to search" in result.stderr
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = here("tune", "dqn", "CartPole-v1", "--out", "none")
    assert result.returncode == 2 and "pip install 'kagent[tune]'" in result.stderr


@pytest.fixture
def interruptible():
    """Python's own handler of SIGINT, which a shell has processes in the background ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_study_with_its_workers(monkeypatch, tmp_path, capsys, number):
    """A supervisor's signal reaches the first process alone."""
    workers, before = [], signal.getsignal(signal.SIGTERM)

    def worker(*_):
        workers.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
        return workers[-1]

    monkeypatch.setattr(tune, "_worker", worker)
    monkeypatch.setattr(tune, "_trial", lambda *_: signal.raise_signal(number))
    assert main(["tune", "dqn", "CartPole-v1", "--jobs", "3", "--out", str(tmp_path)]) == 128 + number
    assert "The same command goes on with the study" in capsys.readouterr().err
    assert [one.returncode for one in workers] == [-signal.SIGTERM] * 2
    study = optuna.load_study(study_name="tune-dqn-CartPole-v1", storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert [trial.state.name for trial in study.trials] == ["FAIL"]  # a study that goes on makes up for it
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_study_makes_up_for_a_trial_whose_process_was_killed(monkeypatch, tmp_path, capsys):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    study = optuna.create_study(study_name="tune-dqn-CartPole-v1", storage=f"sqlite:///{tmp_path / 'study.db'}")
    for machine, number in ((platform.node(), ended.pid), (platform.node(), os.getpid()), ("another", ended.pid)):
        study.ask().set_user_attr("process", [machine, number])
    monkeypatch.setattr(tune, "_plot", lambda *_: None)
    monkeypatch.setattr(tune, "_trial", lambda _, trial, *more: float(bool(search_spaces.suggest(trial, more[2]))))
    assert main(["tune", "dqn", "CartPole-v1", "--trials", "3", "--out", str(tmp_path)]) == 0
    assert "4 trials, 0 of them stopped early. Best: trial 3" in capsys.readouterr().out
    assert [trial.state.name for trial in study.trials] == ["FAIL", "RUNNING", "RUNNING", "COMPLETE"]
