"""Where one learner is the limit of many workers: a model on paper, and a simulation of it.

    python -m benchmarks.saturation                       # the tables of docs/guides/scaling.md
    python -m benchmarks.saturation --write               # ... into the page
    python -m benchmarks.saturation --measure             # measures what kagent costs, into benchmarks/results/saturation.json

An environment costs 5 ms a step; a worker steps 4 of them, one after the other. What kagent costs is measured: processor seconds of
the acting, of a timestep that arrives and of learning, and bytes of a timestep and of the weights. What a call of a worker costs is
measured by `python -m benchmarks.scale`, in benchmarks/results/scale.json. The model is in `Fleet`.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "guides" / "scaling.md"
BEGIN, END = "<!-- saturation: begin -->\n", "<!-- saturation: end -->\n"
WORKERS = (1, 16, 64, 256, 1024)
ROWS = (4, 1024)  # at which costs are measured: what does not depend on them, and what each row adds


class Line(NamedTuple):
    """Seconds that depend on a number of rows: `fixed + row * rows`."""

    fixed: float
    row: float

    def __call__(self, rows: float) -> float:
        return self.fixed + self.row * rows

    @classmethod
    def through(cls, rows: Sequence[float], seconds: Sequence[float]) -> Line:
        """The line through two points."""
        row = max(0.0, (seconds[1] - seconds[0]) / (rows[1] - rows[0]))
        return cls(max(0.0, seconds[0] - row * rows[0]), row)


@dataclasses.dataclass(frozen=True)
class Costs:
    """What things cost, in seconds and bytes.

    Attributes:
        environment: Seconds of an environment's step.
        acting: Of a worker's timestep beside its environments, by the rows that it computes actions for.
        arriving: Of a timestep in the agent's process, by its rows.
        learning: Of all gradient steps, per timestep of an environment.
        call: Of a call of a worker in the agent's process.
        timestep: Bytes of a timestep of an environment in a block.
        weights: Bytes of the weights.
        bandwidth: Bytes per second into the agent's machine, and out of it.
    """

    environment: float
    acting: Line
    arriving: Line
    learning: float
    call: float
    timestep: float
    weights: float
    bandwidth: float = 1.25e9  # 10 Gbit/s

    @classmethod
    def read(cls, environment: float = 0.005, folder: Path = FOLDER) -> Costs:
        """Those that were measured."""
        own = json.loads((folder / "saturation.json").read_text(encoding="utf-8"))
        sent = json.loads((folder / "scale.json").read_text(encoding="utf-8"))["broadcasts"][0]
        acting, arriving = (Line.through(ROWS, own[name]) for name in ("acting", "arriving"))
        call = sent["seconds"] / sent["workers"]
        return cls(environment, acting, arriving, own["learning"], call, own["timestep_bytes"], own["weights_bytes"])


@dataclasses.dataclass(frozen=True)
class Fleet:
    """Workers of one learner.

    Args:
        costs: What things cost.
        workers: How many.
        envs: Environments of each.
        steps: Timesteps of an environment in a block.
    """

    costs: Costs
    workers: int
    envs: int = 4
    steps: int = 128

    @property
    def machines(self) -> int:
        """On which the workers are, 64 on each: a machine gets the weights once."""
        return -(-self.workers // 64)

    def block_seconds(self, exact: bool) -> float:
        """Of a worker for a block."""
        rows = self.workers * self.envs if exact else self.envs
        return self.steps * (self.envs * self.costs.environment + self.costs.acting(rows))

    def waiting(self, exact: bool = True) -> tuple[float, float]:
        """Workers that wait for the learner: timesteps of environments per second, and the part of the time in which the learner
        works.

        One after the other: all blocks are collected at once, arrive, are taken in, and are learned from; the weights are sent.
        """
        costs, count = self.costs, self.workers * self.envs
        block = self.block_seconds(exact)
        sent = (count * self.steps * costs.timestep + self.machines * costs.weights) / costs.bandwidth
        taken = self.workers * costs.call + self.steps * costs.arriving(count)
        busy = sent + taken + count * self.steps * costs.learning
        return count * self.steps / (block + busy), busy / (block + busy)

    def going_on(self, seconds: float = 120.0) -> tuple[float, float]:
        """Workers that go on: the same two numbers, of a simulation of so many seconds.

        A worker collects a block and waits until the learner takes it, which takes the one that came first. It is then called for the
        next block, which it collects while the learner takes in and learns.
        """
        costs, block = self.costs, self.block_seconds(exact=False)
        sent = (self.envs * self.steps * costs.timestep + costs.weights) / costs.bandwidth
        learned = self.steps * costs.arriving(self.envs) + self.envs * self.steps * costs.learning
        arrivals = [block * (1 + index / self.workers) for index in range(self.workers)]  # they do not begin at once
        heapq.heapify(arrivals)
        begin = 2 * block
        now = busy = 0.0
        blocks = 0
        while now < begin + seconds:
            now = max(now, heapq.heappop(arrivals)) + costs.call
            heapq.heappush(arrivals, now + sent + block)
            now += sent + learned
            if now > begin:
                blocks += 1
                busy += costs.call + sent + learned
        return blocks * self.envs * self.steps / (now - begin), min(1.0, busy / (now - begin))


# The page ------------------------------------------------------------------------------------------------------


def tables(costs: Costs, scale: dict[str, Any]) -> str:
    """All tables of the page."""
    lines = ["| workers | seconds of a rollout | timesteps/s | efficiency |", "|---|---|---|---|"]
    for row in scale["scaling"]:
        lines.append(
            f"| {row['workers']} | {row['seconds']:.3f} | {row['steps_per_second']:,.0f} | {row['efficiency']:.2f} |"
        )
    lines += ["", "| layers | bytes of the weights | seconds until 16 workers have them |", "|---|---|---|"]
    for row in scale["broadcasts"]:
        lines.append(f"| {' x '.join(map(str, row['units']))} | {row['bytes']:,} | {row['seconds']:.3f} |")
    lines += ["", "| what | cost |", "|---|---|"]
    for name, value in _described(costs):
        lines.append(f"| {name} | {value} |")
    lines += [
        "",
        "| workers | wait | learner works | wait, `exact=False` | learner works | go on | learner works |",
        "|---|---|---|---|---|---|---|",
    ]
    for workers in WORKERS:
        fleet = Fleet(costs, workers)
        found = fleet.waiting(), fleet.waiting(exact=False), fleet.going_on()
        lines.append(f"| {workers:,} | " + " | ".join(f"{rate:,.0f} | {busy:.0%}" for rate, busy in found) + " |")
    single, _ = Fleet(costs, 1).waiting()
    parts = [f"{Fleet(costs, workers).waiting()[0] / (workers * single):.0%} at {workers:,}" for workers in WORKERS[2:]]
    most, _ = Fleet(costs, 4096).going_on(30.0)
    enough = most / Fleet(costs, 1).going_on()[0]
    lines += [
        "",
        f"Workers that wait have this part of the rate of as many single ones: {', '.join(parts)}. Workers that go on give one",
        f"learner all that it takes, {most:,.0f} timesteps per second, from about {enough:,.0f} of them on.",
    ]
    return "\n".join(lines) + "\n"


def _described(costs: Costs) -> list[tuple[str, str]]:
    def line(part: Line) -> str:
        return f"{part.fixed * 1e6:.0f} µs, and {part.row * 1e6:.2f} µs a row"

    return [
        ("environment, a step", f"{costs.environment * 1e3:g} ms (assumed)"),
        ("worker, a timestep beside its environments", line(costs.acting)),
        ("learner, a timestep that arrives", line(costs.arriving)),
        ("learner, all gradient steps", f"{costs.learning * 1e6:.1f} µs a timestep of an environment"),
        ("learner, a call of a worker", f"{costs.call * 1e3:.2f} ms"),
        ("a timestep of an environment in a block", f"{costs.timestep:.1f} bytes"),
        ("weights", f"{costs.weights:,.0f} bytes"),
        ("network", f"{costs.bandwidth * 8 / 1e9:g} Gbit/s (assumed)"),
    ]


def written(page: str) -> str:
    """The page with the tables of the committed files."""
    scale = json.loads((FOLDER / "scale.json").read_text(encoding="utf-8"))
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    compared = FOLDER / "scale_cartpole.json"
    found = json.loads(compared.read_text(encoding="utf-8"))["cartpole"] if compared.exists() else []
    return before + BEGIN + tables(Costs.read(), scale) + cartpole(found) + END + after


def cartpole(rows: Sequence[dict[str, Any]]) -> str:
    """The table of `python -m benchmarks.scale --cartpole --out benchmarks/results/scale_cartpole.json`; empty without rows."""
    if not rows:
        return ""
    lines = [
        "",
        "And environments that cost microseconds, the hardest case: CartPole-v1, 8 of them in one process, and 2 workers with 4 each, in",
        "timesteps per second, the median of alternate runs.",
        "",
        "| `n_steps` | one process | workers | ratio |",
        "|---|---|---|---|",
    ]
    for row in rows:
        local, remote = (statistics.median(row[name]) for name in ("local", "workers"))
        lines.append(f"| {row['n_steps']} | {local:,.0f} | {remote:,.0f} | {row['ratio']:.2f} |")
    return "\n".join(lines) + "\n"


# What kagent costs ---------------------------------------------------------------------------------------------


def least(function: Callable[[], Any], repeats: int = 7) -> float:
    """The least processor seconds of a call."""
    found = []
    function()
    for _ in range(repeats):
        begin = time.process_time()
        function()
        found.append(time.process_time() - begin)
    return min(found)


def measured(steps: int = 32, updates: int = 6) -> dict[str, Any]:
    """Processor seconds and bytes of PPO with two layers of 64 units, 4 epochs and minibatches of 256, on CartPole's spaces."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import kagent

    network = {"type": "mlp", "units": [64, 64]}
    agent = kagent.PPO("CartPole-v1", network=network, n_steps=128, batch_size=256, epochs=4, seed=0)
    few, many = (_collecting(agent, ROWS[0], rows, steps) for rows in ROWS)
    block = few()
    learning = _Learning()
    agent.fit("CartPole-v1", n_envs=8, steps=updates * 1024, verbose=0, callbacks=[learning])
    return {
        "acting": [least(collect) / steps for collect in (few, many)],
        "arriving": [least(_arriving(agent, rows, steps)) / steps for rows in ROWS],
        "learning": min(learning.seconds) / 1024,
        "timestep_bytes": sum(x.nbytes for x in block["columns"].values()) / (steps * ROWS[0]),
        "weights_bytes": agent.actor.served_weights()[0].nbytes,
    }


def _collecting(agent: Any, count: int, total: int, steps: int) -> Callable[[], Any]:
    """Collects a block with `count` environments that cost nothing, among `total`."""
    from kagent.distributed.job import Job
    from kagent.distributed.worker import Streams, Worker
    from kagent.schedules import Clock

    job = Job(_free, 0, count, total, agent.actor.to_config(), agent.exploration, {}, None)
    worker, clocks = Worker(job), [tuple(Clock(t)) for t in range(steps)]
    worker.start([0] * count)
    streams = Streams(dict(agent._random["act"].bit_generator.state), None)
    weights, version = agent.actor.served_weights()
    return lambda: worker.collect(weights, version, clocks, streams)[0]


def _free() -> Any:
    import gymnasium
    import numpy as np

    made = gymnasium.make("CartPole-v1").unwrapped
    observation = np.zeros(4, np.float32)

    class Free(gymnasium.Env):
        observation_space, action_space = made.observation_space, made.action_space

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            return observation, {}

        def step(self, action: Any) -> Any:
            return observation, 1.0, False, False, {}

    return Free()


def _arriving(agent: Any, rows: int, steps: int) -> Callable[[], None]:
    """Hands out a block of so many rows, and stores it."""
    from kagent.distributed.blocks import Rollout as Arrived
    from kagent.memories import Rollout

    block = _collecting(agent, rows, rows, steps)()
    memory = Rollout(steps)
    memory.build(agent._observation, agent._action, num_envs=rows)

    def arrive() -> None:
        memory.clear()
        arrived = Arrived([block], (1, 1))
        for t in range(steps):
            timestep, _ = arrived.timestep(t)
            outcome = timestep.outcome
            memory.append_leaves(
                timestep.observation, timestep.action, outcome.reward, outcome.terminated, outcome.truncated,
                outcome.next_observation, None, None, None, (),
            )  # fmt: skip

    return arrive


def _Learning() -> Any:
    """A callback that notes processor seconds of each update."""
    import kagent

    class Learning(kagent.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.seconds: list[float] = []
            self._begin = 0.0

        def on_update_begin(self, update: int, logs: dict[str, Any] | None = None) -> None:
            self._begin = time.process_time()

        def on_update_end(self, update: int, logs: dict[str, Any] | None = None) -> None:
            self.seconds.append(time.process_time() - self._begin)

    return Learning()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure what kagent costs, and write it")
    parser.add_argument("--write", action="store_true", help="write the tables into the page")
    arguments = parser.parse_args()
    if arguments.measure:
        text = json.dumps(measured(), indent=2) + "\n"
        (FOLDER / "saturation.json").write_text(text, encoding="utf-8")
        print(text, end="")
    if arguments.write:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    if not (arguments.measure or arguments.write):
        print(tables(Costs.read(), json.loads((FOLDER / "scale.json").read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
