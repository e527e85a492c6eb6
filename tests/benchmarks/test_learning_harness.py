"""The learning benchmark: which runs there are, in which order, what they leave, and one tiny run for real."""

import json
import threading

import children
import pytest

from benchmarks import learning, learning_run, speed, training_curve
from benchmarks.learning_cells import TASKS


def test_long_cells_come_first_then_seed_by_seed_the_longest_first():
    names = ["trpo-cartpole", "sac-pendulum", "dqn-cartpole", "td3-mountaincarcontinuous"]
    assert learning.order(names, 2) == [
        ("td3-mountaincarcontinuous", 1000),
        ("sac-pendulum", 1000), ("trpo-cartpole", 1000), ("dqn-cartpole", 1000),
        ("sac-pendulum", 1001), ("trpo-cartpole", 1001), ("dqn-cartpole", 1001),
    ]  # fmt: skip
    assert learning.order(["trpo-cartpole"], 3, first=7) == [("trpo-cartpole", seed) for seed in (7, 8, 9)]


def arguments(tmp_path, *more):
    return ["--results", str(tmp_path), *more]


def test_runs_that_are_there_are_skipped_and_a_failure_is_kept_beside(monkeypatch, tmp_path, capsys):
    asked = []

    def run_child(module, given, settings, timeout):
        asked.append((module, *given[:2]))
        if given[0] == "ppo-cartpole" and len(asked) < 4:
            return {"error": "exit code 1\nValueError: no"}
        learning.path_of(tmp_path, (given[0], int(given[1]))).write_text("{}")
        return {"mean": 480.0, "seconds": 2.0}

    monkeypatch.setattr(speed, "run_child", run_child)
    call = arguments(tmp_path, "--tasks", "dqn-cartpole,ppo-cartpole", "--seeds", "1")
    assert learning.main(call) == 1
    assert asked == [("benchmarks.learning_run", f"{name}-cartpole", "1000") for name in ("dqn", "ppo")]
    error = tmp_path / "ppo-cartpole" / "1000.error"
    assert error.read_text() == "exit code 1\nValueError: no\n"
    assert (
        "dqn-cartpole seed 1000: 480.0 in 2 s" in (said := capsys.readouterr().err) and "FAILED: ValueError: no" in said
    )
    assert learning.main(call) == 1 and len(asked) == 3 and asked[2][1] == "ppo-cartpole"  # the other one is there
    assert learning.main(call) == 0 and not error.exists()
    assert learning.main(call) == 0 and len(asked) == 4
    learning.main(arguments(tmp_path, "--list"))
    assert any(
        line.startswith("ppo-cartpole ") and line.endswith("1 of 5 seeds")
        for line in capsys.readouterr().out.splitlines()
    )


def test_runs_without_a_curve_are_run_again_where_asked(monkeypatch, tmp_path):
    """The file of one whose evaluation comes out the same keeps its times; that of another is replaced."""
    asked = []
    monkeypatch.setattr(speed, "run_child", lambda module, given, *more: asked.append(given[0]) or {"error": "x"})
    whole, parts = {"curve": {}, "findings": []}, {"curve": {}, "findings": [], "parts": 2}
    for name, more in (
        ("dqn-cartpole", {}),
        ("ppo-cartpole", whole),
        ("a2c-cartpole", parts),
        ("vpg-cartpole", {"curve": {}}),
    ):
        path = learning.path_of(tmp_path, (name, 1000))
        path.parent.mkdir()
        path.write_text(json.dumps({"settings": {}, "evaluation": {}, "returns": [1.0], "seconds": 5.0, **more}))
    names = "dqn-cartpole,ppo-cartpole,a2c-cartpole,vpg-cartpole"
    call = arguments(tmp_path, "--tasks", names, "--seeds", "1")
    assert learning.main(call) == 0 and asked == []
    assert learning.main([*call, "--curves"]) == 1 and sorted(asked) == ["dqn-cartpole", "vpg-cartpole"]
    again = {
        "settings": {},
        "evaluation": {},
        "returns": [1.0],
        "seconds": 9.0,
        "curve": {"returns": [2.0]},
        "findings": [],
    }
    file = learning.path_of(tmp_path, ("dqn-cartpole", 1000))
    assert learning_run.with_earlier(again, file) == {**again, "seconds": 5.0}
    assert learning_run.with_earlier({**again, "returns": [3.0]}, file)["seconds"] == 9.0
    assert learning_run.with_earlier(again, tmp_path / "absent.json") == again


def test_a_curve_has_a_mean_for_each_part_in_which_episodes_ended():
    """Of 1,000 timesteps in 4 parts: the first ends with 250, the third has no episode, and what is beyond the end is its last."""
    points = [(1, 2.0), (250, 4.0), (251, 5.0), (751, 1.0), (1000, 2.0), (1007, 6.0)]
    assert training_curve.means(points, 1000, 4) == {"timesteps": [250, 500, 1000], "returns": [3.0, 5.0, 3.0]}
    assert training_curve.means([(2, 1.0)], 3, 100) == {"timesteps": [3], "returns": [1.0]}
    assert training_curve.means([], 1000) == {"timesteps": [], "returns": []}


def test_runs_side_by_side_have_cores_of_their_own(monkeypatch, tmp_path):
    together = threading.Barrier(2, timeout=60)
    cores = []

    def run_child(module, given, settings, timeout):
        cores.append(int(given[given.index("--core") + 1]))
        assert settings["OMP_NUM_THREADS"] == "1"
        together.wait()  # ends only if another run is going on
        return {"mean": 1.0, "seconds": 1.0}

    monkeypatch.setattr(speed, "run_child", run_child)
    monkeypatch.setattr(learning.os, "sched_getaffinity", lambda pid: {3, 5})
    assert learning.main(arguments(tmp_path, "--tasks", "dqn-cartpole", "--seeds", "2", "--jobs", "2")) == 0
    assert sorted(cores) == [3, 5]


def test_a_run_longer_than_the_budget_is_not_begun_and_a_long_one_is_made_in_parts(monkeypatch, tmp_path, capsys):
    asked = []

    def run_child(module, given, *rest):
        asked.append((given[0], given[given.index("--minutes") + 1] if "--minutes" in given else None))
        return {"unfinished": True} if len(asked) < 3 else {"mean": 1.0, "seconds": 1.0}

    monkeypatch.setattr(speed, "run_child", run_child)
    tasks = "dqn-cartpole,ppo-lunarlander,sac-lunarlandercontinuous"
    assert learning.main(arguments(tmp_path, "--tasks", tasks, "--seeds", "1", "--budget", "4.5")) == 0
    name, minutes = zip(*asked)
    assert name == ("sac-lunarlandercontinuous",) * 3 + ("dqn-cartpole",)
    assert all(3.0 < float(one) <= 3.5 for one in minutes[:3]) and minutes[3] is None
    assert "1 runs were not begun, or not ended" in capsys.readouterr().err


@pytest.mark.eager
def test_a_run_in_parts_is_that_of_one_piece(small, tmp_path, monkeypatch):
    """Here each part ends with its first epoch."""
    monkeypatch.setattr(learning_run, "EPOCH", 25)
    state = learning_run.Unfinished(tmp_path / "1000.json")
    falling = {"type": "Linear", "initial": 0.1, "final": 0.0}
    whole, *parts = (small("dqn", learning_rate=falling, normalize=True) for _ in range(4))
    found = learning_run.train_part(
        whole, "CartPole-v1", {"steps": 60}, 60.0, learning_run.Unfinished(tmp_path / "whole.json")
    )
    assert found["parts"] == 1 and not list(tmp_path.iterdir()) and len(found["points"]) == whole.episodes > 0
    made = [learning_run.train_part(part, "CartPole-v1", {"steps": 60}, 0.0, state) for part in parts]
    assert made[:2] == [None, None] and made[2]["parts"] == 3 and made[2]["seconds"] > 0.0 and made[2]["findings"] == []
    assert [tuple(point) for point in made[2]["points"]] == found["points"]
    assert [part.timesteps for part in parts] == [25, 50, 60] and whole.updates == parts[2].updates > 0
    for one, other in zip(whole.get_weights(), parts[2].get_weights(), strict=True):
        assert (one == other).all()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--tasks", "dqn-pong"], "known: ['dqn-cartpole'"),
        (["--seeds", "0"], "must be at least 1"),
        (["--jobs", "0"], "must be at least 1"),
        (["--steps", "0"], "must be at least 1"),
        (["--steps", "100"], "--steps: that is another measurement; say --results"),
        (["--first-seed", "0"], "--first-seed: that is another measurement; say --results"),
    ],
)
def test_bad_arguments_are_refused(given, expected, capsys):
    with pytest.raises(SystemExit):
        learning.main(given)
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_settings_that_its_preset_takes(name):
    from kagent.cli import settings

    preset, best = learning_run.settings_of(TASKS[name])
    assert settings.resolve(preset, best, {"seed": 0})["fit"]["steps"] >= 1000


@pytest.mark.thorough
def test_a_short_run_for_real(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(speed, "run_child", children.run)
    short = ["--tasks", "dqn-cartpole", "--seeds", "1", "--steps", "1300", "--episodes", "2"]
    assert learning.main(arguments(tmp_path, *short)) == 0, capsys.readouterr().err
    found = json.loads((tmp_path / "dqn-cartpole" / "1000.json").read_text())
    assert (found["task"], found["seed"], found["timesteps"]) == ("dqn-cartpole", 1000, 1300)
    assert len(found["returns"]) == 2 and found["mean"] == sum(found["returns"]) / 2
    assert found["settings"]["learning_rate"]["type"] == "Linear" and found["settings"]["fit"]["steps"] == 1300
    curve = found["curve"]
    assert len(curve["timesteps"]) == len(curve["returns"]) > 20 and set(curve["timesteps"]) <= set(range(13, 1301, 13))
    assert min(curve["returns"]) >= 8.0  # no episode of CartPole is shorter
    assert found["gradient_steps"] > 0 < found["steps_per_second"] and found["versions"]["tensorflow"][0].isdigit()
    assert found["threads"]["OMP_NUM_THREADS"] == "1" and found["machine"] and found["date"].startswith("20")
    assert [path.name for path in (tmp_path / "dqn-cartpole").iterdir()] == ["1000.json"]
