"""`kagent train --data`: recorded episodes from the command line."""

import csv
import json

import pytest
from recorded_episodes import balance, recorded
from test_train import base, here  # noqa: F401

from kagent import diagnosis, traces

SMALL = ["--set", "network.units=[4]", "--set", "batch_size=8", "--set", "memory=1000", "--quiet"]


@pytest.fixture(scope="module")
def episodes(base):  # noqa: F811
    folder = base / "episodes"
    folder.mkdir()
    for number, trace in enumerate(recorded("CartPole-v1", balance, 2, random_part=0.5)[0]):
        traces.save_trace(folder / f"trace-{number:09d}.npz", trace)
    return "episodes"


def test_it_learns_validates_saves_and_goes_on(here, base, episodes):  # noqa: F811
    command = ["train", "bc", "CartPole-v1", "--data", episodes, "--updates", 4, "--validation", 1]
    done = here(
        *command,
        "--out",
        "offline",
        "--seed",
        3,
        "--eval-episodes",
        1,
        "--set",
        "fit.steps_per_epoch=2",
        "--doctor",
        *SMALL,
    )
    assert done.returncode == 0, done.stderr
    assert "after 4 gradient steps" in done.stdout
    config = json.loads((base / "offline" / "config.json").read_text())
    assert config["data"] == str(base / "episodes") and config["settings"]["fit"] == {
        "updates": 4,
        "steps_per_epoch": 2,
    }
    judged = diagnosis.from_json(json.loads((base / "offline" / "doctor.json").read_text()))
    assert judged.recorded.timesteps > 20 and len(judged.recorded.returns) == 2 and judged.gradient_steps == 4
    again = here("train", "--resume", "offline", "--updates", 6, "--quiet")
    assert (again.returncode, "after 6 gradient steps" in again.stdout) == (0, True), again.stderr
    with (base / "offline" / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["updates"]) for row in rows] == [2, 4, 6] and float(rows[-1]["val_episode_return"]) >= 8


@pytest.mark.parametrize(
    "options, words",
    [
        (["--data", "nowhere"], "--data takes a folder of traces, or minari:NAME"),
        (["--data", "."], "must hold traces"),
        (["--data", "episodes", "--steps", 100], "--updates N, or --set fit.epochs=N"),
        (["--data", "episodes", "--n-envs", 2], "fit.n_envs"),
    ],
)
def test_what_it_cannot_do_is_refused_before_a_folder_is_made(here, base, episodes, options, words):  # noqa: F811
    found = here("train", "bc", "CartPole-v1", "--out", "refused", *SMALL, *options)
    assert found.returncode == 2 and words in found.stderr and not (base / "refused").exists()


def test_episodes_of_another_environment_are_refused_as_by_fit(here, episodes):  # noqa: F811
    found = here("train", "bc", "Acrobot-v1", "--data", episodes, "--out", "other", *SMALL)
    assert found.returncode == 2 and "Trace 0 of" in found.stderr
