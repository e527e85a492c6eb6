"""Agents that an earlier tree wrote load, act as they did, and go on learning: see `files.make_agents`."""

import json
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from files import make_agents

import kagent

FOLDER = Path(__file__).parents[1] / "files" / "agents_1"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())
LEARNING = sorted(EXPECTED.keys() - {"random", "constant"})
FIRST = ("dqn", "ppo", "sac", "trpo")  # which have the parts of most
CASES = [pytest.param(case, marks=[] if case in FIRST else pytest.mark.thorough) for case in EXPECTED]

pytestmark = pytest.mark.eager


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def check(case, agent):
    """It is as far as it was, bit by bit, and acts as it did."""
    expected, found = EXPECTED[case], make_agents.facts(case, agent)
    assert isinstance(agent, getattr(kagent, make_agents.CASES[case][0]))
    for name in ("counters", "weights", "optimizer"):
        assert found[name] == expected[name], name
    if "actions" not in expected:
        return
    if make_agents.CASES[case][2].get("acted") == "box":
        np.testing.assert_allclose(found["actions"], expected["actions"], rtol=0, atol=1e-5)
    else:
        assert found["actions"] == expected["actions"]


def go_on(case, agent):
    """Trains it until every open episode has ended, with the length that it had before, and what came since."""
    (timesteps, episodes, updates), opened = EXPECTED[case]["counters"], EXPECTED[case]["open"]
    before, ends = agent.get_weights(), make_agents.Ends()
    agent.fit(lambda: make_agents.environment(case), 26 * len(opened), verbose=0, callbacks=[ends])
    for env, length in enumerate(opened):
        time, steps = next((time, steps) for time, other, steps in ends.ends if other == env)
        assert steps == length + (time - timesteps) // len(opened)
    assert agent.timesteps == timesteps + 26 * len(opened) and agent.episodes == episodes + len(ends.ends)
    if case in LEARNING:
        after = agent.get_weights()
        assert agent.updates > updates and all(np.isfinite(weights).all() for weights in after)
        assert not all((a == b).all() for a, b in zip(before, after))


def test_every_preset_is_here():
    from kagent.agents import AGENTS

    own = {cls.__name__ for cls in AGENTS.values() if cls.__module__.startswith("kagent.")}
    assert {kind for kind, _, _ in make_agents.CASES.values()} == own
    files = {f"{case}{suffix}" for case in EXPECTED for suffix in (".keras", ".weights.h5")}
    assert EXPECTED.keys() == make_agents.CASES.keys()
    assert files | {"expected.json"} == {path.name for path in FOLDER.iterdir()}
    assert any(0 < length for expected in EXPECTED.values() for length in expected["open"])


@pytest.mark.parametrize("case", CASES)
def test_a_keras_file_loads_acts_and_goes_on(case):
    agent = kagent.load(FOLDER / f"{case}.keras")
    check(case, agent)
    check(case, keras.saving.load_model(FOLDER / f"{case}.keras"))
    go_on(case, agent)


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES)
def test_a_weights_file_loads_into_the_same_agent_and_goes_on(case):
    agent = make_agents.make(case, seed=9)
    agent.load_weights(FOLDER / f"{case}.weights.h5")
    check(case, agent)
    assert len(agent.memory) == EXPECTED[case]["memory"]
    go_on(case, agent)
