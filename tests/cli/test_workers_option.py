"""`kagent train --workers`: environments in workers, and what does not go with them."""

import argparse
import importlib
import sys

import pytest

import kagent
from kagent.cli import main, process, workers
from kagent.cli.environment import Source
from kagent.cli.errors import CommandError
from kagent.distributed import Ray


def options(**given):
    defaults = {"workers": None, "envs_per_worker": None, "ray_address": None, "n_envs": None, "data": None}
    return argparse.Namespace(**{**defaults, **given})


def test_what_fit_is_given():
    assert workers.of_options(options(), 1) is None
    given = options(workers=3, envs_per_worker=2, ray_address="auto")
    assert workers.of_options(given, 6) == Ray(3, 2, "auto") and workers.total(given) == 6
    assert workers.of_options(options(workers=3), 3) == Ray(num_workers=3)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"envs_per_worker": 4}, "--envs-per-worker needs --workers. Received: 4"),
        ({"ray_address": "auto"}, "--ray-address needs --workers. Received: auto"),
        ({"workers": 2, "n_envs": 3}, "--n-envs must be the 2 environments of the workers. Received: 3"),
        ({"workers": 2, "envs_per_worker": 2}, "a resumed run keeps its 2 environments. Received: workers with 4"),
        ({"workers": 2, "data": "episodes"}, "--workers have environments, and --data has none"),
        ({"workers": 2, "ray_address": "here"}, "--ray-address: `address` must be None, 'auto' or 'host:port'"),
    ],
)
def test_refusals(given, message):
    with pytest.raises(CommandError, match=message):
        workers.of_options(options(**given), 2)


def test_an_environment_of_an_imported_module(tmp_path, monkeypatch):
    """A worker has not imported what `--import` names."""
    (tmp_path / "own_envs_of_workers.py").write_text(
        "import gymnasium\ngymnasium.register('OwnOfWorkers-v0', 'gymnasium.envs.classic_control:CartPoleEnv')\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="Unknown environment id"):
        workers.Making(Source("OwnOfWorkers-v0"), ())()
    assert workers.Making(Source("OwnOfWorkers-v0"), ("own_envs_of_workers",))().observation_space.shape == (4,)
    sys.modules.pop("own_envs_of_workers")


def test_the_command(tmp_path, monkeypatch, capsys):
    """Its options reach `fit`, and a resumed run keeps them."""
    received = []

    def fit(agent, env, **given):
        received.append((env, given.get("workers"), agent.n_envs))

    monkeypatch.setattr(process, "prepare", lambda: None)
    monkeypatch.setattr(importlib.import_module("kagent.agent").Agent, "fit", fit)
    monkeypatch.chdir(tmp_path)
    small = ["--set", "network.units=[4]", "--set", "tuned=false", "--steps", "64", "--seed", "1", "--quiet"]
    command = ["train", "ppo", "CartPole-v1", "--out", "run", "--eval-episodes", "0", *small]
    assert main([*command, "--workers", "2", "--envs-per-worker", "3", "--ray-address", "auto"]) == 0
    assert main(["train", "--resume", "run", "--quiet"]) == 2  # there is no checkpoint
    assert "no checkpoint" in capsys.readouterr().err
    (tmp_path / "run" / "checkpoints").mkdir()
    assert main(["train", "--resume", "run", "--quiet"]) == 0
    assert received == [("CartPole-v1", Ray(2, 3, "auto"), 6)] * 2
    assert kagent.load(tmp_path / "run" / "agent.keras").n_envs == 6
