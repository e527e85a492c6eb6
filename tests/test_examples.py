"""Every example runs, as a user would run it, only shorter and without XLA."""

import csv
import os
import pathlib
from concurrent.futures import ThreadPoolExecutor

import forked
import numpy as np
import pytest

import kagent

ROOT = pathlib.Path(__file__).parent.parent
SERVING = {"robot_loop", "serve_http"}  # of an agent's file, see `test_serving_examples.py`
RAY = {"ray_cluster"}  # see `distributed/test_ray_workers.py`
EXAMPLES = sorted({path.stem for path in (ROOT / "examples").glob("*.py")} - SERVING - RAY)
STEPS = {"configurable_agent": 1200, "estimator_dueling_ddqn": 30, "estimator_naf": 30,
         "train_cartpole": 512, "custom_train_step": 200, "own_network": 600, "keras_callbacks": 512, "own_loop": 300,
         "nested_spaces": 512, "resume": 400, "c51": 300, "continuous_control": 150, "goals": 700, "offline": 100,
         "atari": 60, "recurrent": 200, "compiled_cartpole": 1024, "two_devices": 256}  # fmt: skip
FURTHER = {
    "atari": ("--episodes", "1", "--game", "ALE/Tetris-v5"),  # whose episodes end soonest
    "compiled_cartpole": ("--num-envs", "8"),
    "estimator_dueling_ddqn": ("--episodes", "10"),
    "estimator_naf": ("--episodes", "10"),
    "offline": ("--episodes", "10"),
}


def run(name, folder, *arguments):
    program = [ROOT / "examples" / f"{name}.py", "--steps", STEPS[name], *FURTHER.get(name, ()), *arguments]
    return forked.run(program, folder, {**os.environ, "PYTHONPATH": str(ROOT)})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(process, folder) of every example, run two at a time: each spends its seconds on imports and compilation."""
    jobs = [name for name in EXAMPLES if name != "resume"] + ["resume", "resume uninterrupted"]
    folders = {job: tmp_path_factory.mktemp(job.replace(" ", "_")) for job in jobs}

    def start(job):
        if job == "resume":
            crashed = run(job, folders[job], "--crash-after", "3")
            (folders[job] / "crash.txt").write_text(f"{crashed.returncode} {(folders[job] / 'resume_backup').exists()}")
        return run(job.split()[0], folders[job])

    with ThreadPoolExecutor(2) as pool:
        done = dict(zip(jobs, pool.map(start, jobs)))
    return {job: (done[job], folders[job]) for job in jobs}


def test_each_example_has_its_budget_here():
    assert sorted(STEPS) == EXAMPLES


@pytest.mark.thorough
@pytest.mark.parametrize("name", EXAMPLES)
def test_it_runs(finished, name):
    process, _ = finished[name]
    assert process.returncode == 0, process.stderr[-3000:]
    assert "Traceback" not in process.stderr


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name",
    [
        "train_cartpole",
        "continuous_control",
        "atari",
        "c51",
        "goals",
        "offline",
        "recurrent",
        "two_devices",
        "custom_train_step",
        "own_network",
        "own_loop",
        "nested_spaces",
        "estimator_dueling_ddqn",
        "estimator_naf",
    ],
)
def test_it_ends_with_a_measured_return(finished, name):
    said = finished[name][0].stdout
    assert "mean return of" in said


@pytest.mark.thorough
def test_what_it_saves_can_be_loaded(finished):
    agent = kagent.load(finished["train_cartpole"][1] / "cartpole.keras")
    assert isinstance(agent, kagent.PPO) and agent.timesteps == 512


@pytest.mark.thorough
def test_what_the_new_algorithm_saves_is_served_by_numpy(finished):
    process, folder = finished["c51"]
    actor = kagent.acting.load(folder / "c51.keras")
    action = actor.act(np.float32([0.1, 0.2, -0.1, 0.0]))
    assert f": {action}, of the agent: {action}\n" in process.stdout


@pytest.mark.thorough
def test_the_callbacks_leave_their_files(finished):
    folder = finished["keras_callbacks"][1] / "callbacks_run"
    with open(folder / "log.csv") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) >= 9 and "val_episode_return" in rows[0] and "learning_rate" in rows[0]
    assert list((folder / "events" / "train").iterdir()) and (folder / "best.keras").exists()
    assert "new record" in finished["keras_callbacks"][0].stdout


@pytest.mark.thorough
def test_a_resumed_run_ends_as_one_that_was_never_stopped(finished):
    (resumed, folder), (whole, _) = finished["resume"], finished["resume uninterrupted"]
    assert (folder / "crash.txt").read_text() == "1 True"  # it died, and left a backup
    assert "trained epochs [4, 5, 6, 7, 8, 9, 10]" in resumed.stdout and "trained epochs [1, 2, 3, 4," in whole.stdout
    assert "400 timesteps" in whole.stdout
    assert resumed.stdout.splitlines()[-1] == whole.stdout.splitlines()[-1]
