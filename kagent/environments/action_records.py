"""The actions of open episodes, kept so that they can be taken again."""

from __future__ import annotations

import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..spaces import Structure
from .open_episodes import record_dtypes

_STEPS = 10_000  # of an open episode
_BYTES = 16 << 20  # of actions, of all environments together


class ActionRecords:
    """What each of N environments was given since its episode began, 8 bytes a step for a `Discrete` action.

    Args:
        structure: Actions of one environment.
        count: N.
    """

    def __init__(self, structure: Structure, count: int):
        self._structure, self._count = structure, count
        self._discrete = not structure.is_nested and structure.leaves[0].kind == "discrete"
        self._dtypes = record_dtypes(structure)
        self._records: list[list[Any]] = [self._empty() for _ in range(count)]

    @property
    def longest(self) -> int:
        """How long an episode is kept unless somebody says so: 10,000 timesteps, or what 16 MiB hold of all environments."""
        width = sum(dtype.itemsize * leaf.size for dtype, leaf in zip(self._dtypes, self._structure.leaves))
        return min(_STEPS, _BYTES // (max(width, 1) * self._count))

    def taken(self, action: Sequence[np.ndarray]) -> list[Any]:
        """Keeps a batch of actions.

        Args:
            action: As of `Environments.step`.

        Returns:
            One action for each environment. They get a copy: some keep or change what they are given.
        """
        if self._discrete:
            values = action[0].tolist()
            for record, value in zip(self._records, values):
                record[0].append(value)
            result: list[Any] = values
            return result
        structure = self._structure
        arrays = [np.array(part, leaf.dtype) for leaf, part in zip(structure.leaves, action)]
        for position, copied in enumerate(arrays):
            data, size = copied.tobytes(), copied.nbytes // self._count
            for i, record in enumerate(self._records):
                record[position] += data[i * size : (i + 1) * size]
        if not structure.is_nested:
            return [arrays[0][i, ...] for i in range(self._count)]
        return [_action(structure, arrays, i) for i in range(self._count)]

    def begin(self, i: int) -> None:
        """Environment i begins an episode: nothing is kept of the last one."""
        self._records[i] = self._empty()

    def give_up(self, i: int) -> None:
        """Keeps nothing of environment i until its next episode begins."""
        self._records[i] = [_UNRECORDED] * len(self._records[i])

    def arrays(self, i: int) -> list[np.ndarray] | None:
        """The actions of environment i, per leaf `(length, *leaf.shape)`; None: they are not kept."""
        if _UNRECORDED in self._records[i]:
            return None
        return [
            np.frombuffer(bytes(record), dtype).reshape(-1, *leaf.shape)
            for leaf, record, dtype in zip(self._structure.leaves, self._records[i], self._dtypes)
        ]

    def extend(self, i: int, arrays: Sequence[np.ndarray]) -> None:
        """Adds what `arrays` gave in another process."""
        for record, part in zip(self._records[i], arrays):
            record.frombytes(part.tobytes()) if self._discrete else record.extend(part.tobytes())

    def each(self, arrays: Sequence[np.ndarray], length: int) -> Iterator[Any]:
        """Copies of the actions in what `arrays` gave, one after the other, as environments take them."""
        arrays = [part.copy() for part in arrays]
        for step in range(length):
            yield int(arrays[0][step]) if self._discrete else _action(self._structure, arrays, step)

    def _empty(self) -> list[Any]:
        return [array.array("q")] if self._discrete else [bytearray() for _ in self._structure.leaves]


class _Unrecorded:
    """In the place of actions that are no longer kept."""

    def append(self, value: int) -> None:
        """Keeps nothing."""

    def __iadd__(self, data: bytes) -> _Unrecorded:
        return self


_UNRECORDED = _Unrecorded()


def _action(structure: Structure, arrays: Sequence[np.ndarray], row: int) -> Any:
    # A Discrete action is a NumPy scalar, every other an array, of rank 0 too.
    parts = [part[row] if leaf.kind == "discrete" else part[row, ...] for leaf, part in zip(structure.leaves, arrays)]
    return structure.unflatten(parts)
