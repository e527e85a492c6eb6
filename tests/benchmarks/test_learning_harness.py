"""The learning benchmark: its gates, its table, and one tiny run of each task."""

import json

import children
import pytest

from benchmarks import learning, speed
from benchmarks.learning import TASKS, interquartile_mean, passes


@pytest.mark.parametrize(
    ("means", "asked", "reached"),
    [
        ([500, 480, 475, 490, 400], 5, True),
        ([500, 480, 475, 474, 490], 5, True),
        ([500, 480, 474, 474, 490], 5, False),  # two below the gate
        ([500, 480, 475, 490, 399], 5, False),  # one below the floor
        ([500, 480, 475, 490], 5, False),  # one seed failed
        ([480], 1, True),
        ([470], 1, False),
    ],
)
def test_the_gate(means, asked, reached):
    assert passes(TASKS["dqn-cartpole"], means, asked) is reached


def test_the_interquartile_mean():
    assert interquartile_mean([1.0, 100.0, 2.0, 3.0, 4.0]) == 3.0
    assert interquartile_mean([1.0, 3.0]) == 2.0
    assert interquartile_mean([0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 700.0]) == 35.0


def test_every_task_has_tuned_settings():
    from kagent import tuned

    for task in TASKS.values():
        assert tuned.load(task.algorithm, task.environment)["fit"]["steps"]


def test_seeds_take_turns_in_processes_and_a_failure_is_shown(monkeypatch, tmp_path, capsys):
    asked = []

    def run_child(module, arguments, settings, timeout):
        asked.append(
            (module, arguments[arguments.index("--tasks") + 1], arguments[arguments.index("--first-seed") + 1])
        )
        if len(asked) == 2:
            return {"error": "exit code 1\nValueError: no"}
        return {"mean": 480.0, "seconds": 2.0, "timesteps": 50_000, "versions": {"kagent": "0.1.0"}, "returns": []}

    monkeypatch.setattr(speed, "run_child", run_child)
    out = tmp_path / "results.json"
    code = learning.main(["--tasks", "dqn-cartpole,ppo-cartpole", "--seeds", "2", "--out", str(out)])
    assert code == 1
    assert asked == [
        ("benchmarks.learning", f"{name}-cartpole", seed) for name in ("dqn", "ppo") for seed in ("1000", "1001")
    ]
    table = capsys.readouterr().out
    assert "| dqn-cartpole | 50,000 | 480.0 | 480.0 | 480.0 | 2 | >= 475 on 2 of 2, each >= 400 | NO |" in table
    assert "| ppo-cartpole | 50,000 | 480.0, 480.0 | 480.0 | 480.0 | 2 | >= 475 on 2 of 2, each >= 400 | yes |" in table
    assert "dqn-cartpole, seed 1001:" in table and "ValueError: no" in table and "kagent 0.1.0" in table
    assert len(json.loads(out.read_text())["records"]) == 4


@pytest.mark.parametrize("arguments", [["--tasks", "dqn-pong"], ["--seeds", "0"], ["--steps", "0"]])
def test_bad_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        learning.main(arguments)
    said = capsys.readouterr().err
    assert "known: ['dqn-cartpole'" in said or "must be at least 1" in said


def test_a_short_run_for_real(monkeypatch, capsys):
    monkeypatch.setattr(speed, "run_child", children.run)
    code = learning.main(["--tasks", "dqn-cartpole", "--seeds", "1", "--steps", "1300", "--episodes", "2"])
    said = capsys.readouterr()
    assert code == 1, said  # 1,300 steps reach no gate
    assert "| dqn-cartpole | 1,300 | " in said.out and "| NO |" in said.out and "tensorflow " in said.out
    assert "FAILED" not in said.err
