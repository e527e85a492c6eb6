"""Does kagent learn? Every cell of the learning table, over seeds, against a gate for each.

Each run is a process of its own on one thread: it trains with `kagent/tuned/*.json` as `kagent train` would, takes the agent as
it is at the end (not the best on the way), plays 100 greedy episodes on environment seeds that training never saw, and writes
`benchmarks/results/<task>/<seed>.json`. Settings are tuned on seeds from 0 to 9; those here are 1000 to 1004. (Of DQN's on
CartPole, 1000 and 1001 were seen before the horizon of its targets was chosen.)

Runs whose file exists are skipped, so that the same command goes on after an interruption. Those of long cells come first, then
the first seed of every cell, then the second. A long run is made in parts of 15 minutes, and goes on from the last one. A run
that fails leaves `<seed>.error` in the folder, and is tried again next time. `--curves` runs those again whose file has no learning
curve, or not what the doctor found: where the evaluation comes out the same, the file gains them and keeps its times.

    python -m benchmarks.learning --list
    python -m benchmarks.learning --jobs 16 --budget 18                      # starts nothing that would take longer
    python -m benchmarks.learning --tasks dqn-cartpole --seeds 3
    python -m benchmarks.learning --seeds 1 --steps 2000 --results /tmp/trial   # does it all work here?
    python -m benchmarks.learning_table                                      # writes the table of docs/learning.md, and the curves
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import learning_table, speed
from benchmarks.learning_cells import EPISODES, FIRST_SEED, SEEDS, TASKS
from benchmarks.libraries import LIBRARIES

Run = tuple[str, int]
Record = dict[str, Any]
_BESIDE = 1.0  # minutes that a part takes beside training
PART = 15.0  # minutes of a long run in one process


def order(names: Sequence[str], seeds: int, first: int = FIRST_SEED) -> list[Run]:
    """All runs of some tasks: the only ones of long cells, then seed by seed, each time the longest first.

    Args:
        names: Of tasks.
        seeds: How many of each, at most those that the task has.
        first: The first seed.
    """
    runs = [(name, number) for name in names for number in range(min(seeds, TASKS[name].seeds))]
    runs.sort(key=lambda run: (TASKS[run[0]].seeds > 1, run[1], -TASKS[run[0]].minutes))
    return [(name, first + number) for name, number in runs]


def path_of(results: Path, run: Run) -> Path:
    """Where the result of a run stands."""
    name, seed = run
    return results / name / f"{seed}.json"


def is_there(results: Path, run: Run, curves: bool = False) -> bool:
    """Whether a run has its result; with `curves`, one with a learning curve and the doctor's findings."""
    path = path_of(results, run)
    if not (curves and path.exists()):
        return path.exists()
    record = json.loads(path.read_text(encoding="utf-8"))
    return "curve" in record and "findings" in record


def perform(run: Run, a: argparse.Namespace, core: int | None, minutes: float | None = None) -> Record:
    """One run, or one part of it, in a process of its own: what it printed, or `{"error": ...}`."""
    name, seed = run
    file = path_of(a.results, run)
    error = file.with_suffix(".error")
    file.parent.mkdir(parents=True, exist_ok=True)
    error.unlink(missing_ok=True)
    arguments = [name, str(seed), str(file.resolve()), "--episodes", str(a.episodes)]
    arguments += [] if a.steps is None else ["--steps", str(a.steps)]
    arguments += [] if core is None else ["--core", str(core)]
    arguments += [] if minutes is None else ["--minutes", f"{minutes:g}"]
    record = speed.run_child("benchmarks.learning_run", arguments, dict(LIBRARIES["kagent"].settings["one"]), a.timeout)
    if "error" in record:
        error.write_text(record["error"] + "\n", encoding="utf-8")
        speed.say(f"{name} seed {seed}: FAILED: {record['error'].splitlines()[-1]}")
    elif not record.get("unfinished"):
        speed.say(f"{name} seed {seed}: {record['mean']:.1f} in {record['seconds']:.0f} s")
    return record


def perform_all(runs: Sequence[Run], a: argparse.Namespace) -> int:
    """All runs, `--jobs` of them side by side.

    Returns:
        How many failed.
    """
    waiting: queue.SimpleQueue[Run] = queue.SimpleQueue()
    for run in runs:
        waiting.put(run)
    began, failures, passed_over = time.monotonic(), [], []
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

    def left() -> float:
        return a.budget - (time.monotonic() - began) / 60.0

    def parts(run: Run, core: int | None) -> Record | None:
        while (minutes := min(PART, left() - _BESIDE)) > 0.0:
            record = perform(run, a, core, minutes)
            if not record.get("unfinished"):
                return record
        return None

    def work(number: int) -> None:
        core = cores[number % len(cores)] if cores and a.jobs > 1 else None
        while True:
            try:
                run = waiting.get_nowait()
            except queue.Empty:
                return
            if TASKS[run[0]].seeds == 1:
                record = parts(run, core)
            elif TASKS[run[0]].minutes <= left():
                record = perform(run, a, core)
            else:
                record = None
            if record is None:
                passed_over.append(run)
            elif "error" in record:
                failures.append(run)

    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(a.jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if passed_over:
        speed.say(f"{len(passed_over)} runs were not begun, or not ended: they would have taken longer than --budget")
    return len(failures)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    shape = argparse.RawDescriptionHelpFormatter
    p = argparse.ArgumentParser("python -m benchmarks.learning", description=__doc__, formatter_class=shape)
    known = list(TASKS)
    p.add_argument("--list", action="store_true", help="show the tasks and what there is of them, and end")
    p.add_argument("--tasks", type=speed.names_of(known, "task"), default=known, help="names from --list, with commas")
    p.add_argument("--seeds", type=int, default=SEEDS, help=f"seeds of each task, at most ({SEEDS})")
    p.add_argument("--first-seed", type=int, default=FIRST_SEED, help=f"the first of them ({FIRST_SEED})")
    p.add_argument("--steps", type=int, help="env steps in place of those of the settings")
    p.add_argument("--episodes", type=int, default=EPISODES, help=f"greedy episodes of each evaluation ({EPISODES})")
    p.add_argument(
        "--curves", action="store_true", help="also run those again whose file has no learning curve or findings"
    )
    p.add_argument("--jobs", type=int, default=1, help="runs side by side, each on a core of its own (1)")
    p.add_argument("--budget", type=float, default=float("inf"), help="minutes; longer runs are not begun (no end)")
    p.add_argument("--timeout", type=float, default=10800.0, help="seconds for one run (10800)")
    p.add_argument("--results", type=Path, default=learning_table.RESULTS, help="where files go (benchmarks/results)")
    return p


def listing(results: Path) -> str:
    """A line for each task: its name, gate, minutes, and the files that there are."""
    lines = []
    for name, task in TASKS.items():
        there = [seed for _, seed in order([name], SEEDS) if path_of(results, (name, seed)).exists()]
        state = f"{len(there)} of {task.seeds} seeds"
        gate = "none" if task.gate is None else f"{task.gate:g}"
        lines.append(f"{name:34} gate {gate:>6}   about {task.minutes:4.1f} min a seed   {state}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what is missing; 1 if a run failed."""
    p = parser()
    a = p.parse_args(argv)
    if a.list:
        print(listing(a.results))
        return 0
    if min(a.seeds, a.episodes, a.jobs) < 1 or a.first_seed < 0 or (a.steps is not None and a.steps < 1):
        p.error("--seeds, --episodes, --jobs and --steps must be at least 1, --first-seed at least 0")
    changed = [f"--{name}" for name, usual in (("steps", None), ("episodes", EPISODES), ("first_seed", FIRST_SEED))
               if getattr(a, name) != usual]  # fmt: skip
    if changed and a.results == learning_table.RESULTS:
        p.error(
            f"{', '.join(changed).replace('_', '-')}: that is another measurement; say --results FOLDER for its files"
        )
    runs = [run for run in order(a.tasks, a.seeds, a.first_seed) if not is_there(a.results, run, a.curves)]
    speed.say(f"{len(runs)} runs, {a.jobs} side by side")
    try:
        return int(perform_all(runs, a) > 0)
    except KeyboardInterrupt:
        speed.say("stopped; the same command goes on with what is missing")
        return 130


if __name__ == "__main__":
    sys.exit(main())
