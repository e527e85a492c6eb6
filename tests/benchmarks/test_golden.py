"""Golden runs: the same code gives the same digests, another learning rate or an edited file is seen."""

import functools
import json

import pytest

from benchmarks import golden


@pytest.fixture(scope="module")
def before():
    return golden.measure("ac", "graph", 1)


def test_the_same_run_gives_the_same_digests(before):
    assert golden.differences(before, golden.measure("ac", "graph", 1)) == []
    timesteps, episodes, updates, size = before["counters"]
    assert timesteps == golden.STEPS and episodes > 10 and updates > 20 and size > 0
    assert len(before["weights"]) == 8 and len(before["returns"]) == 4 and len(before["actions"]) == 8


def test_a_changed_learning_rate_is_seen(before):
    found = golden.measure("ac", "graph", 1, {"learning_rate": 5.01e-3})
    lines = golden.differences(before, found)
    assert any(line.startswith("weights: 8 of 8 differ, first [0]: ") for line in lines), lines
    assert any(line.startswith("optimizer: ") for line in lines)
    assert found["counters"][0] == before["counters"][0]


def test_differences_are_named_with_the_first_place():
    before = {"weights": ["a", "b", "c"], "logs": {"loss": ["1.0"]}, "returns": ["1"], "target_policy": ["d"]}
    now = {"weights": ["a", "x", "y"], "logs": {"loss": ["1.5"]}, "returns": ["1", "2"], "events": ["on_train_begin"]}
    assert golden.differences(before, now) == [
        "events: only now",
        "logs: loss: 1 of 1 differ, first [0]: 1.0 before, 1.5 now",
        "returns: 1 entries before, 2 now; 0 of 1 differ",
        "target_policy: only before",
        "weights: 2 of 3 differ, first [1]: b before, x now",
    ]


def test_written_and_compared_by_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(golden, "measure", functools.cache(golden.measure))  # equal runs are above
    path, chosen = tmp_path / "golden.json", ["--cases", "ac", "--seeds", "0"]
    assert golden.main(["--write", str(path), *chosen]) == 0
    assert golden.main(["--compare", str(path), *chosen]) == 0
    assert "1 runs in" in capsys.readouterr().out
    written = json.loads(path.read_text())
    events = written["runs"]["ac, graph, seed 0"]["events"]
    assert events[0].startswith("train_begin") and events[-1].startswith("train_end")
    names = {event.split()[0] for event in events}
    assert names == set(golden.EVENTS)
    events[1], events[2] = events[2], events[1]
    path.write_text(json.dumps(written))
    assert golden.main(["--compare", str(path), *chosen]) == 1
    said = capsys.readouterr().out
    assert "ac, graph, seed 0" in said and "DIFFERS" in said and "    events: 2 of" in said
    written["runs"] = {}
    path.write_text(json.dumps(written))
    assert golden.main(["--compare", str(path), *chosen]) == 1
    assert "DIFFERS\n    not in the file\n1 runs" in capsys.readouterr().out
    written["machine"]["processor"] = "another"
    path.write_text(json.dumps(written))
    assert golden.main(["--compare", str(path), *chosen]) == 2
    assert "processor: 1 of 1 differ, first [0]: another before" in capsys.readouterr().out


def test_cases_cover_every_preset_that_learns():
    import kagent
    from kagent.agents import AGENTS

    own = {
        cls.__name__ for cls in AGENTS.values() if cls.__module__.startswith("kagent.")
    }  # other tests register theirs
    learning = own - {"Constant", "Random"}
    assert learning == {kind for kind, _, _ in golden.CASES.values()}
    assert all(hasattr(kagent, kind) for kind in learning)
    modes = {(case, mode) for case, mode, _ in golden.runs()}
    assert {(case, mode) for case in golden.COMPILED for mode in golden.MODES} <= modes
