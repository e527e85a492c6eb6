"""Rows of transitions whose next observations, where other rows hold them, are not stored again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from kagent.memories.saved_arrays import saved_array, saved_slices
from kagent.memories.storage import Column, Storage, check_free, layout, shared_array, shared_tensor

_NEXT = "next_"
_UNCHECKED = 64 << 20  # bytes of extra rows that are taken without a look at what is free


class Successors:
    """A column that is read where the link of each row leads.

    Args:
        links: int64 `(rows,)`.
        values: The column, with the extra rows.
    """

    def __init__(self, links: np.ndarray, values: np.ndarray):
        self._links, self._values = links, values

    def __getitem__(self, index: Any) -> np.ndarray:
        rows, *inner = index if isinstance(index, tuple) else (index,)
        found: np.ndarray = self._values[self._links[rows]]
        return found[(slice(None),) * np.ndim(self._links[rows]) + tuple(inner)] if inner else found


class LinkedStorage(Storage):
    """A ring of transitions. The next observation of a row is the observation of the row that its link names.

    That is the next row of the same environment, once that has arrived. Until then, and for good at the end of an episode or
    where the environment goes on elsewhere, it is in an extra row behind the ring. Address space is reserved for as many
    extra rows as the ring has; memory is taken for those that were used. A row never outlives the one that it links to,
    since that is newer.

    Whether an observation is the one before's next observation is decided by its bytes.

    Args:
        columns: Those of a row; `next_observation.*` beside `observation.*`, which come first.
        rows: How many the ring has.

    Attributes:
        links: int64 `(rows,)`: of each row the one that holds its next observation, from `rows` on an extra one.
        ahead: The columns of observations with the extra rows, where next observations are written.
        observed, heads: The columns of observations, and how wide they are in each block, which they begin.
        compared: These parts of the blocks as integers, `(2 * rows, width)`.
        whole: The columns of rows that hold their next observations, as files from before there were links have them.

    Raises:
        ValueError: The ring would not fit into the machine's free memory.
    """

    def __init__(self, columns: list[Column], rows: int):
        followed = [column for column in columns if not column.name.startswith("next_observation")]
        self.observed = [column for column in followed if column.name.startswith("observation.")]
        _, self.heads = layout(self.observed)
        super().__init__(followed, rows, extra={name: rows for name in self.heads})
        self.whole = columns
        self.links = shared_array((self.rows,), "int64")
        self._link_tensor = shared_tensor(self.links)
        self.ahead = [self._view(column, 2 * self.rows) for column in self.observed]
        for column, values in zip(self.observed, self.ahead):
            self.views[_NEXT + column.name] = Successors(self.links, values)
        # As integers: a NaN is equal to itself.
        blocks = {name: self.blocks[name].view(f"i{self.blocks[name].itemsize}") for name in self.heads}
        self.compared = [blocks[name][:, :width] for name, width in self.heads.items()]

    def take(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        both = np.stack([rows, self.links[rows]], axis=-1)
        return {name: a.take(both if name in self.heads else rows, axis=0) for name, a in self.blocks.items()}

    def gather(self, rows: tf.Tensor, shape: tuple[int, ...]) -> dict[str, tf.Tensor]:
        both = tf.stack([rows, tf.gather(self._link_tensor, rows)], axis=1)  # side by side: the caches have the second
        return {
            name: tf.reshape(tf.gather(tensor, both), (*shape, 2, self.widths[name]))
            if name in self.heads
            else tf.reshape(tf.gather(tensor, rows), (*shape, self.widths[name]))
            for name, tensor in self.tensors.items()
        }

    def specs(self, shape: tuple[int, ...]) -> dict[str, tf.TensorSpec]:
        return {
            name: tf.TensorSpec((*spec.shape[:-1], 2, spec.shape[-1]) if name in self.heads else spec.shape, spec.dtype)
            for name, spec in super().specs(shape).items()
        }

    def unpack(self, blocks: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        own = super().unpack(
            {name: block[..., 0, :] if name in self.heads else block for name, block in blocks.items()}
        )
        heads = {name: blocks[name][..., 1, :width] for name, width in self.heads.items()}
        return own | {_NEXT + name: part for name, part in self._unpacked(self.observed, heads).items()}


class Chains:
    """The chains of transitions in a `LinkedStorage`, and its extra rows. Made anew where a memory is cleared.

    Args:
        storage: The rows.
        num_envs: Environments whose transitions follow.
    """

    def __init__(self, storage: LinkedStorage, num_envs: int):
        self.storage, self.rows = storage, storage.rows
        storage.links[:] = 0
        self._free: list[int] = []
        self._used = 0  # extra rows so far, free ones among them
        self._turn = -1  # the first number of the latest transitions, where all environments took turns; else -1
        self._turn_extra = self._counting = np.arange(num_envs)
        self._newest = np.full(num_envs, -1, np.int64)

    def part(self, environments: Any) -> None:
        """What these environments' next transitions begin with does not follow from their latest ones."""
        self.newest[list(environments)] = -1

    def follow(self, number: int, env: int, ended: bool) -> slice:
        """Links the latest transition of an environment to a new one, and the new one to an extra row.

        Args:
            number: The transition's, counted from 0; its row is `number % rows`, and has its observation already.
            env: Index of its environment.
            ended: Whether the environment's next transition is of another episode.

        Returns:
            The extra row, where its next observation belongs.
        """
        links, row = self.storage.links, number % self.rows
        newest = self._newest if self._turn < 0 else self.newest
        old, before = links.item(row), newest.item(env)
        if old >= self.rows:
            self._free.append(old)
        extra = -1
        if 0 <= before and number - before < self.rows:
            before %= self.rows
            extra = links.item(before)
            for block in self.storage.compared:
                if block[row].tobytes() != block[extra].tobytes():
                    extra = -1
                    break
            else:
                links[before] = row
        if extra < 0:
            extra = self._extra()
        links[row] = extra
        newest[env] = -1 if ended else number
        return slice(extra, extra + 1)

    def follow_all(self, number: int, env: np.ndarray | None, ended: np.ndarray) -> np.ndarray:
        """`follow`, for transitions of several environments with consecutive numbers; at most `rows` of them.

        Args:
            number: The first one's.
            env: Indices of the environments; None: all.
            ended: Bool, of each of these.
        """
        count, links, row = len(ended), self.storage.links, number % self.rows
        before = row - count
        if env is None and 0 <= self._turn == number - count and 0 <= before and row + count <= self.rows:
            # All environments took turns, which is the rule.
            extra = self._turn_extra
            for block in self.storage.compared:
                if block[row : row + count].tobytes() != block[extra].tobytes():
                    break
            else:
                if number >= self.rows:
                    old = links[row : row + count]
                    if old.max() >= self.rows:
                        self._free.extend(old[old >= self.rows].tolist())
                links[before:row] = self._counting + row
                links[row : row + count] = extra
                self._turn = number
                if ended.any():
                    self.newest[ended] = -1
                return extra
        newest, numbers = self.newest, np.arange(number, number + count)
        env = np.arange(count) if env is None else env
        rows = numbers % self.rows
        old = links[rows]
        self._free.extend(old[old >= self.rows].tolist())
        latest = newest[env]
        going_on = (latest >= 0) & (latest >= number + count - self.rows)
        latest, following = latest[going_on] % self.rows, rows[going_on]
        extra = links[latest]
        same = np.ones(len(latest), bool)
        for block in self.storage.compared:
            same &= (block[following] == block[extra]).all(axis=1)
        links[latest[same]] = following[same]
        self._free.extend(extra[same].tolist())
        links[rows] = taken = np.asarray([self._extra() for _ in rows], np.int64)
        newest[env] = np.where(ended, -1, numbers)
        if count == len(newest) and not ended.any():
            self._turn, self._turn_extra, self._counting = number, taken, np.arange(count)
        return taken

    @property
    def num_envs(self) -> int:
        """Environments whose latest transitions are known."""
        return len(self._newest)

    @property
    def newest(self) -> np.ndarray:
        """int64 `(N,)`: of each environment the number of its latest transition, whose successor may still come; -1: none."""
        if self._turn >= 0:
            self._newest[:] = self._counting + self._turn
            self._turn = -1
        return self._newest

    @newest.setter
    def newest(self, numbers: np.ndarray) -> None:
        self._newest, self._turn = numbers, -1

    def _extra(self) -> int:
        if self._free:
            return self._free.pop()
        self._used += 1
        if not self._used & (self._used - 1):
            taken = self._used * sum(np.dtype(name).itemsize * self.storage.widths[name] for name in self.storage.heads)
            if taken > _UNCHECKED:
                check_free(taken, "next observations that no other transition begins with")
        return self.rows + self._used - 1

    def state(self, size: int, total: int) -> dict[str, np.ndarray]:
        """What continues `size` rows of `total` transitions so far, beside the rows of the ring."""
        links, newest = self.storage.links[:size].copy(), self.newest
        extra = links >= self.rows
        rows = links[extra]
        links[extra] = size + np.arange(len(rows))
        kept = (newest >= 0) & (newest >= total - self.rows)
        return {
            "links": links,
            "newest": np.where(kept, newest % self.rows, -1),
            **{f"extra.{name}": self.storage.blocks[name][rows, :width] for name, width in self.storage.heads.items()},
        }

    def restore(self, state: Mapping[str, Any], size: int, cursor: int, shift: int) -> None:
        """The inverse of `state`, when the rows of the ring are there.

        Args:
            state: What was saved.
            size: Rows of it.
            cursor: The row behind the newest one, when it was saved.
            shift: How many rows the ring was turned back since.

        Raises:
            ValueError: Links that no memory has.
        """
        links = saved_array(state["links"], "links", np.int64, (size,))
        newest = saved_array(state["newest"], "newest", np.int64, (None,))
        heads = {
            name: saved_array(state[f"extra.{name}"], f"extra.{name}", np.dtype(name), (None, width))
            for name, width in self.storage.heads.items()
        }
        extra, rows = links >= size, np.arange(size)
        count = int(extra.sum())
        ages = (cursor - 1 - np.where(extra, rows, links)) % max(size, 1), (cursor - 1 - rows) % max(size, 1)
        waiting = newest[newest >= 0]
        if (
            any(len(head) != count for head in heads.values())
            or not np.array_equal(links[extra], size + np.arange(count))
            or (links < 0).any()
            or (ages[0] >= ages[1])[~extra].any()
            or (newest < -1).any()
            or (waiting >= size).any()
            or len(np.unique(waiting)) != len(waiting)
            or not extra[waiting].all()
        ):
            raise ValueError("Saved memory does not fit: 'links' must lead from every row to a newer one")
        links = np.where(extra, self.rows + links - size, (links - shift) % max(size, 1))
        self.storage.links[:size] = np.roll(links, -shift)
        for name, head in heads.items():
            self.storage.blocks[name][self.rows : self.rows + count, : head.shape[1]] = head
        self._used = count
        cursor, total = (cursor - shift) % max(size, 1), size if size < self.rows else self.rows + cursor
        row = (newest - shift) % max(size, 1)
        self.newest = np.where(newest < 0, -1, total - 1 - (cursor - 1 - row) % max(size, 1))

    def restore_unlinked(self, state: Mapping[str, Any], size: int, cursor: int, shift: int, num_envs: int) -> None:
        """Rows of a file from before there were links, and their next observations, for as much memory as they took then.

        Args:
            state, size, cursor, shift: As for `restore`; the ring is turned back here.
            num_envs: Environments whose transitions took turns.
        """
        places, widths = layout(self.storage.whole)
        for name, width in widths.items():
            block = self.storage.blocks[name]
            for begin, end, part in saved_slices(state[f"block.{name}"], name, size, width, block.dtype):
                for column in self.storage.whole:
                    home, first, last = places[column.name]
                    follows = column.name.startswith("next_observation")
                    _, left, right = self.storage.places[column.name.removeprefix(_NEXT) if follows else column.name]
                    if home == name:
                        ahead = self.rows if follows else 0
                        block[ahead + begin : ahead + end, left:right] = part[:, first:last]
        self.storage.turn(size, shift)
        for name in self.storage.heads:
            block = self.storage.blocks[name][self.rows : self.rows + size]
            block[:] = np.roll(block, -shift, axis=0)
        # From the oldest to the newest one.
        rows = (cursor - shift + np.arange(size)) % max(size, 1)
        self.storage.links[:size] = self.rows + np.arange(size)
        before, following = rows[: max(size - num_envs, 0)], rows[num_envs:]
        same = np.ones(len(before), bool)
        for block in self.storage.compared:
            same &= (block[following] == block[self.rows + before]).all(axis=1)
        self.storage.links[before[same]] = following[same]
        self._used, self._free = size, (self.rows + before[same]).tolist()
