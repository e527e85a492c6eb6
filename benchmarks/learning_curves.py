"""The curves of the documentation, drawn from the files under `benchmarks/results/`.

    python -m benchmarks.learning_curves            # writes docs/_static/curves/, a file for each measured cell, and learning.svg
    python -m benchmarks.learning_curves --check    # says which of them are not those of the results

A curve is the mean return of training episodes over each hundredth of a run: the interquartile mean over seeds, with its 95 %
bootstrap interval. Dots are the scores of the learning table, of the agents that training ended with. A cell whose runs recorded no
curve has the dots alone. Each picture holds a digest of the numbers that it shows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning_cells import TASKS, Task
from benchmarks.learning_table import RESULTS, ROOT, Record, read
from kagent.cli.bands import band
from kagent.cli.charts import Line, chart
from kagent.files.atomic_files import replacing

STATIC = ROOT / "docs" / "_static"
FRONT = ("ppo-cartpole", "dqn-cartpole", "trpo-cartpole")  # the picture of the README
X_LABEL, Y_LABEL = "environment timesteps", "return of an episode"
_DIGEST = re.compile(r"<metadata>sha256:([0-9a-f]{64})</metadata>")


def numbers(task: Task, records: Sequence[Record]) -> dict[str, Any]:
    """All that the picture of a cell shows."""
    runs = [
        {"seed": one["seed"], "score": one["mean"], "steps": one["timesteps"], "curve": one.get("curve")}
        for one in records
    ]
    return {"task": task.name, "gate": task.gate, "runs": runs}


def digest(data: Any) -> str:
    """Of JSON-ready data: equal numbers have equal digests."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def digest_of(svg: str) -> str | None:
    """The digest in a picture; None: it has none."""
    found = _DIGEST.search(svg)
    return found[1] if found else None


def line(label: str, data: dict[str, Any], colour: int = 0) -> Line | None:
    """The curve of a cell with its band; None: no run recorded one."""
    curves = [run["curve"] for run in data["runs"] if run["curve"] and run["curve"]["timesteps"]]
    if not curves:
        return None
    first = max(curve["timesteps"][0] for curve in curves)
    last = min(curve["timesteps"][-1] for curve in curves)
    grid = np.array(sorted({step for curve in curves for step in curve["timesteps"] if first <= step <= last}), float)
    table = np.stack([np.interp(grid, curve["timesteps"], curve["returns"]) for curve in curves])
    middle, low, high = band(table)
    several = len(curves) > 1
    text = f"{label}, {len(curves)} seeds" if several else f"{label}, one seed"
    return Line(text, grid, middle, low if several else None, high if several else None, colour)


def picture(task: Task, records: Sequence[Record]) -> str:
    """The SVG of a cell."""
    data = numbers(task, records)
    trained = line("training", data)
    scores = np.array([run["score"] for run in data["runs"]])
    steps = np.array([run["steps"] for run in data["runs"]], float)
    alone = "" if trained else ", no curve recorded"
    dots = Line(f"{len(scores)} trained agent{'s' * (len(scores) > 1)}{alone}", steps, scores, colour=1, dots=True)
    end = float(steps.max())
    lines = [trained, dots] if trained else [dots]
    defaults = " (defaults)" if task.steps else ""
    return chart(
        lines,
        title=f"{task.algorithm.upper()}{defaults} on {task.shown}",
        level=None if task.gate is None else (task.gate, "gate"),
        x_end=end,
        standalone=True,
        metadata=f"sha256:{digest(data)}",
        x_label=X_LABEL,
        y_label=Y_LABEL,
    )


def front(found: dict[str, list[Record]]) -> str:
    """The picture of the README: several algorithms on one environment.

    Raises:
        ValueError: A cell of it has no curve.
    """
    data = [numbers(TASKS[name], found.get(name, [])) for name in FRONT]
    lines = [line(TASKS[name].algorithm.upper(), one, colour) for colour, (name, one) in enumerate(zip(FRONT, data))]
    drawn = [one for one in lines if one is not None]
    if len(drawn) < len(FRONT):
        raise ValueError(f"The picture of the README needs curves of {FRONT}: python -m benchmarks.learning --curves")
    return chart(
        drawn,
        title=f"Training on {TASKS[FRONT[0]].environment}",
        standalone=True,
        metadata=f"sha256:{digest(data)}",
        x_label=X_LABEL,
        y_label=Y_LABEL,
    )


def pictures(found: dict[str, list[Record]]) -> dict[Path, str]:
    """All pictures by their path below `docs/_static`."""
    made = {Path("curves") / f"{name}.svg": picture(TASKS[name], found[name]) for name in TASKS if found.get(name)}
    return {Path("learning.svg"): front(found), **made}


def differing(found: dict[str, list[Record]], static: Path = STATIC) -> list[str]:
    """The pictures that are missing, show other numbers than the results, or belong to no cell."""
    wanted = {path: digest_of(svg) for path, svg in pictures(found).items()}
    there = {
        path.relative_to(static): digest_of(path.read_text(encoding="utf-8"))
        for path in (static / "learning.svg", *static.glob("curves/*.svg"))
        if path.exists()
    }
    return sorted(str(path) for path in {*wanted, *there} if wanted.get(path) != there.get(path) or path not in wanted)


def write(found: dict[str, list[Record]], static: Path = STATIC) -> int:
    """Writes all pictures, and takes away those of cells that are gone; how many there are."""
    made = pictures(found)
    for path in static.glob("curves/*.svg"):
        if path.relative_to(static) not in made:
            path.unlink()
    for path, svg in made.items():
        with replacing(static / path) as beside:
            beside.write_text(svg, encoding="utf-8")
    return len(made)


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the pictures, or compares them."""
    p = argparse.ArgumentParser("python -m benchmarks.learning_curves", description=__doc__.split("\n")[0])
    p.add_argument("--results", type=Path, default=RESULTS, help="the folder of the files (%(default)s)")
    p.add_argument("--check", action="store_true", help="write nothing; 1 where pictures differ from the results")
    a = p.parse_args(argv)
    found = read(a.results)
    if a.check:
        wrong = differing(found, STATIC)
        print("\n".join(wrong) if wrong else "All pictures are those of the results")
        return int(bool(wrong))
    print(f"Wrote {write(found)} pictures to {STATIC}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
