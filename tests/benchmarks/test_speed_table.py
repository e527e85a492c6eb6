"""The arithmetic and the refusals of the benchmark's tables."""

import pytest

from benchmarks import table
from benchmarks.workloads import WORKLOADS


def record(library, workload="W1a", run=0, rate=1000.0, **more):
    values = {
        "setting": "one",
        "steady_rate": 2 * rate,
        "first_update_seconds": 2.5,
        "end_mb": 250.0,
        "peak_mb": 300.0,
        "base_mb": 200.0,
        "episode_return": 150.0,
        "gradient_steps": 1000,
        "versions": {library: "1.2.3"},
    }
    return {"library": library, "workload": workload, "run": run, "rate": rate} | values | more


def failed(library, workload="W1a", run=0):
    return {
        "library": library,
        "workload": workload,
        "run": run,
        "setting": "one",
        "error": "exit code 1\nKeyError: 'q'",
    }


def cells(text, *first):
    """The cells of the one row that begins with `first`."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    found = [line for line in lines if tuple(line[: len(first)]) == first]
    assert len(found) == 1, text
    return found[0]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([3.0, 1.0, 2.0], "2 (1–3)"),
        ([5.0], "5"),
        ([2.0, 2.0], "2"),
        ([], "—"),
        ([1.0, None], "—"),
        ([1000.0, 3000.0], "2,000 (1,000–3,000)"),
    ],
)
def test_spread(values, text):
    assert table.spread(values) == text


def test_ratios_pair_the_neighbours_of_each_run():
    # Run 1 fell into a slow minute that hit both: pairs see 4 twice; fastest over slowest would not.
    ours = [record("kagent", run=0, rate=4000.0), record("kagent", run=1, rate=400.0)]
    theirs = [record("sb3", run=1, rate=100.0), record("sb3", run=0, rate=1000.0)]
    assert table.ratios(ours, theirs, "rate") == [4.0, 4.0]
    assert table.ratios(ours, theirs[:1], "rate") is None
    assert table.ratios(ours, [t | {"steady_rate": None} for t in theirs], "steady_rate") is None


def test_comparison_gives_median_range_targets_and_verdict():
    records = [record("kagent", run=i, rate=r) for i, r in enumerate((3100.0, 3500.0, 4500.0))]
    records += [record("sb3", run=i) for i in range(3)] + [record("sbx", run=i, rate=2500.0) for i in range(3)]
    text = table.comparisons(records, judged=True)
    assert cells(text, "W1a", "SB3")[2:8] == [
        "3.50 (3.10–4.50)",
        "3.50 (3.10–4.50)",
        "3×",
        "4×",
        "must",
        "150 / 150",
    ]
    assert cells(text, "W1a", "SBX")[2:7] == ["1.40 (1.24–1.80)", "1.40 (1.24–1.80)", "1.5×", "2×", "no"]
    assert cells(table.comparisons(records, judged=False), "W1a", "SB3")[6] == "—"


def test_a_failed_run_refuses_the_ratio_and_shows_the_error():
    records = [
        record("kagent"),
        record("kagent", run=1),
        record("sb3"),
        failed("sb3", run=1),
        record("sbx"),
        record("sbx", run=1),
    ]
    text = table.report({"records": records, "steps_scale": 1, "machine": {"machine": "here"}})
    assert cells(text, "W1a", "SB3", "refused: SB3 failed in 1 of 2 runs")[3] == "—"
    assert cells(text, "W1a", "SBX", "1.00")
    assert "W1a, SB3, run 1 failed:\n\n```\nexit code 1\nKeyError: 'q'" in text
    assert cells(text, "W1a", "SB3", "one")[3] == "1 of 2"


def test_unequal_work_is_not_compared():
    text = table.comparisons([record("kagent", gradient_steps=500), record("sb3")], judged=True)
    assert cells(text, "W1a", "SB3")[2] == "refused: unequal work, 500 and 1,000 gradient steps"


def test_w1b16_is_compared_with_both_ways_of_its_peers():
    records = [
        record("kagent", "W1b16", rate=12_000.0),
        record("sb3", "W1b16", rate=4000.0),
        record("sb3", "W1b", rate=2500.0),
    ]
    text = table.comparisons(records, judged=True)
    assert cells(text, "W1b16", "SB3")[2] == "3.00"
    assert cells(text, "W1b16", "SB3 on W1b")[2] == "4.80"


def test_acting_is_judged_by_its_rate():
    bare = {
        "gradient_steps": None,
        "episode_return": None,
        "first_update_seconds": None,
        "numpy_rate": 130_000.0,
    }
    records = [record("kagent", "W4", rate=70_000.0, **bare), record("sb3", "W4", rate=10_000.0, **bare)]
    text = table.report({"records": records, "steps_scale": 1, "machine": {}})
    assert cells(text, "W4", "steps/s")[2:7] == ["70,000", "140,000", "60,000", "100,000", "must"]
    assert cells(text, "W4", "SB3", "7.00")
    assert cells(text, "plain NumPy forward pass of W4's network, calls per second")[1] == "130,000"


def test_costs_are_judged_downwards():
    imports = {"library": "kagent", "workload": "W0", "run": 0, "keras_seconds": 4.0, "added_seconds": 0.31}
    text = table.costs([imports, record("kagent")], judged=True)
    assert cells(text, "`import kagent` with its presets, above `import keras`, s")[1:] == [
        "0.31",
        "0.3",
        "no",
    ]
    assert cells(text, "memory of W1a above `import keras`, MB")[1:] == ["50", "150", "must"]
    assert cells(text, "(its peak, while XLA compiles, MB)")[1:] == ["100", "—", "—"]
    assert cells(text, "first update after construction, W1a, s")[1:] == ["2.5", "4", "must"]


def test_every_target_of_the_issue_is_in_the_workloads():
    must = {name: dict(w.must) for name, w in WORKLOADS.items()}
    assert must == {
        "W1a": {"sb3": 3, "sbx": 1.5},
        "W1b": {"sb3": 1.5},
        "W1b16": {"sb3": 4},
        "W2a": {"sb3": 3, "sbx": 2},
        "W2b": {"sb3": 5},
        "W3": {"sb3": 1.7, "sbx": 1},
        "W4": {"rate": 60_000},
        "W5": {"sb3": 1},
        "W6": {"sb3": 1},
        **{f"W{number}": {"sb3": 1} for number in range(7, 13)},
        "C1-8": {"purejax": 1.2},
        "C1-64": {"purejax": 1.2},
        "C1-512": {"purejax": 1.2},
        "C1-4096": {"purejax": 1.2},
        "I1": {"sb3": 2},
        "I2": {"sb3": 1.4},
        "C2": {"purejax": 1},
    }
