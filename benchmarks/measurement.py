"""What every child measures and how it says it: clock, memory, versions, one JSON line on stdout."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

from benchmarks.libraries import THREAD_VARIABLES
from benchmarks.workloads import WORKLOADS, Workload


class Timeline:
    """Clock of one run. Create it just before the agent is constructed, with the imports done."""

    def __init__(self) -> None:
        self.constructed = time.perf_counter()
        self.started = self.updated = self.ended = 0.0
        self.updated_steps = self.steps = 0

    def start(self) -> None:
        """The whole learn or fit call begins."""
        self.started = time.perf_counter()

    def update(self, steps: int) -> None:
        """The first update, compilation included, is done after `steps` env steps; later calls do nothing."""
        if not self.updated:
            self.updated, self.updated_steps = time.perf_counter(), steps

    def end(self, steps: int) -> None:
        """The learn call has returned, and all device work is finished, after `steps` env steps."""
        self.ended, self.steps = time.perf_counter(), steps

    def figures(self) -> dict[str, Any]:
        """Seconds, and env steps per second of the whole call and after the first update (None: none)."""
        after = self.steps - self.updated_steps if self.updated else 0
        return {
            "steps": self.steps,
            "seconds": self.ended - self.started,
            "construction_seconds": self.started - self.constructed,
            "rate": self.steps / (self.ended - self.started),
            "steady_rate": after / (self.ended - self.updated) if after > 0 else None,
            "first_update_seconds": self.updated - self.constructed if self.updated else None,
        }


def make_env(workload: Workload) -> Any:
    """An environment of the workload; of an Atari game with gymnasium's usual preprocessing, the same for every library."""
    import gymnasium as gym

    if not workload.images:
        return gym.make(workload.env)
    import ale_py

    gym.register_envs(ale_py)
    game = gym.wrappers.AtariPreprocessing(gym.make(workload.env, frameskip=1))
    return gym.wrappers.FrameStackObservation(game, 4)


def observations(env: Any, seed: int, count: int = 1000) -> list[Any]:
    """What a random policy meets in `env`: `count` observations, the same for every library."""
    env.action_space.seed(seed)
    seen = [env.reset(seed=seed)[0]]
    while len(seen) < count:
        observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
        seen.append(env.reset()[0] if terminated or truncated else observation)
    return seen


def returns(episodes: Sequence[float]) -> dict[str, Any]:
    """Mean undiscounted return of the last 100 finished training episodes (None when none has finished)."""
    last = list(episodes)[-100:]
    return {"episodes": len(last), "episode_return": statistics.fmean(last) if last else None}


def acting_figures(act: Callable[[Any], Any], observations: Sequence[Any], calls: int) -> dict[str, Any]:
    """Calls of `act` per second, one observation each, warmed up; `steady_rate`: median of ten chunks."""
    began = time.perf_counter()
    act(observations[0])
    first = time.perf_counter() - began
    for observation in observations:
        act(observation)
    rates, chunk = [], max(1, calls // 10)
    began = time.perf_counter()
    for _ in range(10):
        start = time.perf_counter()
        for i in range(chunk):
            act(observations[i % len(observations)])
        rates.append(chunk / (time.perf_counter() - start))
    seconds = time.perf_counter() - began
    return {
        "steps": 10 * chunk,
        "seconds": seconds,
        "rate": 10 * chunk / seconds,
        "steady_rate": statistics.median(rates),
        "first_call_seconds": first,
    }


def memory_mb(peak: bool = False) -> float:
    """Resident memory of this process, or its peak, in MB (10^6 bytes).

    VmHWM belongs to this program alone; `ru_maxrss`, the fallback, remembers the process that started it too.
    """
    key = "VmHWM:" if peak else "VmRSS:"
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(key)) * 1024 / 1e6
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def versions(*distributions: str) -> dict[str, str]:
    """Installed versions; "source" for a package that is imported from its tree without being installed."""
    found = {"python": platform.python_version()}
    for name in distributions:
        found[name] = "source"
        for distribution in (name, f"{name}-cpu"):  # TensorFlow's is also published as tensorflow-cpu
            with contextlib.suppress(metadata.PackageNotFoundError):
                found[name] = metadata.version(distribution)
                break
    return found


def thread_variables() -> dict[str, str]:
    """The environment variables that set threads, as this process sees them."""
    return {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}


def child(library: str, measure: Callable[[Workload, int, int], dict[str, Any]]) -> None:
    """Command line of a child, `WORKLOAD --steps N --seed N`: prints what `measure` gives, one JSON line."""
    parser = argparse.ArgumentParser(description=f"One run of one workload with {library}; prints one JSON line.")
    parser.add_argument("workload", choices=list(WORKLOADS))
    parser.add_argument("--steps", type=int, help="env steps (default: the workload's)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    workload = WORKLOADS[arguments.workload]
    record = measure(workload, arguments.steps or workload.scaled(1.0), arguments.seed)
    head = {"library": library, "workload": workload.name, "seed": arguments.seed}
    print(
        json.dumps(
            head | record | {"end_mb": memory_mb(), "peak_mb": memory_mb(peak=True), "threads": thread_variables()}
        ),
        flush=True,
    )
