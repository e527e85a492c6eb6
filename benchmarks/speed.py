"""Speed of kagent and of every installed peer on the same workloads: `python -m benchmarks.speed`.

Every run is a process of its own, one at a time, the libraries taking turns (kagent, SB3, SBX, kagent,
...), so that what else the machine does falls on all of them. Each has its best known thread setting
(benchmarks/libraries.py). A rate is env steps over the wall time of the whole `fit` or `learn` call,
compilation included; the second rate begins after the first update. Ratios are medians of run-by-run
ratios; where a run failed there is none, and its error is shown.

    python -m benchmarks.speed                                   # everything, 3 runs each: about 40 minutes
    python -m benchmarks.speed --workloads W1a,W4 --runs 5 --out results.json
    python -m benchmarks.speed --steps-scale 0.05 --runs 1       # does it all work here?
    python -m benchmarks.speed --workloads I1,I2 --libraries kagent,sb3 --peers /opt/peers/bin/python   # from pixels
    python -m benchmarks.speed --workloads C1-8,C1-64,C1-512,C2 --peers VENV_WITH_GYMNAX/bin/python   # one program each
    python -m benchmarks.speed --threads calibrate               # find this machine's thread settings first
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.libraries import LIBRARIES, THREAD_VARIABLES, best_setting
from benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).resolve().parents[1]
Record = dict[str, Any]


def environment(settings: dict[str, str]) -> dict[str, str]:
    """The environment of a child: CPU only, quiet, and exactly these thread settings."""
    kept = {k: v for k, v in os.environ.items() if k not in THREAD_VARIABLES}
    path = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    quiet = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "2"}
    return kept | quiet | {"PYTHONPATH": path, "KERAS_BACKEND": "tensorflow"} | settings


def run_child(
    module: str, arguments: Sequence[str], settings: dict[str, str], timeout: float, python: str = sys.executable
) -> Record:
    """The JSON object a child printed as its last line, or `{"error": ...}` with the end of what it said."""
    command = [python, "-m", module, *arguments]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment(settings), capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no result within {timeout:g} s"}
    return parse(done.returncode, done.stdout, done.stderr)


def parse(code: int, stdout: str, stderr: str) -> Record:
    """The record in a child's output; an exit code, or a missing or broken line, makes it an error."""
    tail = "\n".join((stderr.strip() or stdout.strip()).splitlines()[-15:])
    if code:
        return {"error": f"exit code {code}\n{tail}"}
    lines = [line for line in stdout.splitlines() if line.startswith("{")]
    try:
        record = json.loads(lines[-1])
    except (IndexError, json.JSONDecodeError):
        return {"error": f"no JSON line on stdout\n{tail}"}
    return record


def measure(
    name: str, library: str, run: int, setting: str, scale: float, timeout: float, peers: str | None = None
) -> Record:
    """One run of one workload with one library; `peers` is the Python of all but kagent."""
    workload, kind = WORKLOADS[name], LIBRARIES[library]
    head = {"library": library, "workload": name, "run": run, "setting": setting}
    arguments = [name, "--steps", str(workload.scaled(scale)), "--seed", str(run)]
    own = {} if peers is None or library == "kagent" else {"python": peers}
    return head | run_child(kind.child, arguments, dict(kind.settings[setting]), timeout, **own)


def calibrate(
    names: Sequence[str], libraries: Sequence[str], runs: int, scale: float, timeout: float, peers: str | None = None
) -> dict[tuple[str, str], str]:
    """Each library's fastest setting per workload: the best median of `runs` runs, the settings taking turns."""
    best = {}
    for name, library in ((n, x) for n in names for x in libraries if x in WORKLOADS[n].libraries):
        rates: dict[str, list[float]] = {setting: [] for setting in LIBRARIES[library].settings}
        for run, setting in ((r, x) for r in range(runs) for x in rates):
            record = measure(name, library, run, setting, scale, timeout, peers)
            # Calibration runs may be short: compilation would drown what the threads change.
            rates[setting].append(record.get("steady_rate") or record.get("rate") or 0.0)
            if record.get("error"):
                say(f"{name} {library} ({setting}) FAILED: {record['error'].splitlines()[-1]}")
        best[library, name] = max(rates, key=lambda key: statistics.median(rates[key]))
        figures = ", ".join(f"{setting} {table.spread(found)}" for setting, found in rates.items())
        say(f"{name} {library}: {figures} steps/s; takes {best[library, name]}")
    return best


def processor() -> str:
    """The processor's model."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    return model


def machine() -> dict[str, str]:
    """What the figures depend on, apart from versions."""
    model = processor()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f"{os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else "unknown"
    return {"machine": f"{model}, {usable} usable cores, {platform.system()}", "load": load}


def say(text: str) -> None:
    """Progress, on stderr: stdout carries the tables alone."""
    print(text, file=sys.stderr, flush=True)


def names_of(known: Sequence[str], what: str) -> Any:
    """An argparse type: comma-separated names out of `known`."""

    def read(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",") if name.strip()]
        if not chosen or (unknown := [name for name in chosen if name not in known]):
            raise argparse.ArgumentTypeError(f"unknown {what}: {unknown if chosen else text!r}; known: {list(known)}")
        return chosen

    return read


def parser() -> argparse.ArgumentParser:
    """The command line."""
    shape = argparse.RawDescriptionHelpFormatter
    p = argparse.ArgumentParser("python -m benchmarks.speed", description=__doc__, formatter_class=shape)
    every = ["W0", *WORKLOADS]
    p.add_argument("--workloads", type=names_of(every, "workload"), default=every, help=f"of {','.join(every)}")
    p.add_argument("--runs", type=int, default=3, help="runs of each library on each workload (3)")
    p.add_argument("--libraries", type=names_of(list(LIBRARIES), "library"), default=list(LIBRARIES))
    p.add_argument("--steps-scale", type=float, default=1.0, help="share of each workload's steps (1.0)")
    p.add_argument(
        "--threads",
        default="best",
        help="best (known), calibrate (measure first), or a setting for all: one, all",
    )
    p.add_argument("--peers", metavar="PYTHON", help="the interpreter of the peers, where they are not beside kagent")
    p.add_argument("--timeout", type=float, default=1800.0, help="seconds for one run (1800)")
    p.add_argument("--out", type=Path, help="write every record as JSON here, after each run")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print the tables, and return 1 if any run failed."""
    p = parser()
    a = p.parse_args(argv)
    common = set.intersection(*(set(x.settings) for x in LIBRARIES.values()))
    if a.threads not in {"best", "calibrate", *common}:
        p.error(f"--threads: unknown {a.threads!r}; known: best, calibrate, {', '.join(sorted(common))}")
    if a.runs < 1 or a.steps_scale <= 0:
        p.error("--runs must be at least 1 and --steps-scale above 0")
    libraries = [x for x in a.libraries if _is_installed(x, a.peers)]
    names = [n for n in a.workloads if n in WORKLOADS]
    results: Record = {
        "machine": machine(),
        "date": time.strftime("%Y-%m-%d"),
        "steps_scale": a.steps_scale,
        "missing": [x for x in a.libraries if x not in libraries],
        "records": [],
    }
    try:
        best = (
            calibrate(names, libraries, a.runs, a.steps_scale, a.timeout, a.peers) if a.threads == "calibrate" else {}
        )
        for run in range(a.runs):
            if "W0" in a.workloads and "kagent" in libraries:
                keep(results, imports(run, a.timeout), a.out)
        for name, run, library in (
            (n, r, x) for n in names for r in range(a.runs) for x in libraries if x in WORKLOADS[n].libraries
        ):
            known = best.get((library, name)) or best_setting(library, name)
            setting = a.threads if a.threads in common else known
            keep(results, measure(name, library, run, setting, a.steps_scale, a.timeout, a.peers), a.out)
    except KeyboardInterrupt:
        say("stopped; the tables hold the runs that were finished")
    print(table.report(results))
    return int(any(r.get("error") for r in results["records"]))


def _is_installed(library: str, peers: str | None) -> bool:
    if peers is None or library == "kagent":
        return LIBRARIES[library].installed
    find = f"import importlib.util as u, sys; sys.exit(u.find_spec({LIBRARIES[library].module!r}) is None)"
    return subprocess.run([peers, "-c", find], capture_output=True).returncode == 0


def imports(run: int, timeout: float) -> Record:
    """One measurement of W0."""
    head = {"library": "kagent", "workload": "W0", "run": run, "setting": "all"}
    return head | run_child("benchmarks.imports", [], {}, timeout)


def keep(results: Record, record: Record, out: Path | None) -> None:
    """Add a record, say so, and write the file again, so that nothing is lost when a long run is stopped."""
    results["records"].append(record)
    rate, failed = record.get("rate", record.get("added_seconds")), record.get("error")
    unit = "s added" if record["workload"] == "W0" else "steps/s"
    figure = f"FAILED: {failed.splitlines()[-1]}" if failed else f"{rate:,.2f} {unit}"
    say(f"{record['workload']} run {record['run']} {record['library']} ({record['setting']}): {figure}")
    if out:
        out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    sys.exit(main())
