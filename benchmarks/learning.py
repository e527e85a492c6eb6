"""Does kagent learn? The shipped tuned settings on their environments, over seeds, against a gate for each.

Every seed is a process of its own, one at a time: train with `kagent/tuned/*.json` as `kagent train` would, take
the agent as it is at the end (not the best on the way), play 100 greedy episodes on environment seeds that
training never saw. Settings are tuned on other seeds than those here, which begin at 1000. (Of DQN's,
1000 and 1001 were seen before the horizon of its targets was chosen.)

    python -m benchmarks.learning                                   # all tasks, 5 seeds each: about half an hour
    python -m benchmarks.learning --tasks dqn-cartpole --seeds 3 --out results.json
    python -m benchmarks.learning --seeds 1 --steps 2000            # does it all work here? (fails its gates)
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import measurement, speed
from benchmarks.libraries import LIBRARIES
from benchmarks.table import rows

Record = dict[str, Any]
FIRST_SEED = 1000


@dataclass(frozen=True)
class Task:
    """A pair with tuned settings, and what must come of it.

    Attributes:
        algorithm: Name of a preset in lower case.
        environment: A gymnasium id.
        gate: Mean return of the evaluation that four of five seeds must reach.
        floor: What every seed must reach; None: whatever.
    """

    algorithm: str
    environment: str
    gate: float
    floor: float | None = None


TASKS = {
    "dqn-cartpole": Task("dqn", "CartPole-v1", 475.0, 400.0),
    "ppo-cartpole": Task("ppo", "CartPole-v1", 475.0, 400.0),
    "ppo-pendulum": Task("ppo", "Pendulum-v1", -400.0),
    "sac-pendulum": Task("sac", "Pendulum-v1", -190.0),
}


def run(task: Task, seed: int, steps: int | None, episodes: int) -> Record:
    """One seed of one task, in this process."""
    from kagent.cli import algorithms, process, settings

    process.prepare()
    import kagent
    from kagent import tuned

    algorithm = algorithms.find(task.algorithm)
    preset = getattr(kagent, algorithm.preset)
    best = tuned.load(task.algorithm, task.environment)
    if best is None:
        raise LookupError(f"no tuned settings for {task.algorithm} on {task.environment}")
    chosen = settings.resolve(preset, best, {"seed": seed, "fit": {} if steps is None else {"steps": steps}})
    fit, compiled = chosen.pop("fit"), chosen.pop("compile", {})
    agent = preset(task.environment, **chosen)
    if compiled:
        agent.compile(**compiled)
    began = time.perf_counter()
    agent.fit(task.environment, verbose=0, **fit)
    seconds = time.perf_counter() - began
    # Fresh episodes: another stream than that of the agent's own evaluations and of its training.
    outcome = agent.evaluate(task.environment, episodes, seed=10**6 + seed)
    return {
        "seconds": seconds,
        "timesteps": agent.timesteps,
        "gradient_steps": agent.updates,
        "mean": outcome["episode_return"],
        "returns": outcome["episode_returns"],
        "settings": chosen | {"fit": fit},
        "versions": measurement.versions("tensorflow", "keras", "gymnasium", "numpy") | {"kagent": kagent.__version__},
    }


def interquartile_mean(values: Sequence[float]) -> float:
    """Mean of the middle half (Agarwal et al. 2021, arXiv:2108.13264); of fewer than four values, of all."""
    cut = len(values) // 4
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


def passes(task: Task, means: Sequence[float], asked: int) -> bool:
    """Whether four fifths of the seeds asked for reach the gate, and every one the floor."""
    good = sum(mean >= task.gate for mean in means) >= math.ceil(0.8 * asked)
    return good and (task.floor is None or all(mean >= task.floor for mean in means)) and len(means) == asked


def report(results: Record) -> str:
    """The table of all tasks as markdown, with the machine and what failed."""
    header = ("task", "env steps", "mean return of each seed", "min", "IQM", "seconds per seed", "gate", "reached")
    body, failures = [], []
    versions: dict[str, str] = {}
    for name, task in TASKS.items():
        found = [record for record in results["records"] if record["task"] == name]
        good = [record for record in found if "error" not in record]
        failures += [
            f"{name}, seed {r['seed']}:\n\n    " + r["error"].replace("\n", "\n    ") for r in found if r not in good
        ]
        if not found:
            continue
        means = [record["mean"] for record in good]
        gate = f">= {task.gate:g} on {math.ceil(0.8 * len(found))} of {len(found)}"
        if task.floor is not None:
            gate += f", each >= {task.floor:g}"
        middle = statistics.median(r["seconds"] for r in good) if good else math.nan
        body.append(
            [
                name,
                f"{max((r['timesteps'] for r in good), default=0):,}",
                ", ".join(f"{mean:.1f}" for mean in means) or "—",
                f"{min(means):.1f}" if means else "—",
                f"{interquartile_mean(means):.1f}" if means else "—",
                f"{middle:.0f}" if good else "—",
                gate,
                "yes" if passes(task, means, len(found)) else "NO",
            ]
        )
        for record in good:
            versions |= record["versions"]
    parts = [
        rows(header, body),
        f"Evaluation: {results['episodes']} greedy episodes of the agent as training left it, unseen seeds. "
        f"Training seeds from {results['first_seed']}. {results['machine']['machine']}; load "
        f"{results['machine']['load']}; {results['date']}; "
        + ", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
    ]
    if results["steps"] is not None:
        parts.append(f"Shortened to {results['steps']:,} env steps: the gates are not those of the tuned settings.")
    return "\n\n".join([*parts, *failures])


def parser() -> argparse.ArgumentParser:
    """The command line."""
    shape = argparse.RawDescriptionHelpFormatter
    p = argparse.ArgumentParser("python -m benchmarks.learning", description=__doc__, formatter_class=shape)
    known = list(TASKS)
    p.add_argument("--tasks", type=speed.names_of(known, "task"), default=known, help=f"of {','.join(known)}")
    p.add_argument("--seeds", type=int, default=5, help="seeds of each task (5)")
    p.add_argument("--first-seed", type=int, default=FIRST_SEED, help=f"the first of them ({FIRST_SEED})")
    p.add_argument("--steps", type=int, help="env steps in place of the tuned ones")
    p.add_argument("--episodes", type=int, default=100, help="greedy episodes of each evaluation (100)")
    p.add_argument("--timeout", type=float, default=3600.0, help="seconds for one seed (3600)")
    p.add_argument("--out", type=Path, help="write every record as JSON here, after each seed")
    p.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Train, evaluate, print the table; 1 if a gate was missed or a run failed."""
    p = parser()
    a = p.parse_args(argv)
    if a.seeds < 1 or a.episodes < 1 or a.first_seed < 0 or (a.steps is not None and a.steps < 1):
        p.error("--seeds, --episodes and --steps must be at least 1, --first-seed at least 0")
    if a.child:
        print(json.dumps(run(TASKS[a.tasks[0]], a.first_seed, a.steps, a.episodes)), flush=True)
        return 0
    results: Record = {
        "machine": speed.machine(),
        "date": time.strftime("%Y-%m-%d"),
        "first_seed": a.first_seed,
        "steps": a.steps,
        "episodes": a.episodes,
        "records": [],
    }
    try:
        for name in a.tasks:
            for seed in range(a.first_seed, a.first_seed + a.seeds):
                keep(results, {"task": name, "seed": seed} | child(name, seed, a), a.out)
    except KeyboardInterrupt:
        speed.say("stopped; the table holds the seeds that were finished")
    print(report(results))
    means = {name: [r["mean"] for r in results["records"] if r["task"] == name and "mean" in r] for name in a.tasks}
    return int(not all(passes(TASKS[name], means[name], a.seeds) for name in a.tasks))


def child(name: str, seed: int, a: argparse.Namespace) -> Record:
    """One seed of one task, in a process of its own, on kagent's best thread setting."""
    arguments = ["--child", "--tasks", name, "--first-seed", str(seed), "--episodes", str(a.episodes)]
    if a.steps is not None:
        arguments += ["--steps", str(a.steps)]
    return speed.run_child("benchmarks.learning", arguments, dict(LIBRARIES["kagent"].settings["one"]), a.timeout)


def keep(results: Record, record: Record, out: Path | None) -> None:
    """Add a record, say so, and write the file again, so that nothing is lost when a long run is stopped."""
    results["records"].append(record)
    failed = record.get("error")
    figure = f"FAILED: {failed.splitlines()[-1]}" if failed else f"{record['mean']:.1f} in {record['seconds']:.0f} s"
    speed.say(f"{record['task']} seed {record['seed']}: {figure}")
    if out:
        out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    sys.exit(main())
