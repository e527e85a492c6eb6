"""The records of the children as markdown: speeds, ratios against the targets, and the errors.

`python -m benchmarks.table results.json` prints the tables of an earlier run again.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.libraries import LIBRARIES
from benchmarks.workloads import WORKLOADS

Record = dict[str, Any]

IMPORT_SECONDS, FIRST_UPDATE_SECONDS, MEMORY_MB = 0.3, 4.0, 150.0
_UNEQUAL = 0.1


def spread(values: Iterable[float | None], form: str = ",.0f") -> str:
    """`median (min-max)`, the bare value when there is one, a dash when there is none or one is missing."""
    found = list(values)
    if not found or any(v is None for v in found):
        return "—"
    numbers = [float(v) for v in found if v is not None]
    middle = format(statistics.median(numbers), form)
    if len(numbers) == 1:
        return middle
    return f"{middle} ({format(min(numbers), form)}–{format(max(numbers), form)})"


def ratios(ours: Sequence[Record], theirs: Sequence[Record], key: str) -> list[float] | None:
    """Ours over theirs, run by run (the two of a run were neighbours in time); None where a value is missing."""
    others = {r["run"]: r.get(key) for r in theirs}
    pairs = [(r.get(key), others.get(r["run"])) for r in ours]
    if not pairs or any(not mine or not other for mine, other in pairs):
        return None
    return [mine / other for mine, other in pairs]


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
    header = ("workload", "library", "threads", "runs", "steps/s, whole run", "steps/s after the first update")
    header += ("first update, s", "peak MB (above its framework)", "return of the last 100 episodes", "gradient steps")
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
                f"{statistics.median(r['gradient_steps'] for r in good):,.0f}"
                if good and "gradient_steps" in good[0]
                else "—",
            ]
        )
    return rows(header, body)


def comparisons(records: Sequence[Record], judged: bool) -> str:
    """Table of kagent's ratios to each peer that ran; with `judged`, whether the issue's targets are reached."""
    header = ("workload", "kagent against", "ratio, whole run", "after the first update", "must", "aim", "whole run reaches")
    header += ("returns",)
    body = []
    for workload in WORKLOADS.values():
        ours = select(records, workload.name, "kagent")
        pairs = [(workload.name, peer) for peer in LIBRARIES if peer != "kagent"]
        pairs += [(workload.against, peer) for _, peer in pairs if workload.against]
        for source, peer in pairs:
            theirs = select(records, source, peer)
            if not theirs or not ours:
                continue
            title = LIBRARIES[peer].title + (f" on {source}" if source != workload.name else "")
            must, aim = workload.must.get(peer), workload.aim.get(peer)
            targets = [f"{t:g}×" if t else "—" for t in (must, aim)]
            if reason := refusal(ours, theirs):
                body.append([workload.name, title, reason, "—", *targets, "—", "—"])
                continue
            whole, steady = ratios(ours, theirs, "rate"), ratios(ours, theirs, "steady_rate")
            returns = [spread((r.get("episode_return") for r in side), ".0f") for side in (ours, theirs)]
            body.append(
                [
                    workload.name,
                    title,
                    *(spread(value or [], ".2f") for value in (whole, steady)),
                    *targets,
                    reached(statistics.median(whole), must, aim) if judged and whole else "—",
                    "—" if workload.acting else " / ".join(returns),
                ]
            )
        if ours and "rate" in workload.must and not any(r.get("error") for r in ours):
            rate, must, aim = statistics.median(r["rate"] for r in ours), workload.must["rate"], workload.aim["rate"]
            verdict = reached(rate, must, aim) if judged else "—"
            body.append(
                [workload.name, "calls per second", spread(r["rate"] for r in ours)]
                + [spread(r["steady_rate"] for r in ours), f"{must:,.0f}", f"{aim:,.0f}", verdict, "—"]
            )
    return rows(header, body)


def reached(value: float, must: float | None, aim: float | None, below: bool = False) -> str:
    """The verdict on one figure: aim, must, or no; a dash where there is no target."""
    sign = -1 if below else 1
    if aim is not None and sign * value >= sign * aim:
        return "aim"
    if must is None:
        return "—"
    return "must" if sign * value >= sign * must else "no"


def costs(records: Sequence[Record]) -> str:
    """Table of what is not a rate: imports, first updates, memory, and the bound NumPy alone sets on acting."""

    def good(workload: str, key: str) -> list[float]:
        found = select(records, workload, "kagent")
        return [r[key] for r in found if not r.get("error") and r.get(key) is not None]

    lines: list[tuple[str, list[float], float | None, str]] = [
        ("`import kagent` and its presets, above `import keras`, s", good("W0", "added_seconds"), IMPORT_SECONDS, ".2f"),
        ("of this, `import kagent` alone, s", good("W0", "kagent_seconds"), None, ".2f"),
        ("(`import keras` itself, s)", good("W0", "keras_seconds"), None, ".2f"),
    ]
    lines += [
        (f"first update after construction, {w.name}, s", good(w.name, "first_update_seconds"), FIRST_UPDATE_SECONDS, ".1f")
        for w in WORKLOADS.values()
        if w.env.startswith("CartPole")
    ]
    peaks = [a - b for a, b in zip(good("W1a", "peak_mb"), good("W1a", "base_mb"))]
    lines += [
        ("peak memory of W1a above `import keras`, MB", peaks, MEMORY_MB, ".0f"),
        ("NumPy alone on W4's network, calls per second", good("W4", "numpy_rate"), None, ",.0f"),
    ]
    body = [
        [
            name,
            spread(values, form),
            f"{limit:g}" if limit else "—",
            reached(statistics.median(values), limit, None, below=True) if limit else "—",
        ]
        for name, values, limit, form in lines
        if values
    ]
    return rows(("kagent", "median (min–max)", "at most", "reached"), body)


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
    lines.append(", ".join(f"{k} {v}" for k, v in sorted(versions.items())))
    if scale != 1:
        lines.append(f"steps scaled by {scale:g}: a trial of the harness, not a measurement; targets are not judged.")
    if missing := results.get("missing"):
        lines.append(f"not installed, so not compared: {', '.join(LIBRARIES[m].title for m in missing)}")
    parts = ["\n".join(f"- {line}" for line in lines)]
    if any(r["workload"] != "W0" for r in records):
        parts += ["### Ratios", comparisons(records, judged=scale == 1), "### Speeds", speeds(records)]
    parts += ["### Costs", costs(records)]
    if said := errors(records):
        parts += ["### Errors", said]
    return "\n\n".join(parts)


if __name__ == "__main__":
    with open(sys.argv[1]) as source:
        print(report(json.load(source)))
