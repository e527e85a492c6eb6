"""`kagent train --seeds N`: the same run with several seeds, each a process of its own, and a table of their results."""

from __future__ import annotations

import concurrent.futures
import json
import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kagent.cli.errors import CommandError
from kagent.cli.folder import RunFolder
from kagent.cli.scores import bootstrap_interval, interquartile_mean
from kagent.files.atomic_files import replacing

SUMMARY = "summary.json"
_OWN = ("--seeds", "--jobs", "--seed", "--out", "--quiet")  # argparse takes the beginning of an option for it


def command(argv: Sequence[str], seed: int, folder: Path) -> list[str]:
    """The command of one seed: the user's, without the options that are about several seeds.

    Example:

    >>> command(["train", "dqn", "CartPole-v1", "--seeds", "3", "--jobs=2", "--steps", "9"], 7, Path("runs/x"))[3:]
    ['train', 'dqn', 'CartPole-v1', '--steps', '9', '--seed', '7', '--out', 'runs/x/seed-7', '--quiet']
    """
    own, skip = [], False
    for text in argv:
        option = text.partition("=")[0]
        name = next((name for name in _OWN if option == name or (len(option) > 2 and name.startswith(option))), None)
        if skip or (name is not None and option != "--set"):
            skip = not skip and "=" not in text and name != "--quiet"
            continue
        own.append(text)
    return [
        sys.executable,
        "-m",
        "kagent",
        *own,
        "--seed",
        str(seed),
        "--out",
        str(folder / f"seed-{seed}"),
        "--quiet",
    ]


def run(
    argv: Sequence[str],
    seeds: Sequence[int],
    jobs: int,
    folder: Path,
    say: Callable[[str], None] = print,
) -> int:
    """Runs all seeds, so many side by side; the exit status is the largest of theirs.

    Args:
        argv: The user's command line.
        seeds: Of the runs.
        jobs: Runs side by side, each with its share of the cores.
        folder: Where the runs' folders lie, `seed-<seed>` each, and `summary.json`.
        say: Shows a line.
    """
    threads = str(max((os.cpu_count() or 1) // jobs, 1))
    shares = {name: os.environ.get(name, threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}

    def one(seed: int) -> tuple[int, int, str]:
        done = subprocess.run(
            command(argv, seed, folder), env={**os.environ, **shares}, capture_output=True, text=True, check=False
        )
        return seed, done.returncode, done.stderr.strip()

    codes = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for waiting in concurrent.futures.as_completed([pool.submit(one, seed) for seed in seeds]):
            seed, code, said = waiting.result()
            codes.append(code)
            result = _evaluation(folder, seed)
            shown = "stopped" if result is None else f"return {result['mean']:.1f}"
            say(f"seed {seed}: {shown}" if code == 0 or result else f"seed {seed}: exit code {code}: {_last(said)}")
    results = {seed: found for seed in seeds if (found := _evaluation(folder, seed)) is not None}
    if results:
        summary = summarized({seed: float(found["mean"]) for seed, found in results.items()})
        summary["command"] = shlex.join(["kagent", *argv])
        with replacing(folder / SUMMARY) as beside:
            beside.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        say(table(results, summary))
    return max(codes)


def summarized(means: dict[int, float]) -> dict[str, Any]:
    """What the seeds' mean returns say together; see `kagent.cli.scores`.

    Example:

    >>> found = summarized({0: 1.0, 1: 2.0, 2: 3.0, 3: 10.0})
    >>> found["mean"], found["interquartile_mean"], found["min"], found["max"]
    (4.0, 2.5, 1.0, 10.0)
    """
    returns = list(means.values())
    return {
        "seeds": list(means),
        "returns": returns,
        "mean": statistics.fmean(returns),
        "interquartile_mean": interquartile_mean(returns),
        "interval": list(bootstrap_interval(returns)),
        "min": min(returns),
        "max": max(returns),
    }


def table(results: dict[int, dict[str, Any]], summary: dict[str, Any]) -> str:
    """The seeds' evaluations, one line each, and the summary."""
    lines = ["", f"{'seed':>8} {'return':>10} {'std':>9} {'length':>9} {'episodes':>9}"]
    for seed, found in results.items():
        lines.append(
            f"{seed:>8} {found['mean']:>10.1f} {found['std']:>9.1f} {found['length_mean']:>9.1f} {found['episodes']:>9}"
        )
    lines.append(
        f"{len(results)} seeds: interquartile mean {summary['interquartile_mean']:.1f} "
        f"(95 % interval {summary['interval'][0]:.1f} to {summary['interval'][1]:.1f}), mean {summary['mean']:.1f}"
    )
    return "\n".join(lines)


def check(seeds: int, jobs: int | None, resume: Path | None, folder: Path | None) -> None:
    """Refuses options that do not go together.

    Raises:
        CommandError: `--jobs` without `--seeds`; `--resume` beside `--seeds`; a folder with something in it.
    """
    if seeds and resume is not None:
        raise CommandError("--resume goes on with one run: give the folder of a seed, without --seeds")
    if jobs is not None and not seeds:
        raise CommandError("--jobs is for --seeds: how many of them run side by side")
    if seeds and folder is not None:
        RunFolder(folder)  # it refuses one with something in it


def _evaluation(folder: Path, seed: int) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((folder / f"seed-{seed}" / "evaluation.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _last(said: str) -> str:
    return said.splitlines()[-1] if said else "nothing was said"
