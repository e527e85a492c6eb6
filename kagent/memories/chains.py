"""The chains of transitions in a `LinkedStorage`: which transition goes on where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kagent.memories.linked_storage import LinkedStorage
from kagent.memories.saved_arrays import read_block
from kagent.memories.saved_links import SavedLinks, copy_split
from kagent.memories.transition import Transition


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

    def lead(self, total: int, step: Transition, pick: np.ndarray | None) -> slice | np.ndarray:
        """Links the newest transitions, one of each environment, whose observations are stored.

        Args:
            total: Transitions so far, with these.
            step: Them.
            pick: Indices of those of its environments that made a timestep; None: all.

        Returns:
            The extra rows, where their next observations belong.
        """
        given = len(step.reward)
        if given > self.num_envs:
            self.newest = np.append(self.newest, np.full(given - self.num_envs, -1))
        if pick is None and given > 1:
            return self.follow_all(total - given, None, np.logical_or(step.terminated, step.truncated))
        if pick is None or len(pick) == 1:
            env = 0 if pick is None else int(pick[0])
            return self.follow(total - 1, env, bool(step.terminated[env] or step.truncated[env]))
        ended = np.logical_or(step.terminated, step.truncated)[pick]
        return self.follow_all(total - len(pick), pick, ended)

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
            self.storage.reserve_extra(self._used)
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
        """The inverse of `state`, and the rows of the ring. Whole rows of a file are linked.

        Args:
            state: What was saved.
            size: Rows of it.
            cursor: The row behind the newest one, when it was saved.
            shift: How many rows the ring is turned back.

        Raises:
            ValueError: Links that no memory has, or rows of another width or dtype.
        """
        if "links" not in state:
            self._restore_whole(state, size, cursor, shift)
            return
        for name, block in self.storage.blocks.items():
            read_block(block, name, state[f"block.{name}"], size)
        self.storage.turn(size, shift)
        saved = SavedLinks.check(state, size, cursor, self.storage.heads)
        extra, newest = saved.links >= size, saved.newest
        count = int(extra.sum())
        links = np.where(extra, self.rows + saved.links - size, (saved.links - shift) % max(size, 1))
        self.storage.links[:size] = np.roll(links, -shift)
        self.storage.reserve_extra(count)
        for name, head in saved.heads.items():
            self.storage.blocks[name][self.rows : self.rows + count, : head.shape[1]] = head
        self._used = count
        cursor, total = (cursor - shift) % max(size, 1), size if size < self.rows else self.rows + cursor
        row = (newest - shift) % max(size, 1)
        self.newest = np.where(newest < 0, -1, total - 1 - (cursor - 1 - row) % max(size, 1))

    def _restore_whole(self, state: Mapping[str, Any], size: int, cursor: int, shift: int) -> None:
        # Next observations take as much memory as in the memory that was saved.
        self.storage.reserve_extra(size)
        for name, block in self.storage.blocks.items():
            copy_split(block, name, state[f"block.{name}"], size, self.storage.heads.get(name, 0), self.rows)
        self.storage.turn(size, shift)
        for name in self.storage.heads:
            block = self.storage.blocks[name][self.rows : self.rows + size]
            block[:] = np.roll(block, -shift, axis=0)
        # From the oldest to the newest one.
        rows = (cursor - shift + np.arange(size)) % max(size, 1)
        self.storage.links[:size] = self.rows + np.arange(size)
        before, following = rows[: max(size - self.num_envs, 0)], rows[self.num_envs :]  # environments took turns
        same = np.ones(len(before), bool)
        for block in self.storage.compared:
            same &= (block[following] == block[self.rows + before]).all(axis=1)
        self.storage.links[before[same]] = following[same]
        self._used, self._free = size, (self.rows + before[same]).tolist()
