"""One seed of one cell of the learning table, in this process: trained, evaluated, and written to a JSON file.

`python -m benchmarks.learning` starts it, each time in a process of its own. A long run is made in parts: with `--minutes` it ends
at a multiple of 1,000 timesteps, leaves its state in `<seed>.weights.h5`, and the next process goes on from there by exact resume.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import learning_cells, measurement, speed
from benchmarks.learning_cells import EPISODES, EVALUATION, TASKS, Task
from kagent.cli.scores import interquartile_mean

Record = dict[str, Any]
EPOCH = 1000  # timesteps between looks at the clock


def settings_of(task: Task) -> tuple[type, Record]:
    """The preset of a cell, and its settings as `kagent train` takes them.

    Raises:
        LookupError: There are no tuned settings for it.
    """
    from kagent.cli import algorithms

    algorithm = algorithms.find(task.algorithm)
    best = learning_cells.settings_of(task)
    if best is None:
        raise LookupError(f"no tuned settings for {task.algorithm} on {task.environment}")
    return algorithm.load(), best


class Unfinished:
    """Where a run that is made in parts has its state: beside its result, under the same name.

    Args:
        file: Where the result will be.
    """

    def __init__(self, file: Path):
        self.weights, self.about = file.with_suffix(".weights.h5"), file.with_suffix(".part")

    def resume(self, agent: Any) -> Record:
        """Loads the state, if there is one. Seconds, parts and episodes so far."""
        if not self.about.exists():
            return {"seconds": 0.0, "parts": 0, "points": [], "findings": []}
        agent.load_weights(self.weights)
        about: Record = json.loads(self.about.read_text(encoding="utf-8"))
        # One that was begun before curves and findings were kept has the rest of them.
        return {"points": [], "findings": [], **about}

    def keep(self, agent: Any, about: Record) -> None:
        """Writes the state."""
        agent.save_weights(self.weights)
        self.about.write_text(json.dumps(about), encoding="utf-8")

    def remove(self) -> None:
        """Forgets the state."""
        self.about.unlink(missing_ok=True)
        self.weights.unlink(missing_ok=True)


def train_part(agent: Any, env: Any, fit: Record, minutes: float, unfinished: Unfinished) -> Record | None:
    """Trains until `fit["steps"]` timesteps are done, or for some minutes.

    Args:
        agent: A new one.
        env: Its environment.
        fit: Arguments of `agent.fit`.
        minutes: After so many it stops at the end of an epoch.
        unfinished: The state of the parts before, and of this one.

    Returns:
        Seconds, parts, the ends and returns of all episodes, and what the doctor finds in any part; None where it is not at the end.
    """
    import keras

    from benchmarks import training_curve
    from kagent.callbacks import Doctor

    about = unfinished.resume(agent)
    noted, doctor = training_curve.EpisodeReturns(about["points"]), Doctor(verbose=0)
    began = time.perf_counter()

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = time.perf_counter() - began >= 60.0 * minutes

    rest = {key: value for key, value in fit.items() if key != "steps"}
    agent.fit(
        env, max_steps=fit["steps"], verbose=0, callbacks=[Stop(), noted, doctor], **{"steps_per_epoch": EPOCH, **rest}
    )
    seconds = about["seconds"] + time.perf_counter() - began
    about = {
        "seconds": seconds,
        "parts": about["parts"] + 1,
        "points": noted.points,
        "findings": about["findings"] + [finding.to_json() for finding in doctor.findings],
    }
    if agent.timesteps < fit["steps"]:
        unfinished.keep(agent, about)
        return None
    unfinished.remove()
    return about


def run(
    task: Task,
    seed: int,
    steps: int | None = None,
    episodes: int = EPISODES,
    minutes: float | None = None,
    unfinished: Unfinished | None = None,
) -> Record | None:
    """Trains one seed of one cell and evaluates the agent that training ends with.

    Args:
        task: The cell.
        seed: Of the agent, and so of its environments.
        steps: Timesteps in place of those of the settings.
        episodes: Greedy episodes of the evaluation.
        minutes: Of training, in this part of the run; None: it is made whole.
        unfinished: Where the state of parts is.

    Returns:
        JSON-ready: settings, returns of all evaluated episodes, the learning curve (`training_curve.means`), what
        `kagent.callbacks.Doctor` finds in the run or in each of its parts (its time counts), figures of time, versions, machine.
        None: training is not at its end.
    """
    from kagent.cli import process, settings

    process.prepare()
    from benchmarks import training_curve  # it imports Keras
    from kagent.callbacks import Doctor

    preset, best = settings_of(task)
    chosen = settings.resolve(preset, best, {"seed": seed, "fit": {} if steps is None else {"steps": steps}})
    used = json.loads(json.dumps(chosen))
    fit, compiled = chosen.pop("fit"), chosen.pop("compile", {})
    if (n_envs := fit.get("n_envs")) is not None:
        chosen["n_envs"] = n_envs  # as `kagent train` does: the size of an update may go by it
    agent: Any = preset(task.environment, **chosen)
    if compiled:
        agent.compile(**compiled)
    loads = [load()]
    if minutes is None or unfinished is None:
        noted, doctor, began = training_curve.EpisodeReturns(), Doctor(verbose=0), time.perf_counter()
        agent.fit(task.environment, verbose=0, callbacks=[noted, doctor], **fit)
        seconds, findings = time.perf_counter() - began, [finding.to_json() for finding in doctor.findings]
        about: Record | None = {"seconds": seconds, "parts": 1, "points": noted.points, "findings": findings}
    else:
        about = train_part(agent, task.environment, fit, minutes, unfinished)
    if about is None:
        return None
    seconds, cores = about["seconds"], os.cpu_count() or 1
    loads.append(load())
    outcome = agent.evaluate(task.environment, episodes, seed=EVALUATION + seed)
    returns = [float(value) for value in outcome["episode_returns"]]
    return {
        "task": task.name,
        "algorithm": task.algorithm,
        "environment": task.environment,
        "seed": seed,
        "settings": used,
        "returns": returns,
        "mean": statistics.fmean(returns),
        "interquartile_mean": interquartile_mean(returns),
        "evaluation": {"episodes": episodes, "seed": EVALUATION + seed, "greedy": True, "agent": "last"},
        "curve": training_curve.means(about["points"], agent.timesteps),
        "findings": about["findings"],
        "seconds": seconds,
        "parts": about["parts"],
        "steps_per_second": agent.timesteps / seconds,
        "load": loads,
        "loaded": is_loaded(loads),
        "timesteps": agent.timesteps,
        "gradient_steps": agent.gradient_steps,
        "date": datetime.date.today().isoformat(),
        "machine": f"{speed.processor()}, {cores} cores",
        "threads": measurement.thread_variables() | {"cores": usable_cores()},
        "versions": versions(),
    }


def with_earlier(record: Record, file: Path) -> Record:
    """A record that takes the place of an earlier one of the same run.

    Where all returns of the evaluation are equal, the earlier one stays and gains the curve: its times were measured then.
    """
    if not file.exists():
        return record
    earlier: Record = json.loads(file.read_text(encoding="utf-8"))
    same = all(earlier.get(key) == record[key] for key in ("settings", "evaluation", "returns"))
    kept: Record = {key: record[key] for key in ("curve", "findings") if key in record}
    return {**earlier, **kept} if same else record


def load() -> float | None:
    """How many processes of this machine ran or waited for a core in the last minute, on average; None: it is not known.

    Of a run that began or ended with more of them than there are cores, `loaded` is true: its seconds are no measure of speed.
    """
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def is_loaded(loads: Sequence[float | None]) -> bool:
    """Whether a run whose loads these were had to share its core."""
    return any(found is not None and found > (os.cpu_count() or 1) + 0.5 for found in loads)


def usable_cores() -> int:
    """On how many cores this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Of Python and of what was imported: TensorFlow's distribution has several names."""
    found = {"python": measurement.versions()["python"]}
    for name in ("kagent", "keras", "tensorflow", "gymnasium", "numpy"):
        found[name] = importlib.import_module(name).__version__
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Runs what the arguments say, and writes the file."""
    p = argparse.ArgumentParser("python -m benchmarks.learning_run", description=__doc__)
    p.add_argument("task", choices=list(TASKS))
    p.add_argument("seed", type=int)
    p.add_argument("file", type=Path, help="where the JSON goes; it is there whole or not at all")
    p.add_argument("--steps", type=int)
    p.add_argument("--episodes", type=int, default=EPISODES)
    p.add_argument("--minutes", type=float, help="stop training after so many, and go on in the next process")
    p.add_argument("--core", type=int, help="the only one that this process may use")
    a = p.parse_args(argv)
    if a.core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {a.core})  # before TensorFlow counts cores
    record = run(TASKS[a.task], a.seed, a.steps, a.episodes, a.minutes, Unfinished(a.file))
    if record is None:
        print(json.dumps({"unfinished": True}), flush=True)
        return
    from kagent.files import atomic_files

    record = with_earlier(record, a.file)
    with atomic_files.beside(a.file, ".json") as temporary:
        Path(temporary).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: record[key] for key in ("mean", "seconds")}), flush=True)


if __name__ == "__main__":
    main()
