"""The cells of the learning table: which algorithm learns which environment, and what must come of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FIRST_SEED = 1000  # to 1004: settings are tuned on seeds from 0 to 9
SEEDS = 5
EPISODES = 100
EVALUATION = 10**6  # added to the training's seed: other episodes than those of training


@dataclass(frozen=True)
class Task:
    """One cell.

    Attributes:
        algorithm: Name of a preset, as `kagent train` takes it.
        environment: A gymnasium id.
        gate: What the interquartile mean over the seeds must reach, each seed's score being the mean of its evaluation. None:
            there is no published number, and the agent must not be below Stable-Baselines3's, which `benchmarks.learning_peer`
            trains for as long.
        minutes: About how long one seed takes on one core.
        floor: Below this a seed is clearly broken: at most one may be.
        published: Median of the published evaluation episodes of rl-baselines3-zoo, a single run; None: there is none.
        seeds: How many; long cells have one.
        steps: Timesteps with the preset's defaults; None: the tuned settings and their steps.
    """

    algorithm: str
    environment: str
    gate: float | None
    minutes: float
    floor: float | None = None
    published: float | None = None
    seeds: int = SEEDS
    steps: int | None = None

    @property
    def shown(self) -> str:
        """The environment without the module that registers it."""
        return self.environment.rpartition(":")[2]

    @property
    def name(self) -> str:
        """`"dqn-cartpole"`; of a cell without tuned settings `"dqn-cartpole-defaults"`."""
        short = self.shown.rpartition("-")[0].lower()
        return f"{self.algorithm}-{short}" + ("-defaults" if self.steps else "")


# Of environments that are not for users, and so have no settings in `kagent/tuned/`. As those are written.
_SETTINGS: dict[str, dict[str, Any]] = {
    "dqn-catch": {
        "learning_rate": 0.0005,
        "memory": 20000,
        "batch_size": 32,
        "start": 1000,
        "frequency": 4,
        "discount": 0.95,
        "horizon": 0,
        "target_update_period": 500,
        "exploration": {"type": "EpsilonGreedy", "initial": 1.0, "final": 0.05, "fraction": 0.3},
        "fit": {"steps": 30000},
    },
    "ppo-catch": {
        "n_steps": 128,
        "batch_size": 64,
        "epochs": 4,
        "learning_rate": {"type": "Linear", "initial": 0.0005, "final": 0.0},
        "discount": 0.95,
        "gae_lambda": 0.95,
        "clip_range": 0.2,
        "entropy_coefficient": 0.05,
        "fit": {"steps": 100000, "n_envs": 8},
    },
}


def settings_of(task: Task) -> dict[str, Any] | None:
    """The settings of a cell, preset arguments and `"fit"`, a fresh dict each time; None: there are none.

    Args:
        task: The cell.
    """
    if task.steps is not None:
        return {"fit": {"steps": task.steps}}
    if task.name in _SETTINGS:
        return copy.deepcopy(_SETTINGS[task.name])
    from kagent import tuned

    return tuned.load(task.algorithm, task.environment)


def _cells() -> Iterator[Task]:
    env, floor = "CartPole-v1", 200.0
    yield Task("dqn", env, 475.0, 0.5, floor, 500.0)
    yield Task("qrdqn", env, 320.0, 1.0, floor, 500.0)
    yield Task("ppo", env, 490.0, 0.3, floor, 500.0)
    yield Task("a2c", env, 475.0, 1.5, floor, 500.0)
    yield Task("trpo", env, 475.0, 0.5, floor, 500.0)
    yield Task("doubledqn", env, 475.0, 0.5, floor)
    yield Task("duelingdqn", env, 475.0, 0.7, floor)
    yield Task("c51", env, 475.0, 1.5, floor)
    yield Task("iqn", env, 475.0, 2.0, floor)
    yield Task("discretesac", env, 475.0, 3.0, floor)
    yield Task("vpg", env, 400.0, 1.0, floor)
    yield Task("pqn", env, 475.0, 1.0, floor)
    yield Task("rainbow", env, 475.0, 2.5, floor)
    yield Task("impala", env, 475.0, 1.0, floor)

    env, floor = "Acrobot-v1", -400.0
    yield Task("dqn", env, -85.0, 3.0, floor, -71.0)
    yield Task("qrdqn", env, -85.0, 5.0, floor, -64.0)
    yield Task("ppo", env, -90.0, 3.0, floor, -71.0)
    yield Task("a2c", env, -100.0, 2.0, floor, -80.0)
    yield Task("trpo", env, -100.0, 1.0, floor, -80.0)

    env, floor = "MountainCar-v0", -190.0
    yield Task("dqn", env, -115.0, 2.0, floor, -103.0)
    yield Task("qrdqn", env, -120.0, 3.0, floor, -114.0)
    yield Task("ppo", env, -125.0, 4.0, floor, -111.0)
    yield Task("a2c", env, -130.0, 4.0, floor, -112.0)
    yield Task("trpo", env, -125.0, 1.0, floor, -113.0)

    env, floor = "Pendulum-v1", -600.0
    yield Task("ppo", env, -210.0, 0.5, floor, -136.5)
    yield Task("a2c", env, -220.0, 3.0, floor, -122.3)
    yield Task("trpo", env, -230.0, 0.7, floor, -133.0)
    yield Task("sac", env, -190.0, 4.0, floor, -128.7)
    yield Task("td3", env, -190.0, 2.0, floor, -126.2)
    yield Task("dpg", env, -200.0, 2.0, floor, -123.0)
    yield Task("tqc", env, -190.0, 5.0, floor, -124.2)
    yield Task("naf", env, -200.0, 3.0, floor)
    yield Task("crossq", env, -200.0, 8.0, floor)

    env, floor = "MountainCarContinuous-v0", 0.0
    yield Task("ppo", env, 80.0, 1.0, floor, 89.2)
    yield Task("a2c", env, 85.0, 0.5, floor, 91.3)
    yield Task("trpo", env, 85.0, 0.5, floor, 92.6)
    yield Task("sac", env, 90.0, 5.0, floor, 95.2)
    yield Task("td3", env, 90.0, 25.0, floor, 93.5, seeds=1)
    yield Task("dpg", env, 90.0, 25.0, floor, 93.5, seeds=1)

    env, floor = "LunarLander-v3", 0.0
    yield Task("dqn", env, 140.0, 4.0, floor, 148.9)
    yield Task("qrdqn", env, 110.0, 8.0, floor, 128.8)
    yield Task("ppo", env, 200.0, 5.0, floor, 245.3)
    yield Task("a2c", env, 80.0, 1.5, floor, 172.9)
    yield Task("trpo", env, 60.0, 1.5, floor, 169.0)
    yield Task("ppo", env, 200.0, 7.0, floor, steps=1_000_000)
    yield Task("dqn", env, 140.0, 5.0, floor, steps=500_000)

    env = "LunarLanderContinuous-v3"
    yield Task("ppo", env, 220.0, 5.0, floor, 274.7)
    yield Task("trpo", env, 200.0, 1.5, floor, 262.1)
    yield Task("sac", env, 200.0, 60.0, floor, 277.5, seeds=1)
    yield Task("td3", env, 150.0, 30.0, floor, 221.9, seeds=1)
    yield Task("tqc", env, 220.0, 80.0, floor, 278.4, seeds=1)

    partial = "kagent.environments.partial:"
    yield Task("recurrentppo", partial + "CartPoleWithoutVelocities-v1", 475.0, 2.0, 200.0, 500.0, seeds=3)
    yield Task("recurrentppo", partial + "PendulumWithoutVelocities-v1", -280.0, 2.0, -600.0, -135.3, seeds=3)
    yield Task("recurrentppo", partial + "MountainCarContinuousWithoutVelocities-v0", 85.0, 2.0, 0.0, 92.5, seeds=3)
    yield Task("recurrentppo", partial + "TMaze-v0", 0.95, 2.0, 0.6, seeds=3)
    yield Task("recurrentppo", partial + "RepeatPrevious-v0", 0.95, 1.0, 0.5, seeds=3)

    env, floor = "benchmarks.catch:Catch-v0", 5.0  # from pixels; the best return is 10
    yield Task("dqn", env, 9.5, 1.0, floor)
    yield Task("ppo", env, 9.5, 1.0, floor)

    for env in ("HalfCheetah-v5", "Hopper-v5"):  # with the extra `mujoco`
        yield Task("ppo", env, None, 20.0, seeds=2)
        yield Task("sac", env, None, 25.0, seeds=2)
        yield Task("td3", env, None, 20.0, seeds=2)
        yield Task("tqc", env, None, 40.0, seeds=2)


TASKS = {task.name: task for task in _cells()}
