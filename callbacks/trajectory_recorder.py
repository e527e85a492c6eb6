"""Whole episodes as files, to look at or to learn from."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

import kagent


class TrajectoryRecorder(kagent.callbacks.Callback):
    """Writes every so many episodes of training to `episode_000012.npz`.

    A file holds `reward`, `terminated`, `truncated` `(T,)`, and per leaf i of the spaces `action.i` `(T, ...)` and
    `observation.i` `(T + 1, ...)`: the last one is where the episode ended. Episodes that were under way when `fit`
    began are left out.

    Args:
        folder: Where to; made if need be.
        every: Record the episodes whose number is divisible by it.

    Example:

    >>> agent.fit("CartPole-v1", steps=20_000, callbacks=[TrajectoryRecorder("episodes", every=50)])
    >>> import numpy as np
    >>> with np.load("episodes/episode_000000.npz", allow_pickle=False) as episode:
    ...     rewards, states = episode["reward"], episode["observation.0"]
    """

    def __init__(self, folder: str | os.PathLike[str], every: int = 1):
        super().__init__()
        self.folder, self.every = Path(folder), every

    def on_train_begin(self, logs=None):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.open = {}

    def on_episode_begin(self, episode, logs=None):
        self.open[logs["env"]] = []

    def on_timestep_end(self, timestep, logs=None):
        for env, steps in self.open.items():
            if logs["valid"][env]:
                row = {name: logs[name][env] for name in ("reward", "terminated", "truncated")}
                for name in ("observation", "action", "next_observation"):
                    row |= {f"{name}.{i}": np.array(leaf[env]) for i, leaf in enumerate(logs[name])}
                steps.append(row)

    def on_episode_end(self, episode, logs=None):
        steps = self.open.pop(logs["env"], [])
        if steps and episode % self.every == 0:
            columns = {name: np.stack([step[name] for step in steps]) for name in steps[0]}
            for name in [name for name in columns if name.startswith("next_")]:
                last = columns.pop(name)[-1:]
                columns[name[5:]] = np.concatenate([columns[name[5:]], last])
            np.savez_compressed(self.folder / f"episode_{episode:06d}.npz", **columns)
