"""Windows of several timesteps in a program: what `NStepAccumulator` keeps, of a fixed size."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from kagent.memories.n_step import NStepAccumulator
from kagent.training.compiled.variables import ProgramVariable

_WHERE_TO = "next"  # begins the names of columns of what a timestep led to


class CompiledWindows:
    """The open windows of a replay memory while a `fit` runs. Rows of the memory are those that its accumulator would make, in the
    same order.

    Windows are carried as a dict of tensors: columns of the first timestep of each, `(H, N, ...)` for a horizon of H further
    timesteps, the youngest window first; the sums `reward` and powers `discount`, float64 `(H, N)`; `open`, how many of each
    environment are open, int32 `(N,)`; and where the newest timestep led, `(N, ...)`.

    Args:
        horizon: H, at least 1.
        count: N, environments side by side.
    """

    def __init__(self, horizon: int, count: int):
        self.horizon, self._count = horizon, count
        self._variables: dict[str, ProgramVariable] = {}

    # On the host -----------------------------------------------------------------------------------------------

    def has_room(self, accumulator: NStepAccumulator) -> bool:
        """Whether no more than H windows of any environment are open in an accumulator."""
        return int((accumulator.following - accumulator.first).max()) <= self.horizon

    def load(self, accumulator: NStepAccumulator) -> None:
        """Takes an accumulator's."""
        opened = accumulator.following - accumulator.first
        ages, envs = np.nonzero(np.arange(self.horizon)[:, np.newaxis] < opened)
        places = (accumulator.following[envs] - 1 - ages) % accumulator.room
        arrays = {"open": opened.astype(np.int32), **accumulator.newest}
        for name, column in accumulator.columns.items():
            if not name.startswith(_WHERE_TO):
                arrays[name] = np.zeros((self.horizon, *column.shape[1:]), column.dtype)
                arrays[name][ages, envs] = column[places, envs]
        if not self._variables:
            self._variables = {name: ProgramVariable(array) for name, array in arrays.items()}
        for name, array in arrays.items():
            self._variables[name].assign(array)

    def give_back(self, accumulator: NStepAccumulator) -> None:
        """Brings an accumulator up to date."""
        arrays = {name: variable.numpy() for name, variable in self._variables.items()}
        opened = arrays.pop("open").astype(np.int64)
        env = np.repeat(np.arange(self._count), opened)
        ages = np.concatenate([np.arange(n)[::-1] for n in opened])  # oldest first
        state = {
            f"windows.{name}": array if name.startswith(_WHERE_TO) else array[ages, env]
            for name, array in arrays.items()
        }
        about = {"first": np.zeros_like(opened), "following": opened, "counters": np.asarray([self._count], np.int64)}
        accumulator.restore({**state, **{f"windows.{name}": array for name, array in about.items()}})

    # In the program --------------------------------------------------------------------------------------------

    def begin(self) -> dict[str, tf.Tensor]:
        """At the beginning of a call."""
        return {name: variable.read_value() for name, variable in self._variables.items()}

    def finish(self, windows: dict[str, tf.Tensor]) -> None:
        """At the end of a call."""
        for name, value in windows.items():
            self._variables[name].assign(value)

    def append(
        self, windows: dict[str, tf.Tensor], columns: dict[str, tf.Tensor], discount: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor], tf.Tensor]:
        """Takes a timestep of all environments.

        Args:
            windows: The open ones.
            columns: Of the timestep, `(N, ...)`.
            discount: Weight of a reward one timestep later, float64.

        Returns:
            The windows that are open behind it; the columns of those that may have closed, `(N * (H + 1), ...)`, of each
            environment oldest first; and which of them have, bool.
        """
        most = self.horizon + 1
        ended = columns["terminated"] | columns["truncated"]
        all_of = {
            name: tf.concat([tf.cast(columns[name], column.dtype)[tf.newaxis], column], axis=0)
            for name, column in windows.items()
            if name in columns and name != "reward" and not name.startswith(_WHERE_TO)
        }
        row = (1, self._count)
        power = tf.concat([tf.ones(row, tf.float64), windows["discount"]], axis=0)
        total = tf.concat([tf.zeros(row, tf.float64), windows["reward"]], axis=0)
        total += power * tf.cast(columns["reward"], tf.float64)
        power *= discount
        opened = windows["open"] + 1
        ages = tf.range(most)[:, tf.newaxis]
        closed = (ages < opened) & (ended | tf.equal(ages, self.horizon))
        after = {
            **{
                name: tf.cast(columns[name], value.dtype)
                for name, value in windows.items()
                if name.startswith(_WHERE_TO)
            },
            **{name: column[: self.horizon] for name, column in all_of.items()},
            "reward": total[: self.horizon],
            "discount": power[: self.horizon],
            "open": tf.where(ended, 0, tf.minimum(opened, self.horizon)),
        }

        def by_env(column: tf.Tensor) -> tf.Tensor:
            turned = tf.reverse(column, [0])
            order = [1, 0, *range(2, column.shape.rank)]
            return tf.reshape(tf.transpose(turned, order), (self._count * most, *column.shape[2:]))

        own = {**all_of, "reward": tf.cast(total, tf.float32), "discount": tf.cast(power, tf.float32)}
        rows = {name: by_env(column) for name, column in own.items()}
        for name, column in columns.items():
            if name not in rows:  # what the last timestep of a window says
                rows[name] = tf.repeat(column, most, axis=0)
        return after, rows, by_env(closed)
