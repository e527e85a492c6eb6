"""The records of the children as markdown: speeds, ratios against the targets, and the errors.

`python -m benchmarks.table results.json` prints the tables of an earlier run again.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.libraries import LIBRARIES
from benchmarks.workloads import WORKLOADS, Workload

Record = dict[str, Any]

IMPORT_SECONDS, FIRST_UPDATE_SECONDS, MEMORY_MB = 0.3, 4.0, 150.0
_UNEQUAL = 0.1


def spread(values: Iterable[float | None], form: str = ",.0f") -> str:
    """`median (min-max)`, the bare value where all are alike, a dash where one or all are missing."""
    found = list(values)
    if not found or any(v is None for v in found):
        return "—"
    numbers = [float(v) for v in found if v is not None]
    middle, low, high = (format(f(numbers), form) for f in (statistics.median, min, max))
    return middle if low == high else f"{middle} ({low}–{high})"


def ratios(ours: Sequence[Record], theirs: Sequence[Record], key: str) -> list[float] | None:
    """Ours over theirs, run by run (the two of a run are neighbours in time); None where one is missing."""
    others = {r["run"]: r.get(key) for r in theirs}
    found = []
    for r in ours:
        mine, other = r.get(key), others.get(r["run"])
        if not mine or not other:
            return None
        found.append(mine / other)
    return found


def refusal(ours: Sequence[Record], theirs: Sequence[Record]) -> str | None:
    """Why these two may not be compared, or None."""
    for records in (ours, theirs):
        if failed := [r for r in records if r.get("error")]:
            title = LIBRARIES[failed[0]["library"]].title
            return f"refused: {title} failed in {len(failed)} of {len(records)} runs"
    if not ours or not theirs:
        return "refused: no runs"
    work = [statistics.median(r.get("gradient_steps") or 0 for r in records) for records in (ours, theirs)]
    if abs(work[0] - work[1]) > _UNEQUAL * max(work):
        return f"refused: unequal work, {work[0]:,.0f} and {work[1]:,.0f} gradient steps"
    return None


def rows(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (header, *body)]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]])


def select(records: Iterable[Record], workload: str, library: str) -> list[Record]:
    """The records of one library on one workload."""
    return [r for r in records if r["workload"] == workload and r["library"] == library]


def speeds(records: Sequence[Record]) -> str:
    """Table of what each library did; the failed runs are counted, and left out of the medians."""
    header = (
        "workload",
        "library",
        "threads",
        "runs",
        "steps/s, whole run",
        "steps/s after the first update",
        "first update, s",
        "peak MB (above its framework)",
        "return of the last 100 episodes",
        "gradient steps",
    )
    body = []
    for workload, library in ((w, name) for w in WORKLOADS for name in LIBRARIES):
        found = select(records, workload, library)
        good = [r for r in found if not r.get("error")]
        if not found:
            continue
        memory = "—"
        if good:
            peak = statistics.median(r["peak_mb"] for r in good)
            memory = f"{peak:,.0f} ({statistics.median(r['peak_mb'] - r['base_mb'] for r in good):,.0f})"
        body.append(
            [
                workload,
                LIBRARIES[library].title,
                ", ".join(sorted({str(r["setting"]) for r in found})),
                f"{len(good)}" if len(good) == len(found) else f"{len(good)} of {len(found)}",
                spread(r.get("rate") for r in good),
                spread(r.get("steady_rate") for r in good),
                spread((r.get("first_update_seconds") for r in good), ".1f"),
                memory,
                spread((r.get("episode_return") for r in good), ".0f"),
                spread(r.get("gradient_steps") for r in good),
            ]
        )
    return rows(header, body)


def comparisons(records: Sequence[Record], judged: bool) -> str:
    """Table of kagent's ratios to each peer that ran; with `judged`, whether the targets are reached."""
    body = []
    for workload in WORKLOADS.values():
        ours = select(records, workload.name, "kagent")
        peers = [name for name in LIBRARIES if name != "kagent"]
        for source in filter(None, (workload.name, workload.against)):
            for peer in peers:
                theirs = select(records, source, peer)
                if ours and theirs:
                    body.append(comparison(workload, peer, source, ours, theirs, judged))
        if ours and "rate" in workload.must:
            body.append(absolute(workload, ours, judged))
    if not body:
        return "There was nothing to compare kagent with."
    header = (
        "workload",
        "kagent against",
        "whole run",
        "after the first update",
        "must",
        "aim",
        "whole run reaches",
    )
    return rows((*header, "returns"), body)


def comparison(
    workload: Workload, peer: str, source: str, ours: Sequence[Record], theirs: Sequence[Record], judged: bool
) -> list[str]:
    """One row of `comparisons`: the ratios to `peer` on the workload `source`, or why there are none."""
    title = LIBRARIES[peer].title + (f" on {source}" if source != workload.name else "")
    must, aim = workload.must.get(peer), workload.aim.get(peer)
    targets = [f"{t:g}×" if t else "—" for t in (must, aim)]
    if reason := refusal(ours, theirs):
        return [workload.name, title, reason, "—", *targets, "—", "—"]
    whole, steady = ratios(ours, theirs, "rate"), ratios(ours, theirs, "steady_rate")
    figures = [spread(found or [], ".2f") for found in (whole, steady)]
    verdict = reached(statistics.median(whole), must, aim) if judged and whole else "—"
    returns = " / ".join(spread((r.get("episode_return") for r in side), ".0f") for side in (ours, theirs))
    return [workload.name, title, *figures, *targets, verdict, "—" if workload.acting else returns]


def absolute(workload: Workload, ours: Sequence[Record], judged: bool) -> list[str]:
    """The row of a target that is a rate, not a ratio."""
    must, aim = workload.must["rate"], workload.aim["rate"]
    targets = [f"{must:,.0f}", f"{aim:,.0f}"]
    if any(r.get("error") for r in ours):
        return [workload.name, "steps/s", "refused: kagent failed", "—", *targets, "—", "—"]
    figures = [spread(r[key] for r in ours) for key in ("rate", "steady_rate")]
    verdict = reached(statistics.median(r["rate"] for r in ours), must, aim) if judged else "—"
    return [workload.name, "steps/s", *figures, *targets, verdict, "—"]


def reached(value: float, must: float | None, aim: float | None, below: bool = False) -> str:
    """The verdict on one figure: aim, must, or no; a dash where there is no target."""
    sign = -1 if below else 1
    if aim is not None and sign * value >= sign * aim:
        return "aim"
    if must is None:
        return "—"
    return "must" if sign * value >= sign * must else "no"


def costs(records: Sequence[Record], judged: bool) -> str:
    """Table of what is not a ratio: imports, first updates, memory, and what plain NumPy does in W4."""
    body = []

    def line(
        name: str,
        workload: str,
        values: Callable[[Record], float | None],
        form: str,
        limit: float | None = None,
    ):
        found = [values(r) for r in select(records, workload, "kagent") if not r.get("error")]
        numbers = [value for value in found if value is not None]
        if numbers:
            verdict = reached(statistics.median(numbers), limit, None, below=True) if judged else "—"
            body.append([name, spread(numbers, form), f"{limit:g}" if limit else "—", verdict])

    added = "`import kagent` with its presets, above `import keras`, s"
    line(added, "W0", lambda r: r["added_seconds"], ".2f", IMPORT_SECONDS)
    line("(`import keras` itself, s)", "W0", lambda r: r["keras_seconds"], ".2f")
    for name, workload in WORKLOADS.items():
        if workload.env.startswith("CartPole"):
            title = f"first update after construction, {name}, s"
            line(title, name, lambda r: r.get("first_update_seconds"), ".1f", FIRST_UPDATE_SECONDS)
    title = "memory of W1a above `import keras`, MB"
    line(title, "W1a", lambda r: r["end_mb"] - r["base_mb"], ".0f", MEMORY_MB)
    title = "(its peak, while XLA compiles, MB)"
    line(title, "W1a", lambda r: r["peak_mb"] - r["base_mb"], ".0f")
    line("plain NumPy forward pass of W4's network, calls per second", "W4", lambda r: r["numpy_rate"], ",.0f")
    return rows(("kagent", "median (min–max)", "at most", "reached"), body) if body else ""


def errors(records: Iterable[Record]) -> str:
    """Each failed run, with the end of what it said."""
    blocks = []
    for r in records:
        if r.get("error"):
            title = LIBRARIES[r["library"]].title
            blocks.append(f"{r['workload']}, {title}, run {r['run']} failed:\n\n```\n{r['error']}\n```")
    return "\n\n".join(blocks)


def report(results: Record) -> str:
    """Everything, from what `benchmarks.speed --out` wrote."""
    records, scale = results["records"], results["steps_scale"]
    lines = [f"{key}: {value}" for key, value in results["machine"].items()]
    versions = {k: v for r in records for k, v in r.get("versions", {}).items()}
    if versions:
        lines.append(", ".join(f"{k} {v}" for k, v in sorted(versions.items())))
    if scale != 1:
        lines.append(f"steps scaled by {scale:g}: a trial of the harness, not a measurement; targets are not judged.")
    if missing := results.get("missing"):
        lines.append(f"not installed, so not compared: {', '.join(LIBRARIES[m].title for m in missing)}")
    parts = ["\n".join(f"- {line}" for line in lines)]
    if any(r["workload"] != "W0" for r in records):
        parts += ["### Ratios", comparisons(records, judged=scale == 1), "### Speeds", speeds(records)]
    if found := costs(records, judged=scale == 1):
        parts += ["### Costs", found]
    if said := errors(records):
        parts += ["### Errors", said]
    return "\n\n".join(parts)


if __name__ == "__main__":
    with open(sys.argv[1]) as source:
        print(report(json.load(source)))
