"""Runs that go on, and environments of runs."""

import csv
import json
import shutil
import signal
import sys

import gymnasium
import numpy as np
import pytest
from test_train import SMALL, base, here, rows, start, wait  # noqa: F401

import kagent
from kagent.cli import environment
from kagent.cli.environment import Source
from kagent.cli.errors import CommandError
from kagent.cli.folder import RunFolder

QUICK = [*SMALL, "--set", "frequency=50", "--set", "compile.run_eagerly=true", "--quiet", "--eval-episodes", "2"]


def weights(folder):
    return kagent.load(folder / "agent.keras").get_weights()


@pytest.mark.thorough  # `test_checkpoint` kills a program, too
def test_a_killed_run_ends_as_the_uninterrupted_one(base, here):  # noqa: F811
    options = ["dqn", "CartPole-v1", "--steps", "800", "--seed", "3", *QUICK]
    child = start("train", *options, "--out", "killed", "--checkpoint-every", "0.05", cwd=base)
    folder = base / "killed"
    wait(lambda: len(list(folder.glob("checkpoints/agent-*.weights.h5"))) > 1, child)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert here("train", *options, "--out", "whole").returncode == 0
    result = here("train", "--resume", "killed")
    assert result.returncode == 0, result.stderr
    assert "800 timesteps" in result.stdout and "Evaluation on CartPole-v1: 2 episodes" in result.stdout
    assert all(map(np.array_equal, weights(folder), weights(base / "whole")))
    assert [row["timesteps"] for row in rows(folder)] == [row["timesteps"] for row in rows(base / "whole")]
    shutil.rmtree(folder / "checkpoints")
    (folder / "checkpoints").mkdir()  # as if it was killed before the first one
    result = here("train", "--resume", "killed")
    assert "begins anew, as it has no checkpoint yet" in result.stdout
    assert all(map(np.array_equal, weights(folder), weights(base / "whole")))


@pytest.mark.thorough
def test_a_finished_run_takes_more_timesteps_and_keeps_its_options(base, here):  # noqa: F811
    options = ["--steps", 300, "--out", "short", "--validation", "1", "--save-best", "--wrapper"]
    limit = 'TimeLimit:{"max_episode_steps": 9}'
    result = here("train", "dqn", "CartPole-v1", *options, limit, "--env-kwargs", "sutton_barto_reward=true", *QUICK)
    assert result.returncode == 0, result.stderr
    folder = base / "short"
    assert (folder / "best.keras").is_file()
    result = here("train", "--resume", "short", "--steps", 400, "--quiet")
    assert result.returncode == 0, result.stderr
    log = rows(folder)
    assert [int(float(row["timesteps"])) for row in log] == [100, 200, 300, 400]
    assert all(float(row["val_episode_return"]) <= 0 for row in log)  # this reward is 0, and -1 at a fall
    config = json.loads((folder / "config.json").read_text())
    assert config["environment_arguments"] == {"sutton_barto_reward": True} and config["wrappers"] == [limit]
    result = here("evaluate", "short", "--episodes", 2, "--json")
    assert result.returncode == 0 and max(json.loads(result.stdout)["lengths"]) <= 9
    other = here("evaluate", "short", "CartPole-v1", "--episodes", 1, "--json", "--seed", 0)
    assert json.loads(other.stdout)["returns"][0] > 0  # without the wrapper and the argument: 1 a timestep


def test_what_a_resumed_run_does_not_take_is_refused(base, here):  # noqa: F811
    (base / "nothing").mkdir()
    for options, words in (
        (["--resume", "nothing"], "no config.json"),
        (["--resume", "nothing", "--seed", "1", "dqn"], "keeps its settings"),
        ([], "needs ALGO and ENV"),
        (["dqn"], "needs ALGO and ENV"),
    ):
        result = here("train", *options)
        assert result.returncode == 2 and words in result.stderr, result.stderr
        assert len(result.stderr.splitlines()) == 1
    (base / "nothing" / "config.json").write_text("[1]")
    assert "not the record of a run" in here("train", "--resume", "nothing").stderr
    record = {"settings": {}, "algorithm": "dqn", "environment": "CartPole-v1"}
    (base / "nothing" / "config.json").write_text(json.dumps(record))
    assert "no checkpoint to go on from" in here("train", "--resume", "nothing").stderr


@pytest.mark.parametrize(
    "changed",
    [{"algorithm": "evil:Agent"}, {"environment": "evil:Env-v0"}, {"wrappers": ["evil:Wrapper"]}],
    ids=["algorithm", "environment", "wrapper"],
)
def test_nothing_is_imported_because_a_file_names_it(base, here, changed):  # noqa: F811
    (base / "evil.py").write_text("import pathlib; pathlib.Path('evil').touch()")
    folder = base / "foreign"
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    record = {"settings": {}, "algorithm": "dqn", "environment": "CartPole-v1", **changed}
    (folder / "config.json").write_text(json.dumps(record))
    for command in ("train", "--resume", "foreign"), ("evaluate", "foreign"), ("record", "foreign", "--out", "a.gif"):
        result = here(*command)
        if command[0] == "train" or "algorithm" not in changed:
            assert result.returncode == 2 and "give --import evil" in result.stderr
        assert "evil" not in sys.modules and not (base / "evil").exists()


def test_a_source_makes_what_it_says():
    source = Source("CartPole-v1", {"sutton_barto_reward": True}, ('TimeLimit:{"max_episode_steps": 3}', "ClipReward"))
    with pytest.raises(CommandError, match=r"--wrapper ClipReward"):
        source.make()  # it needs bounds
    made = Source(*(getattr(source, name) for name in ("id", "arguments")), source.wrappers[:1]).make()
    assert isinstance(made, gymnasium.wrappers.TimeLimit) and made.unwrapped._sutton_barto_reward
    again = environment.of_record(source.record(), ())
    assert again == source and Source("CartPole-v1").made_by == "CartPole-v1"
    with pytest.raises(CommandError, match="does not take"):
        Source("CartPole-v1", {"wind": 3}).make()
    with pytest.raises(CommandError, match=r"no wrapper 'TimeLimits' .* Did you mean 'TimeLimit'\?"):
        Source("CartPole-v1", {}, ("TimeLimits",)).make()


@pytest.mark.parametrize("text", ["TimeLimit:{", "Time Limit", "TimeLimit:[1]", "TimeLimit:{1}", ""])
def test_wrappers_are_read_before_anything_is_made(text):
    with pytest.raises(CommandError, match="--wrapper takes"):
        environment._parsed(text)


def test_a_log_is_cut_where_the_run_goes_on(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    folder = RunFolder.existing(tmp_path)
    folder.cut_log("timesteps", 5)  # there is none
    folder.log.write_text("epoch,timesteps,val_episode_return\n0,100,nan\n1,200.0,3.5\n2,300,7\n3,4")
    assert folder.best_validation() == 7.0
    folder.cut_log("timesteps", 200)
    with folder.log.open(newline="") as file:
        assert [row["timesteps"] for row in csv.DictReader(file)] == ["100", "200.0"]
    assert folder.best_validation() == 3.5


def test_the_list_of_algorithms(here):  # noqa: F811
    assert "tuned for CartPole-v1" in here("list").stdout
    entries = json.loads(here("list", "--json").stdout)
    assert {"dqn", "ppo", "sac"} <= {entry["name"] for entry in entries}
    assert json.loads(here("list", "dqn", "--json").stdout)["tuned"]["CartPole-v1"]["batch_size"] == 64
    assert "batch_size: 64" in here("list", "DQN").stdout
    assert here("list", "dqm").returncode == 2
