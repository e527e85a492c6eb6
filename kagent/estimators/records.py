"""Memories that take records of any keys, one at a time, beside what an agent stores in them."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from kagent.config.checks import check_count
from kagent.memories.memory import MEMORIES, Memory
from kagent.memories.recent import Recent
from kagent.memories.replay import Replay
from kagent.memories.storage import Column, Storage

_KNOWN = ("observation", "action", "reward", "done", "next_observation")


class Records(Memory):
    """What makes records of a memory's rows. A mixin, before the memory in the order of bases.

    The first of these decides what the rows are: `build`, of an agent's spaces, or `step`, of the keys and shapes that it is
    given.

    Attributes:
        batch_size: Records in one sample, and an agent's batch size.
        keys: By what names records call the columns of an agent's memory, where they are others.
    """

    batch_size: int
    keys: Mapping[str, str] = {}
    _given: tuple[str, ...] | None = None  # keys of the first record

    def build(self, *args: Any, **kwargs: Any) -> None:
        if self._given is not None and len(self):
            raise ValueError(
                f"`memory` holds {len(self)} records of {list(self._given)}: `clear()` it before an agent is to use it"
            )
        self._given = None
        super().build(*args, **kwargs)

    def step(self, **record: Any) -> None:
        """Takes one record; the oldest makes room where the memory is full.

        Args:
            **record: Numbers, bools or arrays by any names. Those of the first call, and the arrays' shapes, are those of
                all. Floats are kept as float32. In a memory that an agent uses: `observation`, `action`,
                `reward`, `done`, `next_observation` (or what `keys` has for them), and where it differs from `done` also
                `terminated`.

        Raises:
            KeyError: Other keys than those of the first record.
            TypeError: What is neither number, bool nor an array of these.
            ValueError: An array of another shape, or no key at all.
        """
        if self.built and self._given is None:
            self._append(record)
            return
        arrays = {name: _array(name, value) for name, value in record.items()}
        if self._given is None:
            self._lay_out({name: (array.shape, array.dtype) for name, array in arrays.items()})
        self._check(arrays)
        row = self._next_row()
        for name, array in arrays.items():
            self.storage.views[name][row] = array

    def can_sample(self, counter: int | None = None) -> bool:
        """Whether `sample` has enough to draw from.

        Args:
            counter: How many records there are taken to be; None: as many as there are.
        """
        return (len(self) if counter is None else counter) >= self.batch_size

    def get_by_index(self, index: int) -> dict[str, Any] | None:
        """One record as a dict, 0 the oldest and -1 the newest; None where there is none at all.

        Raises:
            IndexError: There are not so many.
        """
        count = len(self)
        if not count:
            return None
        if isinstance(index, bool) or not isinstance(index, numbers.Integral):
            raise TypeError(f"`index` must be an integer. Received: {index!r}")
        if not -count <= index < count:
            raise IndexError(f"`index` must be from {-count} to {count - 1}. Received: {index}")
        row = self._order()[[int(index)]]
        return _first(self._read(row))

    def _append(self, record: dict[str, Any]) -> None:
        names = [self.keys.get(name, name) for name in _KNOWN]
        if not set(names) <= set(record) <= {*names, "terminated"}:
            raise KeyError(f"A record of an agent's memory has {names}. Received: {sorted(record)}")
        observation, action, reward, done, successor = (record[name] for name in names)
        terminated = bool(record.get("terminated", done))
        self.append(observation, action, reward, terminated, bool(done) and not terminated, successor)

    def _lay_out(self, kinds: dict[str, tuple[tuple[int, ...], Any]]) -> None:
        if not kinds:
            raise ValueError("`step` needs at least one key, such as state=... Received: none")
        columns = [Column(name, shape, np.dtype(dtype)) for name, (shape, dtype) in kinds.items()]
        self.storage = Storage(columns, self._rows())
        self._given = tuple(kinds)
        self.built = True
        self.clear()

    def _check(self, arrays: dict[str, np.ndarray]) -> None:
        if set(arrays) != set(self._given or ()):
            raise KeyError(f"Records of this memory have the keys {list(self._given or ())}. Received: {list(arrays)}")
        columns = {column.name: column for column in self.storage.columns}
        wider = {}
        for name, array in arrays.items():
            column = columns[name]
            if array.shape != column.shape:
                raise ValueError(f"`{name}` must have the shape {column.shape}, as before. Received: {array.shape}")
            kind = _kept(name, np.result_type(column.dtype, array.dtype))
            if kind != column.dtype:  # such as a reward of 1 followed by one of 0.5
                wider[name] = kind
        if wider:
            before = self.storage
            made = [Column(c.name, c.shape, wider.get(c.name, c.dtype)) for c in before.columns]
            self.storage = Storage(made, before.rows)
            for name, view in self.storage.views.items():
                view[:] = before.views[name]
            self.publish()

    def _read(self, rows: np.ndarray) -> dict[str, Any]:
        kinds = self.storage.columns if self._given is not None else self._columns()
        columns = {c.name: self.storage.views[c.name][rows].astype(c.dtype) for c in kinds}
        if self._given is not None:
            return columns
        nested = self.nest(columns)
        found = {self.keys.get(name, name): value for name, value in nested.items()}
        return {**found, "done": found["terminated"] | found["truncated"]}

    def clear(self) -> None:
        """Forgets everything but the keys."""
        if self.built:
            super().clear()

    def _check_enough(self) -> None:
        if not self.can_sample():
            raise ValueError(
                f"Not enough data to sample: batch_size={self.batch_size} records are needed. Received: {len(self)}"
            )

    def _order(self) -> np.ndarray:
        """Rows of all records, oldest first."""
        raise NotImplementedError

    def _next_row(self) -> Any:
        """The row of one more record."""
        raise NotImplementedError


@MEMORIES.register()
class ReplayRecords(Records, Replay):
    """A `Replay` memory that also stores whatever `step` is given, and hands out samples.

    Args:
        capacity: Records kept, the latest.
        batch_size: Records in one sample.
        saved: As for `Replay`.
        seed: Of `sample`, an integer >= 0. What an agent learns from is drawn with the agent's own seed.

    Raises:
        ValueError: `capacity` or `batch_size` is not an integer >= 1, or the latter is larger.

    Example:

    >>> memory = ReplayRecords(capacity=3, batch_size=2)
    >>> for i in range(5):
    ...     memory.step(place=[i, i + 1], reward=-i)
    >>> memory.get_by_index(0)["place"].tolist(), len(memory), memory.can_sample()
    ([2, 3], 3, True)
    >>> sorted(memory.sample()["reward"].tolist())[-1] in (-2, -3)
    True
    """

    def __init__(self, capacity: int, batch_size: int, saved: bool = True, seed: int = 0):
        super().__init__(capacity, saved)
        self.batch_size = check_count(batch_size, "memory.batch_size")
        if self.batch_size > self.capacity:
            raise ValueError(
                f"`memory.batch_size` must be at most {self.capacity}, as many as there are. Received: {batch_size}"
            )
        self.seed: int = check_count(seed, "memory.seed", least=0)
        self._generator: np.random.Generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(self.seed)))

    def get_part(self) -> dict[str, Any]:
        own = {"batch_size": self.batch_size, "seed": self.seed}
        return {**super().get_part(), "type": type(self).__name__, **own}

    def sample(self) -> dict[str, Any]:
        """`batch_size` different records, uniformly drawn: a dict of arrays `(batch_size, ...)`.

        In a memory that an agent uses: what `step` takes there, and `truncated`.

        Raises:
            ValueError: There are fewer.
        """
        self._check_enough()
        return self._read(self._order()[self._generator.choice(len(self), self.batch_size, replace=False)])

    def is_ready(self, rule: Any) -> bool:
        return self.can_sample()

    def _order(self) -> np.ndarray:
        result: np.ndarray = np.arange(self.cursor - self.size, self.cursor) % self.capacity
        return result

    def _next_row(self) -> Any:
        return self._advance(1)


@MEMORIES.register()
class RecentRecords(Records, Recent):
    """The latest `batch_size` timesteps, or records, which are handed out all together, once.

    An agent learns from it when it is full, and empties it thereby. Until then the oldest makes room for the newest.

    Args:
        batch_size: Timesteps, or records, kept and handed out.
        saved: As for `Recent`.
        at_episode_ends: Whether an agent waits, beyond its being full, for the end of an episode.

    Raises:
        ValueError: `batch_size` is not an integer >= 1.

    Example:

    >>> memory = RecentRecords(batch_size=3)
    >>> for i in range(4):
    ...     memory.step(a=i)
    >>> memory.sample()["a"].tolist(), len(memory)
    ([1, 2, 3], 0)
    """

    on_policy = True
    missing = "a full batch"

    def __init__(self, batch_size: int, saved: bool = True, at_episode_ends: bool = True):
        self.batch_size = check_count(batch_size, "memory.batch_size")
        super().__init__(self.batch_size, saved)
        self.at_episode_ends = at_episode_ends

    def get_part(self) -> dict[str, Any]:
        own = {"batch_size": self.batch_size, "saved": self.saved, "at_episode_ends": self.at_episode_ends}
        return {"type": type(self).__name__, **own}

    def filled(self) -> bool:
        if self._together is not None and self._together * self.num_envs < self.batch_size:
            return False  # asked after every timestep
        if len(self) < self.batch_size:
            return False
        newest = (self.written - 1) % self.steps * self.num_envs + np.arange(self.num_envs)
        return not self.at_episode_ends or bool(
            (self._writer.terminated[newest] + self._writer.truncated[newest]).any()
        )

    def sample(self) -> dict[str, Any]:
        """All records, oldest first, which are gone afterwards: a dict of arrays `(batch_size, ...)`.

        Raises:
            ValueError: There are fewer.
        """
        self._check_enough()
        found = self._read(self._order())
        self.clear()
        return found

    def _order(self) -> np.ndarray:
        time = np.arange(max(int(self.written.max()) - self.steps, 0), int(self.written.max()))[:, None]
        kept = (time < self.written) & (time >= self.written - self.steps)
        return (time % self.steps * self.num_envs + np.arange(self.num_envs))[kept]

    def _next_row(self) -> Any:
        row = int(self.written[0]) % self.steps
        self.written += 1
        self._together = int(self.written[0])
        return row


def _kept(name: str, dtype: np.dtype) -> np.dtype:
    if dtype.kind not in "fbiu":
        raise TypeError(f"`{name}` must be numbers or bools. Received: dtype {dtype}")
    return np.dtype(np.float32) if dtype.kind == "f" else dtype


def _array(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise TypeError(f"`{name}` must be numbers or bools. Received: {value!r}") from error
    return array.astype(_kept(name, array.dtype), copy=False)


def _first(batch: Any) -> Any:
    if isinstance(batch, dict):
        return {name: _first(value) for name, value in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)(None if value is None else _first(value) for value in batch)
    return batch[0]
