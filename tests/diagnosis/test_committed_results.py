"""No false alarm: the rules over every result of the learning table. Its agents work."""

import json
import statistics
from pathlib import Path

import pytest

from kagent.diagnosis import Episodes, Record, compare_seeds, diagnose

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
# Ten episodes of random play, `kagent.diagnosis.random_returns`, of seed 0: mean, and that of others is as far away.
RANDOM = {
    "Acrobot-v1": -500.0, "CartPole-v1": 25.6, "LunarLander-v3": -156.0, "LunarLanderContinuous-v3": -211.3,
    "MountainCar-v0": -200.0, "MountainCarContinuous-v0": -33.4, "Pendulum-v1": -1285.4,
}  # fmt: skip


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
def results():
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*/*.json"))]


def test_no_result_has_a_finding(results):
    assert len(results) > 80
    found = {(r["task"], r["seed"]): [f.name for f in diagnose(record_of(r))] for r in results}
    assert {place: names for place, names in found.items() if names} == {}


def test_no_seed_dominates_or_fails(results):
    tasks = {}
    for found in results:
        tasks.setdefault((found["task"], found["environment"]), {})[str(found["seed"])] = statistics.fmean(
            found["returns"]
        )
    assert sum(len(means) >= 3 for means in tasks.values()) > 10
    for (task, environment), means in tasks.items():
        baseline = (RANDOM[environment],) * 5 if environment in RANDOM else ()
        assert compare_seeds(means, baseline) == [], task


def test_a_result_that_were_random_would_be_found(results):
    cartpole = next(r for r in results if r["task"] == "dqn-cartpole")
    ill = {**cartpole, "returns": [20.0, 25.0, 30.0] * 10, "gradient_steps": 100}
    assert [f.name for f in diagnose(record_of(ill))] == ["no_better_than_random", "replay_stale"]
