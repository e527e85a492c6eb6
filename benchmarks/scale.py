"""How environments in workers of Ray scale, and what it costs to send weights.

    python -m benchmarks.scale [--workers 1 2 4 8 16] [--out FILE]
    python -m benchmarks.scale --cartpole [--runs 3] [--out FILE]

An environment sleeps 5 ms a step, so that workers share processors without disturbing each other. PPO collects rollouts of 128
timesteps of each environment, one environment to a worker. The seconds of a rollout are those from the end of an update to the
beginning of the next one, and the efficiency of N workers is those of one worker divided by them; both are medians. Weights are sent
to all workers, which take them, without a timestep; the seconds are those until the last one has answered.

With `--cartpole` PPO trains on CartPole-v1 with 8 environments in its own process, and with 2 workers of 4 each, alternately. Environments
that cost microseconds are the hardest case for workers: what a call costs is as much as dozens of timesteps. So rollouts of 128 and of 512
timesteps are compared. The rate is that of the updates behind the first one.

It needs `pip install 'kagent[ray]'`. Startup, compilation and the first rollout are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gymnasium
import numpy as np

import kagent
from kagent.distributed import Ray
from kagent.distributed.worker import Streams

SECONDS, STEPS, ROLLOUTS = 0.005, 128, 6
UNITS = ([64, 64], [256, 256], [1024, 1024])
ROLLOUTS_OF_CARTPOLE, TIMESTEPS = (128, 512), 81_920
CARTPOLES: dict[str, dict[str, Any]] = {
    "local": {"n_envs": 8},
    "workers": {"workers": Ray(num_workers=2, envs_per_worker=4)},
}


class Sleeping(gymnasium.Env):
    """Takes its time, and gives noise."""

    observation_space = gymnasium.spaces.Box(-1, 1, (4,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self.np_random.uniform(-1, 1, 4).astype(np.float32), {}

    def step(self, action: Any) -> Any:
        time.sleep(SECONDS)
        self.steps += 1
        return self.np_random.uniform(-1, 1, 4).astype(np.float32), 1.0, False, self.steps == 200, {}


class Timing(kagent.callbacks.Callback):
    """Seconds of each rollout, and, at the end, of sending the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.rollouts: list[float] = []
        self.broadcasts: list[float] = []
        self.bytes = 0
        self._since: float | None = None

    def on_update_begin(self, update: int, logs: dict[str, Any] | None = None) -> None:
        if self._since is not None:
            self.rollouts.append(time.perf_counter() - self._since)

    def on_update_end(self, update: int, logs: dict[str, Any] | None = None) -> None:
        self._since = time.perf_counter()
        if len(self.rollouts) == ROLLOUTS - 1:
            self._send()

    def _send(self) -> None:
        agent: Any = self.model
        fleet, weights = agent._run.trainer.collector.fleet, agent.actor.program.weights.copy()
        self.bytes = weights.nbytes
        streams = Streams(dict(agent._random["act"].bit_generator.state), None)
        if fleet.jobs[0].total == 1:
            streams = streams._replace(reset=dict(agent._random["reset"].bit_generator.state))
        for version in range(10):
            begin = time.perf_counter()
            shared = fleet.share(weights)
            fleet.call("collect", [(shared, -2 - version, [], streams)] * len(fleet.jobs), lambda index: ([],))
            self.broadcasts.append(time.perf_counter() - begin)


def measure(workers: int, units: list[int]) -> Timing:
    """One run with so many workers, of a network with these layers."""
    timing = Timing()
    agent = kagent.PPO(
        Sleeping(), network={"type": "mlp", "units": units}, n_steps=STEPS, batch_size=STEPS * workers, epochs=1, seed=0
    )
    agent.compile(jit_compile=False)
    steps = STEPS * workers * ROLLOUTS
    source = Ray(num_workers=workers)
    agent.fit(Sleeping, steps=steps, steps_per_epoch=steps, verbose=0, workers=source, callbacks=[timing])
    return timing


class Rate(kagent.callbacks.Callback):
    """The times and timesteps of the first update's end and of the last one's."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[tuple[float, int]] = []

    def on_update_end(self, update: int, logs: dict[str, Any] | None = None) -> None:
        agent: Any = self.model
        self.ends[1:] = [(time.perf_counter(), agent.timesteps)]

    @property
    def steps_per_second(self) -> float:
        (begin, before), (end, after) = self.ends
        return (after - before) / (end - begin)


def cartpole(runs: int, n_steps: int) -> dict[str, Any]:
    """Timesteps per second of PPO on CartPole-v1, of each run, by where its environments are; and the ratio of the medians."""
    found: dict[str, Any] = {name: [] for name in CARTPOLES}
    for run in range(runs):
        for name, where in CARTPOLES.items():
            agent = kagent.PPO("CartPole-v1", n_steps=n_steps, batch_size=256, epochs=4, seed=run)
            rate = Rate()
            agent.fit("CartPole-v1", steps=TIMESTEPS, steps_per_epoch=TIMESTEPS, verbose=0, callbacks=[rate], **where)
            found[name].append(rate.steps_per_second)
            row = {"n_steps": n_steps, "environments": name, "steps_per_second": rate.steps_per_second}
            print(json.dumps(row), flush=True)
    local, remote = (statistics.median(found[name]) for name in CARTPOLES)
    print(json.dumps({"n_steps": n_steps, "ratio": remote / local}), flush=True)
    return {"n_steps": n_steps, **found, "ratio": remote / local}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--cartpole", action="store_true", help="CartPole-v1, local and with workers, and nothing else")
    parser.add_argument("--runs", type=int, default=3, help="of --cartpole, each way")
    parser.add_argument("--out", type=Path, help="a JSON file (default: it is printed alone)")
    arguments = parser.parse_args()
    found: dict[str, Any] = {"processors": os.cpu_count(), "machine": platform.machine()}
    if arguments.cartpole:
        found["cartpole"] = [cartpole(arguments.runs, n_steps) for n_steps in ROLLOUTS_OF_CARTPOLE]
    else:
        sleeping(arguments.workers, found)
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def sleeping(counts: list[int], found: dict[str, Any]) -> None:
    """Adds the efficiency by the number of workers, and the seconds of sending weights to the largest number."""
    found["scaling"], found["broadcasts"] = [], []
    for workers in counts:
        seconds = statistics.median(measure(workers, UNITS[0]).rollouts)
        row: dict[str, Any] = {"workers": workers, "seconds": seconds, "steps_per_second": STEPS * workers / seconds}
        first = found["scaling"][0] if found["scaling"] else row
        found["scaling"].append({**row, "efficiency": first["seconds"] / seconds})
        print(json.dumps(found["scaling"][-1]), flush=True)
    most = max(counts)
    for units in UNITS:
        timing = measure(most, units)
        row = {"units": units, "workers": most, "bytes": timing.bytes, "seconds": statistics.median(timing.broadcasts)}
        found["broadcasts"].append(row)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
