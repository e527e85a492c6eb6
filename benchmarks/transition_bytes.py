"""Bytes that a replay memory takes for a transition.

    python -m benchmarks.transition_bytes

Each memory is built for the spaces, filled by episodes to its capacity, and read. What the allocators of Python and NumPy gave it in
between, and have not got back, is divided by the transitions in it. Beside it are the bytes of what a transition is made of, if its
observation is stored once: observation, action and reward, each in its space's dtype, and the two flags.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tracemalloc
from collections.abc import Sequence
from typing import NamedTuple

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from gymnasium import spaces


class Kind(NamedTuple):
    """Transitions of one kind.

    Attributes:
        observation, action: The spaces.
        capacity: Transitions in the memory, enough for what is not theirs to count for little.
        length: Timesteps of an episode.
    """

    observation: spaces.Box
    action: spaces.Space
    capacity: int
    length: int


KINDS = {
    "CartPole": Kind(spaces.Box(-np.inf, np.inf, (4,), np.float32), spaces.Discrete(2), 20_000, 200),
    "images 84 x 84 x 4": Kind(spaces.Box(0, 255, (84, 84, 4), np.uint8), spaces.Discrete(6), 1_000, 100),
    "Box(17), actions Box(6)": Kind(
        spaces.Box(-np.inf, np.inf, (17,), np.float32), spaces.Box(-1.0, 1.0, (6,), np.float32), 20_000, 1_000
    ),
}

MEMORIES = ("Replay", "Prioritized")


def once(kind: Kind) -> int:
    """Bytes of a transition whose next observation is that of the next transition."""
    action = 4 if isinstance(kind.action, spaces.Discrete) else 4 * int(np.prod(kind.action.shape))
    return int(np.prod(kind.observation.shape)) * kind.observation.dtype.itemsize + action + 4 + 2


def measure(kind: Kind, memory: str = "Replay") -> float:
    """Bytes per transition of a full memory of the class of this name in `kagent.memories`."""
    from kagent import memories

    random = np.random.default_rng(0)
    box = kind.observation
    high = 255 if box.dtype == np.uint8 else 1
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        made = getattr(memories, memory)(capacity=kind.capacity)
        made.build(kind.observation, kind.action)
        seen = _observation(box, high, random)
        for number in range(1, kind.capacity + 1):
            following = _observation(box, high, random)
            end = number % kind.length == 0
            made.append(seen, kind.action.sample(), 1.0, end and number % 2 == 0, end and number % 2 == 1, following)
            seen = _observation(box, high, random) if end else following
        del seen, following
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    if len(made) != kind.capacity:
        raise RuntimeError(f"{len(made)} of {kind.capacity} transitions were kept")
    batch = next(iter(made.dataset(batch_size=4)))
    if batch["next_observation"].shape != (4, *box.shape):
        raise RuntimeError("next observations are not what was stored")
    return used / kind.capacity


def _observation(box: spaces.Box, high: int, random: np.random.Generator) -> np.ndarray:
    return (random.random(box.shape, np.float32) * high).astype(box.dtype)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Bytes that a replay memory takes for a transition.")
    parser.add_argument("--memories", nargs="+", choices=MEMORIES, default=MEMORIES)
    options = parser.parse_args(arguments)
    print("| memory | transitions | bytes per transition | with one observation each |\n| --- | ---: | ---: | ---: |")
    for memory in options.memories:
        for name, kind in KINDS.items():
            print(f"| {memory} | {name} | {measure(kind, memory):,.1f} | {once(kind):,} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
