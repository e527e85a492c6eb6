"""No false alarm: the rules over the results of every cell of the learning table that reaches its gate."""

import json
import re
import statistics
from pathlib import Path

import pytest

from benchmarks.learning_cells import TASKS
from benchmarks.learning_table import reached
from kagent.diagnosis import Episodes, Record, compare_seeds, diagnose

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
# Means of ten episodes, `kagent.diagnosis.random_returns(environment)`.
RANDOM = {
    "Acrobot-v1": -500.0, "CartPole-v1": 25.6, "LunarLander-v3": -156.0, "LunarLanderContinuous-v3": -211.3,
    "MountainCar-v0": -200.0, "MountainCarContinuous-v0": -33.4, "Pendulum-v1": -1285.4,
}  # fmt: skip


def is_true(finding, environment):
    """A lander that climbs leaves the height that its space declares, entry 1, up to 2.5: episodes end only where it leaves sideways."""
    seen = finding["name"] == "observations_out_of_bounds" and environment.startswith("LunarLander")
    return seen and re.search(r"\(entry 1: \S+ to 2\.\d+, declared -2\.5 to 2\.5\)\.$", finding["evidence"]) is not None


def record_of(found):
    settings, returns = found["settings"], found["returns"]
    baseline = (RANDOM[found["environment"]],) * 5 if found["environment"] in RANDOM else ()
    numbers = {name: float(settings[name]) for name in ("batch_size", "start", "discount") if name in settings}
    exploration = settings.get("exploration")
    if isinstance(exploration, dict) and "final" in exploration:
        numbers["epsilon"] = exploration["final"]
    return Record(
        timesteps=found["timesteps"],
        gradient_steps=found["gradient_steps"],
        settings={**numbers, "on_policy": float("memory" not in settings)},
        baseline=baseline,
        episodes=Episodes(last=tuple(returns), count=len(returns), magnitude=max(map(abs, returns))),
    )


@pytest.fixture(scope="module")
def cells():
    """The results of each cell that reaches its gate."""
    found = {}
    for path in sorted(RESULTS.glob("*/*.json")):
        found.setdefault(path.parent.name, []).append(json.loads(path.read_text()))
    return {name: runs for name, runs in found.items() if reached(TASKS[name], [run["mean"] for run in runs])}


def test_no_result_has_a_finding(cells):
    runs = [run for each in cells.values() for run in each]
    assert len(runs) > 60
    found = {(run["task"], run["seed"]): [f.name for f in diagnose(record_of(run))] for run in runs}
    assert {place: names for place, names in found.items() if names} == {}


def test_every_run_has_the_doctors_findings():
    """Those of cells that miss their gate, too."""
    paths = sorted(RESULTS.glob("*/*.json"))
    runs = {path: json.loads(path.read_text()) for path in paths if path.stem.isdigit()}
    assert len(runs) > 150
    assert [path for path, run in runs.items() if "findings" not in run] == []


def test_the_doctor_found_nothing_false_while_they_were_trained(cells):
    runs = [run for each in cells.values() for run in each]
    found = {
        (run["task"], run["seed"]): [
            f["name"] for f in run["findings"] if f["severity"] != "advice" and not is_true(f, run["environment"])
        ]
        for run in runs
    }
    assert {place: names for place, names in found.items() if names} == {}


def test_no_seed_dominates_or_fails(cells):
    assert sum(len(runs) >= 3 for runs in cells.values()) > 8
    for name, runs in cells.items():
        means = {str(run["seed"]): statistics.fmean(run["returns"]) for run in runs}
        environment = runs[0]["environment"]
        assert compare_seeds(means, (RANDOM[environment],) * 5 if environment in RANDOM else ()) == [], name


def test_a_result_like_random_play_would_be_found(cells):
    cartpole = cells["dqn-cartpole"][0]
    ill = {**cartpole, "returns": [20.0, 25.0, 30.0] * 10, "gradient_steps": 100}
    assert [f.name for f in diagnose(record_of(ill))] == ["no_better_than_random", "replay_stale"]
