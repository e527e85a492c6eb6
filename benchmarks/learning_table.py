"""The table of learning in the documentation, made of the files under `benchmarks/results/`.

    python -m benchmarks.learning_table            # writes it into docs/learning.md and a short one into the README; draws the curves
    python -m benchmarks.learning_table --print

Of each cell: the interquartile mean over its seeds of the mean return of 100 greedy episodes, with a 95 % bootstrap interval
(`kagent/cli/scores.py`).
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.learning_cells import TASKS, Task
from benchmarks.table import rows
from kagent.cli.scores import bootstrap_interval, interquartile_mean

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PEERS = RESULTS / "sb3"  # those of `benchmarks.learning_peer`
BEGIN, END = "<!-- learning: begin -->", "<!-- learning: end -->"
HEADER = (
    "environment",
    "algorithm",
    "env steps",
    "seeds",
    "IQM",
    "95 %",
    "lowest",
    "gate",
    "",
    "published",
    "min",
    "steps/s",
)
Record = dict[str, Any]


def read(folder: Path) -> dict[str, list[Record]]:
    """The records of a folder by task, in the order of their seeds.

    Raises:
        ValueError: A file that does not hold the run that its path says.
    """
    found: dict[str, list[Record]] = {}
    for path in sorted(folder.glob("*/*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if (record.get("task"), str(record.get("seed"))) != (path.parent.name, path.stem):
            raise ValueError(f"{path} holds another run. Received: {record.get('task')}, seed {record.get('seed')}")
        found.setdefault(record["task"], []).append(record)
    return found


def reached(task: Task, means: Sequence[float]) -> bool:
    """Whether the interquartile mean reaches the gate, and at most one seed is below the floor. Without a gate it is False."""
    if task.gate is None:
        return False
    broken = sum(mean < task.floor for mean in means) if task.floor is not None else 0
    return interquartile_mean(means) >= task.gate and broken <= (len(means) > 1)


def beside(records: Sequence[Record], peers: Sequence[Record]) -> bool:
    """Whether an agent is not below a peer: its interquartile mean is as high, or the interquartile ranges of the returns overlap.

    Args:
        records: Ours; the returns of all their episodes are pooled.
        peers: The peer's.
    """
    if interquartile_mean([one["mean"] for one in records]) >= interquartile_mean([one["mean"] for one in peers]):
        return True
    ours, theirs = ([value for one in found for value in one["returns"]] for found in (records, peers))
    high, low = (
        statistics.quantiles(ours, n=4, method="inclusive")[2],
        statistics.quantiles(theirs, n=4, method="inclusive")[0],
    )
    return high >= low


def judged(task: Task, records: Sequence[Record], peers: Sequence[Record]) -> bool | None:
    """Whether a measured cell reaches its gate, or its peer where it has no gate; None: there is neither."""
    if task.gate is not None:
        return reached(task, [record["mean"] for record in records])
    return beside(records, peers) if peers else None


def row(task: Task, records: Sequence[Record], peers: Sequence[Record] = ()) -> list[str]:
    """One line of the table. Minutes and steps/s are of the runs that had their core alone."""
    head = [task.shown, task.algorithm + (" (defaults)" if task.steps else "")]
    gate, published = ("—" if number is None else f"{number:g}" for number in (task.gate, task.published))
    if peers:
        theirs = f"SB3: {interquartile_mean([one['mean'] for one in peers]):.1f}"
        gate = theirs if task.gate is None else f"{gate} ({theirs})"
    if not records:
        return [*head, "", "", "not measured", "", "", gate, "", published, "", ""]
    means, alone = [record["mean"] for record in records], [one for one in records if not one.get("loaded")]
    low, high = bootstrap_interval(means)
    return [
        *head,
        " / ".join(f"{steps:,}" for steps in sorted({record["timesteps"] for record in records})),
        f"{len(records)}",
        f"{interquartile_mean(means):.1f}",
        f"{low:.1f} to {high:.1f}" if len(means) > 1 else "—",
        f"{min(means):.1f}",
        gate,
        {None: "", True: "reached", False: "🔴 missed"}[judged(task, records, peers)],
        published,
        f"{statistics.median(record['seconds'] for record in alone) / 60.0:.1f}" if alone else "—",
        f"{statistics.median(record['steps_per_second'] for record in alone):,.0f}" if alone else "—",
    ]


def summary(found: dict[str, list[Record]], peers: dict[str, list[Record]]) -> str:
    """How many cells reach what, and where they were measured."""
    means = {name: [record["mean"] for record in found[name]] for name in TASKS if found.get(name)}
    verdicts = [judged(TASKS[name], found[name], peers.get(name, ())) for name in means]
    gates = verdicts.count(True)
    known = {name: scores for name, scores in means.items() if TASKS[name].published is not None}
    above = sum(interquartile_mean(scores) >= (TASKS[name].published or 0.0) for name, scores in known.items())
    text = f"{len(means)} of {len(TASKS)} cells are measured, and {gates} of these reach their gate."
    if ungated := verdicts.count(None):
        text += f" {ungated} measured cells have no gate yet."
    if known:
        text += f" {above} of {len(known)} with a published median are at or above it."
    records = [record for name in means for record in found[name]]
    if records:
        machines = sorted({record["machine"] for record in records})
        versions = sorted({f"{name} {version}" for record in records for name, version in record["versions"].items()})
        dates = sorted({record["date"] for record in records})
        when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
        text += f" Each seed had one thread. {'; '.join(machines)}; {when}; {', '.join(versions)}."
    return text


def section(found: dict[str, list[Record]], peers: dict[str, list[Record]] | None = None) -> str:
    """What stands between the comments.

    Args:
        found: The records by task.
        peers: Those of Stable-Baselines3.

    Raises:
        ValueError: Results of a task that is not in the list.
    """
    peers = peers or {}
    unknown = sorted({*found, *peers} - set(TASKS))
    if unknown:
        raise ValueError(f"Results of unknown tasks. Received: {unknown}")
    ordered = sorted(TASKS.values(), key=lambda task: _place(task.environment))
    lines = [row(task, found.get(task.name, []), peers.get(task.name, ())) for task in ordered]
    return rows(HEADER, lines) + "\n\n" + summary(found, peers)


def _place(environment: str) -> int:
    return list(dict.fromkeys(task.environment for task in TASKS.values())).index(environment)


def written(text: str, content: str, begin: str = BEGIN, end: str = END) -> str:
    """`text` with `content` between two comments.

    Raises:
        ValueError: The comments are not there, once each and in order.
    """
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended or begin in after or end in after:
        raise ValueError(f"There must be one {begin} and one {end} behind it")
    return f"{before}{begin}\n{content}\n{end}{after}"


def main(argv: Sequence[str] | None = None) -> None:
    """Prints or writes the table."""
    p = argparse.ArgumentParser("python -m benchmarks.learning_table", description=__doc__.split("\n")[0])
    p.add_argument("--results", type=Path, default=RESULTS, help="the folder of the files (%(default)s)")
    p.add_argument("--print", action="store_true", help="only print it")
    a = p.parse_args(argv)
    found, peers = read(a.results), read(a.results / PEERS.name)
    content = section(found, peers)
    if a.print:
        print(content)
        return
    from benchmarks import learning_curves, learning_roster  # here: they read the records by this module

    roster = learning_roster.section(found, peers)
    for path, made, marks in (
        (ROOT / "docs" / "learning.md", content, (BEGIN, END)),
        (ROOT / "README.md", roster, (learning_roster.BEGIN, learning_roster.END)),
    ):
        path.write_text(written(path.read_text(encoding="utf-8"), made, *marks), encoding="utf-8")
    if a.results == RESULTS:
        learning_curves.main([])


if __name__ == "__main__":
    main()
