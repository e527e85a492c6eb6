"""What a reader of one update has to read: counted by hand on a small folder, and plausible of a DQN update."""

import importlib.util
import sys
from pathlib import Path

import pytest

from benchmarks import reading

ROOT = Path(__file__).parents[2]
FIRST = """
def train_step(agent):
    total = 0
    for i in range(3):
        total += second.twice(i)
    if total > 100:
        total = 0
    return total


def outer():
    before = 1
    train_step(None)
    after = 2
    return after
"""
SECOND = """
def twice(x):
    \"\"\"Not a line of code.\"\"\"
    # Nor this one.
    return double(x)


double = lambda x: 2 * x
"""


@pytest.fixture
def first(tmp_path):
    """A module of two functions, which calls one of another file."""
    modules = {}
    for name, text in (("first", FIRST), ("second", SECOND)):
        (tmp_path / f"{name}.py").write_text(text)
        spec = importlib.util.spec_from_file_location(f"read_{name}", tmp_path / f"{name}.py")
        modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[name])
    modules["first"].second = modules["second"]
    return modules["first"]


def test_lines_functions_files_and_changes_from_the_entry_on(first, tmp_path):
    found = reading.Reading(tmp_path, "train_step")
    # train_step: 5 of its 7 lines (with the `def`); twice and the lambda: 1 each, `def` and `lambda` beside.
    assert found.of(first.outer)[:3] == (2, 3, 7)
    assert found.lines == {"first.py": {3, 4, 5, 6, 8}, "second.py": {5, 8}}
    assert found.body("first.py") == {2, 3, 4, 5, 6, 7, 8} and found.body("second.py") == {2, 5, 8}
    assert found.totals.body_lines == 10
    assert found.totals.changes == 6  # there and back, three times
    assert sys.gettrace() is not found._called


def test_without_an_entry_all_is_counted(first, tmp_path):
    found = reading.Reading(tmp_path)
    assert found.of(first.outer).functions == 4 and {12, 13, 14, 15} <= found.lines["first.py"]
    assert reading.Reading(tmp_path / "elsewhere").of(first.outer) == (0, 0, 0, 0, 0)


def test_an_entry_that_is_not_called_is_an_error(first, tmp_path):
    with pytest.raises(RuntimeError, match="'learn' was not called"):
        reading.Reading(tmp_path, "learn").of(first.outer)


def test_counting_stops_when_a_named_function_returns(first, tmp_path):
    found = reading.Reading(tmp_path, "train_step", until="twice")
    # train_step up to its first call of `twice`, whose line and the lambda's run once.
    assert found.of(first.outer)[:3] == (2, 3, 5)
    assert found.lines == {"first.py": {3, 4, 5}, "second.py": {5, 8}}
    with pytest.raises(RuntimeError, match="'thrice' was not called"):
        reading.Reading(tmp_path, "train_step", until="thrice").of(first.outer)


def test_the_way_from_train_step_to_the_gradient_of_dqn_is_short():
    totals = reading.read("dqn", until=reading.GRADIENT).totals
    files, _, lines = totals[:3]
    assert files <= 8 and lines <= 250
    said = " ".join((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split())
    assert f"there are {files} files and {lines} lines run, of {totals.body_lines} in the functions" in said


def test_an_update_of_dqn_is_read(capsys):
    assert reading.main(["--agent", "dqn"]) == 0
    said = capsys.readouterr().out
    assert "kagent/agent.py" in said and "functions: kagent/ops/td.py" in said
    assert "kagent/environments" not in said and "kagent/acting" not in said  # collecting is no part of it
    files, functions, lines = reading.read("dqn").totals[:3]
    assert f"dqn, `train_step`, the gradient applied: {files} files, {functions} functions, {lines} lines run" in said
    page = " ".join((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split())
    assert f"by `FlatAdam` there are {files} files and {lines} lines run" in page
    assert 3 <= files <= 30 and files < functions < lines < 600
    whole = reading.read("dqn", whole=True).totals
    assert whole.files > files and whole.functions > functions and whole.lines > lines


def test_whole_updates_are_of_agents_that_replay(capsys):
    with pytest.raises(SystemExit):
        reading.main(["--agent", "ppo", "--whole"])
    assert "agents that replay" in capsys.readouterr().err
