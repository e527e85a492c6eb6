"""The README's table of algorithms is what the registry and the files say."""

from pathlib import Path

import pytest

from benchmarks import learning_table
from benchmarks.learning_roster import BEGIN, END, results, rounded, section
from benchmarks.learning_table import read, written

README = Path(__file__).resolve().parents[2] / "README.md"


def record(task, seed, mean):
    return {"task": task, "seed": seed, "mean": mean}


def test_the_readme_has_the_table_of_the_files():
    text = README.read_text(encoding="utf-8")
    content = section(read(learning_table.RESULTS), read(learning_table.PEERS))
    assert text == written(text, content, BEGIN, END), "run python -m benchmarks.learning_table"


def test_cells_are_named_by_environment_and_missed_ones_are_marked():
    """The interquartile mean of 480 and 490 is 485, whose gate is 490; that of TMaze is 0.96."""
    found = {
        "ppo-cartpole": [record("ppo-cartpole", 1000, 480.0), record("ppo-cartpole", 1001, 490.0)],
        "ppo-lunarlander-defaults": [record("ppo-lunarlander-defaults", 1000, 9.0)],  # not of the shipped settings
        "dqn-acrobot": [record("dqn-acrobot", 1000, -72.4)],
        "recurrentppo-tmaze": [record("recurrentppo-tmaze", 1000, 0.96)],
    }
    assert results("ppo", found, {}) == "CartPole 485 🔴"
    assert results("dqn", found, {}) == "Acrobot -72"
    assert results("recurrentppo", found, {}) == "TMaze 1"
    assert results("sac", found, {}) == "—"


def test_every_algorithm_of_the_command_line_has_a_row():
    lines = section({}, {}).splitlines()
    assert "| `kagent.DPG`, `kagent.DDPG` |" in "\n".join(lines)
    assert len(lines) == 2 + 27 and all(line.endswith(" | — |") for line in lines[2:])


@pytest.mark.parametrize(("score", "text"), [(-9.95, "-10"), (9.94, "9.9"), (-0.04, "0"), (123.5, "124")])
def test_rounding(score, text):
    assert rounded(score) == text
