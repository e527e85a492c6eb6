"""Returns of offline learning on Pendulum, over seeds and gradient steps.

    python -m benchmarks.offline CQL --arguments '{"alpha": 10.0}' --seeds 0 1 2 --steps 2000 4000

The data are 50 episodes of a controller that swings Pendulum up and holds it there, with 30 % uniform actions: the same episodes for all
seeds. The controller has no noise, and every seventh action is at a bound. With `--noise 0.4` its actions are three quarters of these,
plus Gaussian noise of that deviation, and lie within the bounds. A line of JSON for each seed has the mean returns of 50 episodes after
so many gradient steps, and the processor seconds. It runs in the project's folder: the controller is that of the tests.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ENV, EPISODES, RANDOM_PART = "Pendulum-v1", 50, 0.3
INSIDE = 1.95  # the largest noisy torque: the bounds are -2 and 2
# Small networks and batches: a gradient step takes some milliseconds.
SETTINGS: dict[str, Any] = {"network": {"type": "mlp", "units": [64, 64]}, "batch_size": 64, "memory": 10_000}


def measure(kind: str, arguments: dict[str, Any], seed: int, steps: Sequence[int], episodes: Any) -> dict[str, Any]:
    """Trains one agent.

    Args:
        kind: Name of a preset.
        arguments: Its arguments beside `SETTINGS`.
        seed: The agent's.
        steps: Gradient steps after which it is evaluated, ascending.
        episodes: What it learns from.
    """
    import kagent

    begin = time.process_time()
    agent = getattr(kagent, kind)(ENV, seed=seed, **{**SETTINGS, **arguments})
    returns = []
    for until in steps:
        agent.fit(episodes, max_updates=until, verbose=0)
        returns.append(round(agent.evaluate(ENV, episodes=50)["episode_return"]))
    seconds = round(time.process_time() - begin)
    return {
        "preset": kind,
        "arguments": arguments,
        "seed": seed,
        "steps": list(steps),
        "returns": returns,
        "seconds": seconds,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what the command line says, and prints it."""
    parser = argparse.ArgumentParser(
        description="Returns of offline learning on Pendulum, over seeds and gradient steps."
    )
    parser.add_argument("preset", help="such as CQL")
    parser.add_argument("--arguments", type=json.loads, default={}, help="a JSON object of the preset's arguments")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[2_000, 4_000])
    parser.add_argument(
        "--noise", type=float, default=0.0, help="of the controller's actions, in the environment's unit"
    )
    given = parser.parse_args(arguments)

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from recorded_episodes import recorded, swing

    def noisy(observation: Any, random: np.random.Generator) -> np.ndarray:
        action = 0.75 * swing(observation, random) + random.normal(0, given.noise, 1).astype(np.float32)
        return np.clip(action, -INSIDE, INSIDE).astype(np.float32)

    episodes, of_data = recorded(ENV, noisy if given.noise else swing, EPISODES, RANDOM_PART)
    print(f"mean return of the data: {sum(of_data) / len(of_data):.0f}", flush=True)
    for seed in given.seeds:
        print(json.dumps(measure(given.preset, given.arguments, seed, sorted(given.steps), episodes)), flush=True)


if __name__ == "__main__":
    main()
