"""The documentation's table of learning is what the files say."""

import json
from pathlib import Path

import pytest

from benchmarks import learning_roster, learning_table
from benchmarks.learning_cells import FIRST_SEED, TASKS, settings_of
from benchmarks.learning_table import reached, read, section, written

PAGE = Path(__file__).resolve().parents[2] / "docs" / "learning.md"


def record(task, seed, mean, **changes):
    cell = {"task": task, "seed": seed, "mean": mean, "timesteps": 50_000, "seconds": 60.0, "steps_per_second": 2500.0}
    where = {"machine": "a CPU", "date": "2026-11-29", "versions": {"keras": "3"}}
    return {**cell, **where, **changes}


def test_the_page_has_the_table_of_the_files():
    text = PAGE.read_text(encoding="utf-8")
    assert text == written(text, section(read(learning_table.RESULTS), read(learning_table.PEERS))), (
        "run python -m benchmarks.learning_table"
    )


def test_the_files_are_those_of_the_protocol():
    """Seeds, 100 episodes of another stream, and figures that follow from what else the file says."""
    for name, records in read(learning_table.RESULTS).items():
        for found in records:
            assert FIRST_SEED <= found["seed"] < FIRST_SEED + TASKS[name].seeds
            assert len(found["returns"]) == found["evaluation"]["episodes"] == 100
            assert found["mean"] == pytest.approx(sum(found["returns"]) / 100)
            assert found["evaluation"]["seed"] == 10**6 + found["seed"] == 10**6 + found["settings"]["seed"]
            assert found["settings"]["fit"]["steps"] <= found["timesteps"]


def test_the_files_are_of_the_settings_that_are_shipped():
    for name, records in read(learning_table.RESULTS).items():
        best = settings_of(TASKS[name])
        for found in records:
            assert found["settings"] == {**best, "seed": found["seed"]}, f"{name} {found['seed']}: measure it again"


@pytest.mark.parametrize(
    ("means", "good"),
    [
        ([500, 480, 475, 490, 150], True),  # one broken seed, and the middle three reach it
        ([500, 500, 500, 150, 150], False),  # the middle three do not
        ([475], True),
        ([474], False),
        ([100, 500, 500, 500, 500, 500, 500, 100], False),  # the middle does, but two seeds are broken
    ],
)
def test_the_gate(means, good):
    assert reached(TASKS["dqn-cartpole"], means) is good


def test_a_single_seed_may_not_be_broken():
    assert not reached(TASKS["trpo-lunarlander"], [-10.0]) and reached(TASKS["trpo-lunarlander"], [60.0])


def test_rows_of_cells_that_are_measured_missed_and_not_measured():
    """Of 27 resamples of 400, 450 and 500 one has the mean 400 and three 416.7: 2.5 % lies at place 0.65 of 26."""
    means = (500.0, 400.0)
    good = [record("dqn-cartpole", 1000 + seed, mean, seconds=30.0 + 60.0 * seed) for seed, mean in enumerate(means)]
    bad = [record("ppo-cartpole", 1000, 489.0, timesteps=100_352, steps_per_second=9999.6, seconds=12.0)]
    lines = section({"dqn-cartpole": [*good, record("dqn-cartpole", 1002, 450.0)], "ppo-cartpole": bad}).splitlines()
    assert (
        "| CartPole-v1 | dqn | 50,000 | 3 | 450.0 | 410.8 to 489.2 | 400.0 | 475 | 🔴 missed | 500 | 1.0 | 2,500 |"
        in lines
    )
    assert "| CartPole-v1 | ppo | 100,352 | 1 | 489.0 | — | 489.0 | 490 | 🔴 missed | 500 | 0.2 | 10,000 |" in lines
    assert "| CartPole-v1 | c51 |  |  | not measured |  |  | 475 |  | — |  |  |" in lines
    assert len(lines) == len(TASKS) + 4 and lines[-1].startswith(
        f"2 of {len(TASKS)} cells are measured, and 0 of these"
    )
    assert "0 of 2 with a published median" in lines[-1] and "a CPU; 2026-11-29; keras 3" in lines[-1]
    reaching = section({"dqn-cartpole": [record("dqn-cartpole", 1000, 500.0)]})
    assert "| reached | 500 |" in reaching and "1 of these reach their gate. 1 of 1 with a published" in reaching


def test_times_of_loaded_runs_are_left_out():
    pair = [
        record("dqn-cartpole", 1000, 480.0, loaded=True, seconds=999.0),
        record("dqn-cartpole", 1001, 480.0, loaded=False),
    ]
    assert "| 475 | reached | 500 | 1.0 | 2,500 |" in section({"dqn-cartpole": pair})
    assert "| 475 | reached | 500 | — | — |" in section({"dqn-cartpole": pair[:1]})


def test_a_cell_without_a_gate_reaches_none():
    lines = section({"sac-hopper": [record("sac-hopper", 1000, 3000.0)]})
    assert "| Hopper-v5 | sac | 50,000 | 1 | 3000.0 | — | 3000.0 | — |  | — | 1.0 | 2,500 |" in lines
    assert "0 of these reach their gate. 1 measured cells have no gate yet." in lines


def test_where_there_is_no_gate_the_peer_is_one():
    """The peer's returns lie from 100 to 300 (quartiles 137.5 and 262.5), its score is 200."""
    peers = [record("sac-hopper", 1000, 200.0, returns=[100.0, 150.0, 250.0, 300.0])]

    def line(mean, returns):
        found = section({"sac-hopper": [record("sac-hopper", 1000, mean, returns=returns)]}, {"sac-hopper": peers})
        return next(text for text in found.splitlines() if text.startswith("| Hopper-v5 | sac"))

    assert "| SB3: 200.0 | reached |" in line(201.0, [201.0] * 4)  # above
    assert "| SB3: 200.0 | reached |" in line(140.0, [140.0] * 4)  # below, within the range
    assert "| SB3: 200.0 | 🔴 missed |" in line(130.0, [130.0] * 4)
    nothing = section({}, {"sac-hopper": peers})
    assert "| Hopper-v5 | sac |  |  | not measured |  |  | SB3: 200.0 |  | — |  |  |" in nothing


def test_a_peer_stands_beside_a_gate_and_does_not_judge():
    found = {"a2c-lunarlander": [record("a2c-lunarlander", 1000, 30.0)]}
    peers = {"a2c-lunarlander": [record("a2c-lunarlander", 1000, -10.8, returns=[-10.8])]}
    assert any("| 80 (SB3: -10.8) | 🔴 missed |" in line for line in section(found, peers).splitlines())


def test_a_file_of_another_run_or_task_is_refused(tmp_path):
    (tmp_path / "dqn-cartpole").mkdir()
    (tmp_path / "dqn-cartpole" / "1000.json").write_text(json.dumps(record("dqn-cartpole", 1001, 1.0)))
    with pytest.raises(ValueError, match="holds another run"):
        read(tmp_path)
    with pytest.raises(ValueError, match=r"unknown tasks.*dqn-pong"):
        section({"dqn-pong": [record("dqn-pong", 1000, 1.0)]})


def test_the_comments_must_be_there():
    begin, end = learning_table.BEGIN, learning_table.END
    assert written(f"a\n{begin}\nold\n{end}\nb", "new") == f"a\n{begin}\nnew\n{end}\nb"
    for text in ("", begin, f"{end}{begin}", f"{begin}{end}{begin}{end}"):
        with pytest.raises(ValueError, match="There must be one"):
            written(text, "new")


def test_the_command_writes_the_page_and_the_readme(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(learning_table, "ROOT", tmp_path)
    page, readme = tmp_path / "docs" / "learning.md", tmp_path / "README.md"
    page.parent.mkdir()
    page.write_text(f"before\n{learning_table.BEGIN}\n{learning_table.END}\nafter\n")
    readme.write_text(f"before\n{learning_roster.BEGIN}\n{learning_roster.END}\nafter\n")
    learning_table.main(["--results", str(tmp_path), "--print"])
    printed = capsys.readouterr().out
    learning_table.main(["--results", str(tmp_path)])
    expected = f"before\n{learning_table.BEGIN}\n{printed.strip()}\n{learning_table.END}\nafter\n"
    assert page.read_text() == expected
    assert (
        f"{learning_roster.BEGIN}\n{learning_roster.section({}, {})}\n{learning_roster.END}\nafter"
        in readme.read_text()
    )
