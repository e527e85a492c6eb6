"""The return that an optimal policy has on Pendulum-v1: what any agent's mean return can come to.

    python -m benchmarks.pendulum_optimum                  # grids of 100, 200 and 400 points, about a minute

Dynamic programming over a grid of angles and angular velocities, backwards from the last of 200 timesteps, with values between grid
points interpolated linearly. Dynamics and costs are those of gymnasium's `PendulumEnv.step`. The mean is over its
resets: angles from -pi to pi and velocities from -1 to 1, uniformly. Finer grids come closer to the optimum.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np

MAX_SPEED, MAX_TORQUE, TIMESTEP = 8.0, 2.0, 0.05


def step(angle: np.ndarray, speed: np.ndarray, torque: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Next angles, not brought back to -pi to pi, next velocities, and rewards.

    Args:
        angle: Radians, from -pi to pi.
        speed: Radians per second.
        torque: Newton meters.
    """
    reward = -(angle**2 + 0.1 * speed**2 + 0.001 * torque**2)
    speed = np.clip(speed + (15.0 * np.sin(angle) + 3.0 * torque) * TIMESTEP, -MAX_SPEED, MAX_SPEED)
    return angle + speed * TIMESTEP, speed, reward


def mean_return(points: int, torques: int = 17, timesteps: int = 200) -> float:
    """The optimal policy's return, on average over resets.

    Args:
        points: Of the grid, for angles and for velocities.
        torques: From -2 to 2, that a policy chooses from.
        timesteps: Of an episode.
    """
    angles = -np.pi + 2.0 * np.pi * np.arange(points) / points
    speeds = np.linspace(-MAX_SPEED, MAX_SPEED, points + 1)
    grid = np.meshgrid(angles, speeds, indexing="ij")
    moves: list[tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]] = []
    for torque in np.linspace(-MAX_TORQUE, MAX_TORQUE, torques):
        angle, speed, reward = step(*grid, torque)
        row, right = np.divmod((angle + np.pi) / (2.0 * np.pi) * points, 1.0)
        column = np.minimum((speed + MAX_SPEED) / (2.0 * MAX_SPEED) * points, points - 1e-9)
        up = column - np.floor(column)
        first = row.astype(np.int64) % points * len(speeds) + column.astype(np.int64)
        second = (row.astype(np.int64) + 1) % points * len(speeds) + column.astype(np.int64)
        corners = [(first, (1 - right) * (1 - up)), (first + 1, (1 - right) * up)]
        moves.append((reward, [*corners, (second, right * (1 - up)), (second + 1, right * up)]))
    values = np.zeros(grid[0].shape)
    for _ in range(timesteps):
        later = values.ravel()
        values = np.full(values.shape, -np.inf)
        for reward, corners in moves:
            np.maximum(values, reward + sum(later[place] * part for place, part in corners), out=values)
    # Velocities of a reset, by the trapezoidal rule between its bounds.
    starts = np.linspace(-1.0, 1.0, 201)
    found = np.array([np.interp(starts, speeds, row) for row in values])
    weights = np.full(len(starts), 1.0)
    weights[[0, -1]] = 0.5
    return float((found * weights).sum() / (points * weights.sum()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line per grid."""
    parser = argparse.ArgumentParser("python -m benchmarks.pendulum_optimum", description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, nargs="+", default=[100, 200, 400], help="of the grids (100 200 400)")
    chosen = parser.parse_args(arguments)
    if min(chosen.points) < 2:
        parser.error("--points must be at least 2")
    for points in chosen.points:
        print(f"{points} x {points + 1} points: {mean_return(points):.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
