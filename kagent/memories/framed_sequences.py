"""Rows of timesteps of several environments whose large observations are stored once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kagent.memories.frames import FramePool, large_axes
from kagent.memories.saved_arrays import read_block, saved_slices
from kagent.memories.storage import Column, Storage, layout

_NEXT = "next_"


class FramedSequences(Storage):
    """A ring of the timesteps of each of N environments; row `t % steps * N + env` is timestep t of one. Observations of
    `frames.LEAST` bytes or more are in `FramePool`s, one for each environment, since environments do not go in step; all else is in
    rows. A frame of a stack, or an observation that is none, is stored once as long as one of its environment's rows has it.

    Args:
        columns: Those of whole transitions.
        steps: Timesteps of each environment.
        num_envs: N.
        directory: As for `Storage`.

    Attributes:
        pools: Of each environment, by the names of the columns of observations.

    Raises:
        ValueError: It does not fit into the machine's free memory, or onto the disk.
    """

    def __init__(self, columns: list[Column], steps: int, num_envs: int, directory: Path | None = None):
        axes, self._whole, self.num_envs = large_axes(columns), columns, num_envs
        kept = [column for column in columns if column.name.removeprefix(_NEXT) not in axes]
        super().__init__(kept, steps * num_envs, directory=directory)
        by_name = {column.name: column for column in columns}
        self.pools = {
            name: [FramePool(by_name[name], axis, steps, directory) for _ in range(num_envs)]
            for name, axis in axes.items()
        }
        for name, pools in self.pools.items():
            self.views[name] = PooledColumn(pools, following=False)
            self.views[_NEXT + name] = PooledColumn(pools, following=True)

    def clear(self) -> None:
        for pools in self.pools.values():
            for pool in pools:
                pool.clear()

    def take(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        found = super().take(rows)
        for name, pools in self.pools.items():
            frames = np.empty((len(rows), 2 * pools[0].count, pools[0].width), pools[0].frames.dtype)
            for env, chosen, steps in by_environment(rows, self.num_envs):
                frames[chosen] = pools[env].take(steps)
            found[f"frames.{name}"] = frames
        return found

    def specs(self, shape: tuple[int, ...]) -> dict[str, tf.TensorSpec]:
        return super().specs(shape) | {f"frames.{name}": pools[0].spec(shape) for name, pools in self.pools.items()}

    def unpack(self, blocks: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        found = super().unpack(blocks)
        for name, pools in self.pools.items():
            found[name], found[_NEXT + name] = pools[0].unpack(blocks[f"frames.{name}"])
        return found

    def frame_state(self, sizes: np.ndarray) -> dict[str, Any]:
        """What a file holds of the frames, by name.

        Args:
            sizes: Timesteps that each environment has in the ring.
        """
        found: dict[str, Any] = {}
        for name, pools in self.pools.items():
            for env, pool in enumerate(pools):
                found[f"frame_ids.{name}.{env}"], found[f"frames.{name}.{env}"] = pool.state(int(sizes[env]))
        return found

    def restore(self, state: Mapping[str, Any], written: np.ndarray, rows: int) -> None:
        """Fills the first rows with those of a memory's state, which may be whole.

        Args:
            state: What was saved.
            written: Timesteps of each environment so far.
            rows: How many were saved.

        Raises:
            ValueError: They do not fit.
        """
        steps = self.rows // self.num_envs
        if any(name.startswith("frames.") for name in state):
            for name, block in self.blocks.items():
                read_block(block, name, state[f"block.{name}"], rows)
            for name, pools in self.pools.items():
                for env, pool in enumerate(pools):
                    size = min(int(written[env]), steps)
                    pool.restore(state[f"frame_ids.{name}.{env}"], state[f"frames.{name}.{env}"], size)
        else:
            self._fill(state, rows)
        for pools in self.pools.values():
            for env, pool in enumerate(pools):
                pool.settle(min(int(written[env]), steps), int(written[env]) % steps)

    def _fill(self, state: Mapping[str, Any], rows: int) -> None:
        # From packed rows of whole transitions.
        places, widths = layout(self._whole)
        for name, width in widths.items():
            for begin, end, part in saved_slices(state[f"block.{name}"], name, rows, width, np.dtype(name)):
                for column in self._whole:
                    block, first, last = places[column.name]
                    if block == name:
                        values = part[:, first:last].reshape((len(part), *column.shape))
                        self.views[column.name][np.arange(begin, end)] = values


class PooledColumn:
    """Observations or next observations of environments with a pool each, to be written and read as an array of rows is."""

    def __init__(self, pools: list[FramePool], following: bool):
        self._pools, self._following = pools, following

    def __setitem__(self, rows: Any, values: Any) -> None:
        values, count = np.asarray(values), len(self._pools)
        if (
            isinstance(rows, slice) and rows.stop - rows.start == count
        ):  # a timestep of all environments, which is the rule
            for env, pool in enumerate(self._pools):
                pool.write(rows.start // count, values[env : env + 1], self._following)
            return
        for env, chosen, steps in by_environment(_numbers(rows), count):
            self._pools[env].write(steps, values[chosen], self._following)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        shape = self._pools[0].column.shape
        found = np.empty((len(rows), *shape), self._pools[0].frames.dtype)
        for env, chosen, steps in by_environment(rows, len(self._pools)):
            found[chosen] = self._pools[env].stacks(steps, self._following)
        return found


def _numbers(rows: Any) -> np.ndarray:
    if isinstance(rows, slice):
        return np.arange(rows.start, rows.stop)
    return np.atleast_1d(rows)


def by_environment(rows: np.ndarray, num_envs: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Rows of a ring by their environments.

    Args:
        rows: int64 `(R,)`.
        num_envs: Environments.

    Yields:
        An environment, which of the rows are its own, and their timesteps in the ring.
    """
    steps, envs = np.divmod(rows, num_envs)
    for env in np.unique(envs):
        chosen = np.flatnonzero(envs == env)
        yield int(env), chosen, steps[chosen]
