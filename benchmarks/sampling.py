"""Time of a minibatch from a prioritized memory beside one from a uniform memory.

    python -m benchmarks.sampling                          # 256 of 1,000,000 transitions of CartPole
    python -m benchmarks.sampling --capacity 100000 --batch-size 32

Both memories are full of the same transitions. A draw is what an update of one gradient step takes: `memory.elements`, as an agent
calls it. After each draw the prioritized memory gets 256 new errors, as it does from a learner. The memories take turns; a
figure is the median over the turns, and a ratio the median of the ratios of each turn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks.transition_bytes import KINDS, drawn_parts, filled


class Figures(NamedTuple):
    """Seconds of a minibatch, one of each turn.

    Attributes:
        uniform: From a uniform memory.
        prioritized: From a prioritized memory.
        updated: From a prioritized memory, and new priorities of its transitions.
    """

    uniform: list[float]
    prioritized: list[float]
    updated: list[float]

    def ratio(self, name: str) -> float:
        """The median ratio of this figure to the uniform one."""
        return statistics.median(own / plain for own, plain in zip(getattr(self, name), self.uniform, strict=True))


def _seconds(call: Callable[[], Any], draws: int) -> float:
    began = time.perf_counter()
    for _ in range(draws):
        call()
    return (time.perf_counter() - began) / draws


def measure(capacity: int, batch_size: int, draws: int, turns: int) -> Figures:
    """Times of minibatches of full memories.

    Args:
        capacity: Transitions in each memory.
        batch_size: Transitions of a minibatch.
        draws: Minibatches of a turn.
        turns: How often the memories take turns.
    """
    import kagent

    kind = KINDS["CartPole"]._replace(capacity=capacity)
    parts, rule = drawn_parts(kind), kagent.Update("timesteps", batch_size)
    uniform, prioritized = filled(kind, "Replay", parts), filled(kind, "Prioritized", parts)
    plain, weighted = (memory.elements(rule, 1, 0, 0) for memory in (uniform, prioritized))
    random = np.random.default_rng(0)
    errors = iter(random.standard_normal((2 + 2 * draws * turns, batch_size)).astype(np.float32))

    def update() -> None:
        next(weighted)
        prioritized.prioritize(next(errors))

    calls = (lambda: next(plain), lambda: next(weighted), update)
    # Priorities as of a memory in use: each transition has one of its own.
    prioritized.tree.set(np.arange(capacity), np.abs(random.standard_normal(capacity)) + 1e-6)
    for call in calls:
        call()
    found = Figures([], [], [])
    for _ in range(turns):
        for times, call in zip(found, calls, strict=True):
            times.append(_seconds(call, draws))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line per memory."""
    parser = argparse.ArgumentParser("python -m benchmarks.sampling", description=__doc__.split("\n")[0])
    parser.add_argument("--capacity", type=int, default=1_000_000, help="transitions in each memory (1000000)")
    parser.add_argument("--batch-size", type=int, default=256, help="transitions of a minibatch (256)")
    parser.add_argument("--draws", type=int, default=500, help="minibatches of a turn (500)")
    parser.add_argument("--turns", type=int, default=9, help="turns of each memory (9)")
    a = parser.parse_args(arguments)
    if min(a.capacity, a.batch_size, a.draws, a.turns) < 1 or a.batch_size > a.capacity:
        parser.error("each number must be at least 1, and --batch-size at most --capacity")
    found = measure(a.capacity, a.batch_size, a.draws, a.turns)
    print(f"{a.batch_size} of {a.capacity:,} transitions, medians of {a.turns} turns of {a.draws} minibatches\n")
    print("| | microseconds | times uniform |\n| --- | ---: | ---: |")
    titles = {"uniform": "uniform", "prioritized": "prioritized", "updated": "prioritized, with new priorities"}
    for name, title in titles.items():
        print(f"| {title} | {1e6 * statistics.median(getattr(found, name)):,.0f} | {found.ratio(name):.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
