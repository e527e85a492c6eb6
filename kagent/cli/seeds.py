"""`kagent train --seeds N`: the same run with several seeds, each a process of its own, and a table of their results."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    """Runs all seeds, so many side by side; the exit status is the largest of theirs, 128 + signal of one that was killed.

    Args:
        argv: The user's command line.
        seeds: Of the runs.
        jobs: Runs side by side, each with its share of the cores.
        folder: Where the runs' folders lie, `seed-<seed>` each, and `summary.json`.
        say: Shows a line.
    """
    threads = str(max((os.cpu_count() or 1) // jobs, 1))
    shares = {name: os.environ.get(name, threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}

    children = _Children()

    def one(seed: int) -> tuple[int, str]:
        return children.finished(command(argv, seed, folder), {**os.environ, **shares})

    codes = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        runs = {pool.submit(one, seed): seed for seed in seeds}
        with children.stopped_with(runs):
            for waiting in concurrent.futures.as_completed(runs):
                seed = runs[waiting]
                if waiting.cancelled():
                    say(f"seed {seed}: not begun")
                    continue
                code, said = waiting.result()
                if code < 0:  # a signal killed it, which must not count as less than success
                    said, code = f"killed by signal {-code}", 128 - code
                codes.append(code)
                say(_line(folder, seed, code, said))
    results = {seed: found for seed in seeds if (found := _evaluation(folder, seed)) is not None}
    if results:
        summary = summarized({seed: float(found["mean"]) for seed, found in results.items()})
        summary["command"] = shlex.join(["kagent", *argv])
        with replacing(folder / SUMMARY) as beside:
            beside.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        say(table(results, summary))
    return max(codes, default=0) if children.received is None else 128 + children.received


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


def _line(folder: Path, seed: int, code: int, said: str) -> str:
    result = _evaluation(folder, seed)
    own = folder / f"seed-{seed}"
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        more = f". Go on with: kagent train --resume {shlex.quote(str(own))}" if (own / "checkpoints").is_dir() else ""
        return f"seed {seed}: stopped{more}"
    if code == 0 or result:
        return f"seed {seed}: " + ("stopped" if result is None else f"return {result['mean']:.1f}")
    return f"seed {seed}: exit code {code}: {_last(said)}"


class _Children:
    """The processes of the seeds that train now. A first SIGINT or SIGTERM stops them cleanly and begins no further one.

    A signal goes on to them: a terminal sends Ctrl-C to all, a supervisor's SIGTERM reaches the parent alone. Their
    `Interruption` takes both for one.

    Attributes:
        received: Number of the first signal, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._running: set[subprocess.Popen[str]] = set()

    def finished(self, command: Sequence[str], env: dict[str, str]) -> tuple[int, str]:
        """Runs one; its exit status and its errors."""
        with subprocess.Popen(
            command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            self._running.add(process)
            if self.received is not None:  # the signal came in between
                process.terminate()
            said = process.communicate()[1]
            self._running.discard(process)
        return process.returncode, said.strip()

    @contextlib.contextmanager
    def stopped_with(self, runs: Iterable[concurrent.futures.Future[Any]]) -> Iterator[None]:
        """Within it a signal stops them, and those of `runs` that have not begun are left out."""
        previous: dict[int, Any] = {}

        def stop(number: int, frame: Any) -> None:
            if self.received is None:
                self.received = number
                os.write(2, b"\nStopping: the agents will be saved. Once more to stop at once, without saving.\n")
            for run in runs:
                run.cancel()
            for process in list(self._running):
                process.send_signal(number)

        if threading.current_thread() is threading.main_thread():  # Python lets no other thread do this
            previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
