"""Episodes of scripted controllers, as data sets to learn from offline. They import NumPy, gymnasium and kagent's datasets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from kagent.datasets import Episodes


def balance(observation: Any, random: np.random.Generator) -> int:
    """Balances CartPole-v1 to its end."""
    _, velocity, angle, turn = observation
    return int(angle + 0.3 * turn + 0.05 * velocity > 0)


def swing(observation: Any, random: np.random.Generator) -> np.ndarray:
    """Swings Pendulum-v1 up and holds it there, with a return of -200 or so."""
    cos, sin, turn = (float(x) for x in observation)
    angle, energy = np.arctan2(sin, cos), turn**2 / 6 + 5 * cos
    torque = -16 * angle - 4 * turn if cos > 0.85 else 2.0 * np.sign(turn * (5.2 - energy) + 1e-6)
    return np.clip(np.float32([torque]), -2, 2)


def recorded(
    env: str | gymnasium.Env, controller: Callable[..., Any], episodes: int, random_part: float = 0.0, seed: int = 0
) -> tuple[Episodes, list[float]]:
    """Episodes of a controller, and their returns.

    Args:
        env: Where.
        controller: From observation and generator to action.
        episodes: How many.
        random_part: Part of the actions that are uniform instead.
        seed: Of episodes and actions.
    """
    env = gymnasium.make(env) if isinstance(env, str) else env
    random, traces, returns = np.random.default_rng(seed), [], []
    env.action_space.seed(seed)
    for episode in range(episodes):
        observation, _ = env.reset(seed=1000 * seed + episode)
        rows: dict[str, list[Any]] = {
            name: [] for name in ("observation", "action", "reward", "terminated", "truncated")
        }
        over = False
        while not over:
            action = env.action_space.sample() if random.random() < random_part else controller(observation, random)
            rows["observation"].append(observation)
            observation, reward, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
            for name, value in (("action", action), ("reward", reward), ("terminated", terminated)):
                rows[name].append(value)
            rows["truncated"].append(truncated)
        trace = {name: np.asarray(values) for name, values in rows.items()}
        trace["reward"] = trace["reward"].astype(np.float64)
        trace["final_observation"] = observation[None]
        trace["episode_length"] = np.array([len(trace["reward"])])
        traces.append(trace)
        returns.append(float(trace["reward"].sum()))
    env.close()
    return Episodes(traces, str(env)), returns
