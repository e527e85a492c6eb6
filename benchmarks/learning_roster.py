"""The algorithms in the README, each with its measured results: `python -m benchmarks.learning_table` writes them.

Names, actions and ideas are those that the presets are registered with; results are the interquartile means of the cells of
docs/learning.md, rounded.
"""

from __future__ import annotations

from benchmarks.learning_cells import TASKS
from benchmarks.learning_table import Record, judged
from benchmarks.table import rows
from kagent.cli.algorithms import ALGORITHMS, Algorithm
from kagent.cli.scores import interquartile_mean

BEGIN, END = "<!-- roster: begin -->", "<!-- roster: end -->"
HEADER = ("algorithm", "", "measured")


def rounded(score: float) -> str:
    """A mean return with one decimal below 10, else with none.

    Example:

    >>> [rounded(value) for value in (-71.96, 9.96, 0.97, 499.7)]
    ['-72', '10', '1', '500']
    """
    text = f"{score:.1f}" if abs(score) < 9.95 else f"{score:.0f}"
    return f"{float(text) + 0.0:g}"  # no minus before a zero


def results(name: str, found: dict[str, list[Record]], peers: dict[str, list[Record]]) -> str:
    """The measured cells of an algorithm with shipped settings, by environment; "—" where there is none."""
    shown = []
    for task in TASKS.values():
        if task.algorithm == name and not task.steps and (records := found.get(task.name)):
            score = rounded(interquartile_mean([record["mean"] for record in records]))
            missed = judged(task, records, peers.get(task.name, ())) is False
            shown.append(f"{task.shown.rpartition('-')[0]} {score}" + (" 🔴" if missed else ""))
    return ", ".join(shown) or "—"


def named(algorithm: Algorithm) -> str:
    """The class, and other names that are classes, too."""
    import kagent

    others = [other for other in algorithm.others if hasattr(kagent, other.upper())]
    names = dict.fromkeys((algorithm.preset, *(other.upper() for other in others)))
    return ", ".join(f"`kagent.{name}`" for name in names)


def section(found: dict[str, list[Record]], peers: dict[str, list[Record]]) -> str:
    """The rows that stand between the comments of the README.

    Args:
        found: Records by task, as `learning_table.read` gives them.
        peers: Those of Stable-Baselines3.
    """
    return rows(HEADER, [[named(one), one.summary, results(one.name, found, peers)] for one in ALGORITHMS])
