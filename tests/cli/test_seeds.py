"""Several seeds of one command."""

import json
import os
import shlex
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from kagent.cli import main, seeds


@pytest.mark.parametrize(
    "given",
    [
        "--seeds 3 --jobs 2 --seed 4 --out runs/x",
        "--seeds=3 --jobs=2 --seed=4 --out=runs/x --quiet",
        "--jo 2 --ou runs/x --seeds 3 --qu --seed 4",
    ],
)
def test_a_seed_gets_the_command_without_the_options_about_seeds(given):
    argv = ["train", "dqn", "CartPole-v1", "--set", "a.b=1", *shlex.split(given), "--steps", "9"]
    own = seeds.command(argv, 5, Path("runs/x"))
    assert own[:3] == [sys.executable, "-m", "kagent"]
    expected = "train dqn CartPole-v1 --set a.b=1 --steps 9 --seed 5 --out runs/x/seed-5 --quiet"
    assert own[3:] == expected.split()


@pytest.fixture
def scripted(monkeypatch):
    """Runs that take no time: seed s has the return 10 s; seed 3 fails."""
    calls = []

    def finished(self, command, env):
        calls.append((command, env))
        folder, seed = Path(command[command.index("--out") + 1]), int(command[command.index("--seed") + 1])
        if seed == 3:
            return 2, "a line\nkagent: error: no"
        folder.mkdir(parents=True)
        found = {"mean": 10.0 * seed, "std": 1.0, "length_mean": 7.0, "episodes": 20}
        (folder / "evaluation.json").write_text(json.dumps(found))
        return 0, ""

    monkeypatch.setattr(seeds._Children, "finished", finished)
    return calls


def test_a_table_of_all_seeds(scripted, tmp_path, capsys):
    out = str(tmp_path / "five")
    code = main(["train", "dqn", "CartPole-v1", "--seeds", "4", "--seed", "1", "--jobs", "2", "--out", out])
    text = capsys.readouterr().out
    assert code == 2 and "seed 3: exit code 2: kagent: error: no" in text
    assert "       1       10.0       1.0       7.0        20" in text
    assert "3 seeds: interquartile mean 23.3 (95 % interval" in text and "mean 23.3" in text
    assert max(map(len, text.splitlines())) <= 80
    summary = json.loads((tmp_path / "five" / "summary.json").read_text())
    assert summary["seeds"] == [1, 2, 4] and summary["returns"] == [10.0, 20.0, 40.0]
    assert summary["command"].startswith("kagent train dqn CartPole-v1 --seeds 4")
    assert len(scripted) == 4 and all("OMP_NUM_THREADS" in env for _, env in scripted)


def programs(monkeypatch, text):
    """Each seed is this Python program, with its folder as argument."""
    monkeypatch.setattr(
        seeds, "command", lambda argv, seed, folder: [sys.executable, "-c", text, str(folder / f"seed-{seed}")]
    )


def test_a_seed_that_was_killed_is_no_success(monkeypatch, tmp_path, capsys):
    programs(monkeypatch, "import os; os.kill(os.getpid(), 9)")
    assert main(["train", "dqn", "CartPole-v1", "--seeds", "1", "--seed", "1", "--out", str(tmp_path / "x")]) == 137
    assert capsys.readouterr().out == "seed 1: exit code 137: killed by signal 9\n"


STOPPABLE = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(NUMBER))
(pathlib.Path(sys.argv[1]) / "checkpoints").mkdir(parents=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_seeds_and_begins_no_further_one(monkeypatch, tmp_path, capfd, number):
    """A supervisor's signal reaches the first process alone."""
    programs(monkeypatch, STOPPABLE.replace("NUMBER", f"{128 + number}").replace("SIGTERM", number.name))
    folder, before = tmp_path / "x", signal.getsignal(number)

    def send():
        while not (folder / "seed-1" / "checkpoints").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    assert main(["train", "dqn", "CartPole-v1", "--seeds", "3", "--seed", "1", "--out", str(folder)]) == 128 + number
    sender.join()
    said, errors = capfd.readouterr()
    assert sorted(said.splitlines()) == [
        f"seed 1: stopped. Go on with: kagent train --resume {folder / 'seed-1'}",
        "seed 2: not begun",
        "seed 3: not begun",
    ]
    assert "Once more to stop at once" in errors and signal.getsignal(number) is before


def test_what_does_not_go_together_is_refused(scripted, tmp_path, capsys):
    (tmp_path / "something").write_text("precious")
    for options, words in (
        (["--jobs", "2"], "--jobs is for --seeds"),
        (["--seeds", "2", "--resume", str(tmp_path)], "--resume goes on with one run"),
        (["--seeds", "2", "--out", str(tmp_path)], "new or an empty folder"),
        (["--seeds", "2", "--set", "memory"], "--set takes"),
        (["--seeds", "2", "--out", str(tmp_path / "something" / "x")], "Not a directory: nothing can be written there"),
    ):
        assert main(["train", "dqn", "CartPole-v1", *options]) == 2
        assert words in capsys.readouterr().err
    assert not scripted
