"""Bytes that a replay memory takes for a transition.

    python -m benchmarks.transition_bytes

Each memory is built for the spaces and filled by episodes to its capacity. What the process has more of resident memory then is
divided by the transitions: reserved pages that nothing was written to do not count. Beside it are the bytes of what a transition is
made of, if its observation is stored once: observation, action and reward, each in its space's dtype, and the two flags.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from gymnasium import spaces


class Kind(NamedTuple):
    """Transitions of one kind.

    Attributes:
        observation, action: The spaces.
        capacity: Transitions in the memory: so many that its arrays take more than 32 MiB, which the C library always takes
            from the system anew.
        length: Timesteps of an episode.
        stack: Frames in an observation, along its last axis: one of them is new at each timestep. 0: all of it is new.
    """

    observation: spaces.Box
    action: spaces.Space
    capacity: int
    length: int
    stack: int = 0


KINDS = {
    "CartPole": Kind(spaces.Box(-np.inf, np.inf, (4,), np.float32), spaces.Discrete(2), 1_000_000, 200),
    "images 84 x 84 x 4": Kind(spaces.Box(0, 255, (84, 84, 4), np.uint8), spaces.Discrete(6), 10_000, 100),
    "84 x 84, stacks of 4": Kind(spaces.Box(0, 255, (84, 84, 4), np.uint8), spaces.Discrete(6), 20_000, 1_000, stack=4),
    "Box(17), actions Box(6)": Kind(
        spaces.Box(-np.inf, np.inf, (17,), np.float32), spaces.Box(-1.0, 1.0, (6,), np.float32), 500_000, 1_000
    ),
}

MEMORIES = ("Replay", "Prioritized")


def once(kind: Kind) -> int:
    """Bytes of a transition whose next observation is that of the next transition, and whose older frames are of others."""
    action = 4 if isinstance(kind.action, spaces.Discrete) else 4 * int(np.prod(kind.action.shape))
    return int(np.prod(kind.observation.shape)) // max(kind.stack, 1) * kind.observation.dtype.itemsize + action + 4 + 2


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as line:
        return int(line.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def measure(kind: Kind, memory: str = "Replay") -> float:
    """Bytes per transition of a full memory of the class of this name in `kagent.memories`."""
    from kagent.learning import malloc_trim

    parts = drawn_parts(kind)
    filled(kind._replace(capacity=10), memory, parts)  # what is taken once
    gc.collect()
    malloc_trim.give_back()  # else memory that was freed before would go back now or later, and not count
    before = resident()
    made = filled(kind, memory, parts)
    gc.collect()
    return (resident() - before) / len(made)


def drawn_parts(kind: Kind) -> np.ndarray:
    """A thousand different frames, or whole observations, of which a memory is filled."""
    random = np.random.default_rng(0)
    high = 255 if kind.observation.dtype == np.uint8 else 1
    shape = kind.observation.shape[:-1] if kind.stack else kind.observation.shape
    return (random.random((min(kind.capacity, 1_000), *shape), np.float32) * high).astype(kind.observation.dtype)


def _observations(kind: Kind, drawn: np.ndarray) -> Iterator[np.ndarray]:
    """Observations `(1, *shape)`, each of which is new, or the newest frame of it, with its number in its bytes."""
    stack: list[np.ndarray] = []
    for number in itertools.count():
        new = drawn[number % len(drawn)].copy()
        parts = [new] if kind.stack else list(np.moveaxis(new, -1, 0)) if new.ndim > 1 else [new]
        for part in parts:  # views of it
            part.flat[:3] = number % 256, number // 256 % 256, number // 65536
        stack = [*stack[1 - kind.stack :], new] if stack else [new] * kind.stack
        yield (np.stack(stack, -1) if kind.stack else new)[None]


def filled(kind: Kind, memory: str, drawn: np.ndarray) -> Any:
    """A memory of the class of this name in `kagent.memories`, full of episodes made of the parts."""
    from kagent import memories

    made = getattr(memories, memory)(capacity=kind.capacity)
    made.build(kind.observation, kind.action)
    discrete = isinstance(kind.action, spaces.Discrete)
    action = [np.zeros(1, np.int32) if discrete else np.ones((1, *kind.action.shape), np.float32)]
    reward, going, over = np.ones(1), np.zeros(1, bool), np.ones(1, bool)
    observations = _observations(kind, drawn)
    latest = next(observations)
    for number in range(kind.capacity):
        end = over if number % kind.length == kind.length - 1 else going
        following = next(observations)
        made.append_leaves([latest], action, reward, end, going, [following])
        latest = next(observations) if end is over else following
    if len(made) != kind.capacity:
        raise RuntimeError(f"{len(made)} of {kind.capacity} transitions were kept")
    batch = next(iter(made.dataset(batch_size=4)))  # with which a prioritized memory takes what it has for its sums
    if batch["next_observation"].shape != (4, *kind.observation.shape):
        raise RuntimeError("next observations are not what was stored")
    return made


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
