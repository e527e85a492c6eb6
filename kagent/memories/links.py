"""Where the next observations of transitions are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kagent.memories.equal_rows import first_equal
from kagent.memories.storage import shared_array

_SPAN = 1024  # transitions that are linked together
_BYTES = 1 << 20  # of observations that are linked together
_TOGETHER = 4096  # rows of a file


def extra_rows(rows: int) -> int:
    """How many rows there are at most behind a ring of so many."""
    return rows + 2 * max(1, rows // 4)


class Links:
    """Of each transition in a ring the row whose observation is its next observation.

    A new transition's next observation is written into a waiting row behind the ring, since the transition that begins with it
    has yet to come. Every `span` transitions those that wait longest, `span` of them, are looked for among the observations that
    arrived since: whether one is the same is decided by its bytes. One that is not there, at the end of an episode or where the
    environment goes on elsewhere, moves into an extra row behind the waiting ones, which is free again when the transition is
    overwritten.

    Args:
        parts: Where observations are: integers `(rows + extra_rows(rows), width)`, one array for each dtype that they are stored in.
        rows: How many the ring has.
        reserve: `reserve(count)` takes room for twice so many rows behind the ring, or says that there is none for so many.
        window: How many transitions later an observation arrives that was a next observation.
        groups: The rows `i`, `i + groups`, ... are overwritten in the order in which they were written; others at any time.

    Attributes:
        links: int32 `(rows,)`, int64 of a huge ring.
        stamps: int64: of each row another number whenever a next observation is written into it.
        span: Transitions that are linked together, and the most that may be written at a time.
    """

    def __init__(
        self, parts: Sequence[np.ndarray], rows: int, reserve: Callable[[int], None], window: int, groups: int = 1
    ):
        self._parts, self.rows, self._reserve, self._groups = parts, rows, reserve, groups
        self._dtype = "int32" if rows + extra_rows(rows) < 2**31 else "int64"
        self.links = shared_array((rows,), self._dtype)
        self.stamps, self._stamp = np.zeros(rows + extra_rows(rows), np.int64), 0
        self._size: int = sum(part.shape[1] * part.itemsize for part in parts)
        self._begin(window)

    def _span_of(self, window: int) -> int:
        return max(1, min(max(min(_SPAN, _BYTES // self._size), 2 * window), self.rows // 4))

    def _begin(self, window: int) -> None:
        self._window, self.span = window, self._span_of(window)
        span = self.span
        self._first = self.rows + 2 * span  # of the extra rows
        self._slots = np.arange(self.rows, self._first, dtype=self._dtype)
        self._reserve(2 * span)
        self.clear()

    def clear(self) -> None:
        """Forgets all transitions."""
        self.links[:] = 0
        self._place = 0  # of the next one among those that wait
        self._left = 0  # that may come before some are linked
        self._waiting = np.full(2 * self.span, -1, np.int64)  # rows
        self._before = np.zeros(2 * self.span, np.int64)  # their links until then
        self._free: list[int] = []
        self._used = 0  # extra rows so far, free ones among them

    # Writing --------------------------------------------------------------------------------------------------------

    def lead(self, rows: slice | np.ndarray) -> slice | np.ndarray:
        """Links new transitions, whose observations are stored, to rows where their next observations belong.

        Args:
            rows: Theirs, at most `span`, in the order of time.

        Returns:
            The others.
        """
        # This runs at every timestep.
        place, span = self._place, self.span
        count = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        if count < self._left:
            if count == 1:
                row = rows.start if isinstance(rows, slice) else rows.item()
                self._waiting[place], self._before[place] = row, self.links[row]
                self.links[row] = self.rows + place
            else:
                self._wait(rows, place)
            self._place = place + count
            self._left -= count
            return slice(self.rows + place, self.rows + place + count)
        numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        slots: np.ndarray = self._slots[(place + np.arange(count)) % (2 * span)]
        while len(numbers):
            if self._place % span == 0:
                self._settle()
            part = span - self._place % span
            self._wait(numbers[:part], self._place)
            self._place = (self._place + min(part, len(numbers))) % (2 * span)
            numbers = numbers[part:]
        self._left = -self._place % span
        return slots

    def _wait(self, rows: slice | np.ndarray, place: int) -> None:
        numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        end = place + len(numbers)
        self._waiting[place:end] = numbers
        self._before[place:end] = self.links[rows]
        self.links[rows] = self._slots[place:end]

    def _settle(self) -> None:
        # Of the half that is about to be used again.
        places = np.arange(self._place, self._place + self.span)
        places = places[self._waiting[places] >= 0]
        old = self._before[places]
        self._free.extend(old[old >= self._first].tolist())
        places, found = self._following(places)
        rows, left = self._waiting[places], found < 0
        extra = self._extra(int(left.sum()))
        for part in self._parts:
            part[extra] = part[self.rows + places[left]]
        self._written(extra)
        found[left] = extra
        self.links[rows] = found
        self._waiting[self._place : self._place + self.span] = -1

    def _written(self, places: np.ndarray) -> None:
        self.stamps[places] = np.arange(len(places)) + self._stamp + 1
        self._stamp += len(places)

    def _following(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # Those of these waiting ones that were not overwritten, and the rows of their next observations; -1: there is none.
        order = (self._place + np.arange(2 * self.span)) % (2 * self.span)
        order = order[self._alive(order)]
        places = places[self._alive(places)]
        rows, own = self._waiting[order], self._waiting[places]
        numbers = np.zeros(2 * self.span, np.int64)
        numbers[order] = np.arange(len(order))
        return places, self._search(self.rows + places, own, numbers[places], rows)

    def _search(self, heads: np.ndarray, own: np.ndarray, begin: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The rows whose observations are next observations; -1: there is none.

        Args:
            heads: The rows where the next observations are.
            own: The rows of their transitions.
            begin: Of each the first one of `rows` that counts.
            rows: Where they are looked for.
        """
        found = np.full(len(heads), -1, np.int64)
        if not len(heads):
            return found
        # Mostly as many transitions later as those of the other ones.
        guess = rows[np.minimum(begin + self._window, len(rows) - 1)]
        same = (guess - own) % self._groups == 0
        for part in self._parts:
            same &= (part[heads] == part[guess]).all(axis=1)
        found[same] = guess[same]
        left = np.flatnonzero(~same)
        if len(left):
            targets = [*(part[rows] for part in self._parts), (rows % self._groups)[:, None]]
            sources = [*(part[heads[left]] for part in self._parts), (own[left] % self._groups)[:, None]]
            place = first_equal(sources, begin[left], targets)
            found[left] = np.where(place < 0, -1, rows[place])
        return found

    def _alive(self, places: np.ndarray) -> np.ndarray:
        rows = self._waiting[places]
        alive: np.ndarray = (rows >= 0) & (self.links[rows] == self.rows + places)
        return alive

    def _extra(self, count: int) -> np.ndarray:
        again = [self._free.pop() for _ in range(min(count, len(self._free)))]
        new = count - len(again)
        self._used += new
        if new and (self._used - new).bit_length() < self._used.bit_length():  # room is taken for twice as many
            self._reserve(2 * self.span + self._used)
        return np.array([*again, *range(self._first + self._used - new, self._first + self._used)], np.int64)

    def widen(self, window: int, size: int, ages: np.ndarray) -> None:
        """Takes another `window`, where it is larger than before.

        Args:
            window: As of the class.
            size: Rows that are filled.
            ages: As for `wait_again`.
        """
        if self._span_of(window) <= self.span:
            self._window = window
        else:
            links, places = self.state(size)
            heads = [part[places] for part in self._parts]
            self._begin(window)
            places = self.restore(links)
            for part, head in zip(self._parts, heads):
                part[places] = head
            self.wait_again(ages)

    # In files -------------------------------------------------------------------------------------------------------

    def state(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The links of the first `size` rows.

        Returns:
            int64 `(size,)`: rows, and from `size` on numbers of next observations that are no row's observation; and the rows
            where these are.
        """
        links = self.links[:size].astype(np.int64)
        self._written(self._slots)  # all that wait may be others
        places, found = self._following(np.flatnonzero(self._waiting >= 0))
        rows, known = self._waiting[places], found >= 0
        links[rows[known]] = found[known]
        extra = links >= self.rows
        places = links[extra]
        links[extra] = size + np.arange(len(places))
        return links, places

    def restore(self, links: np.ndarray) -> np.ndarray:
        """The inverse of `state`. `wait_again` follows.

        Args:
            links: As `state` has them, numbers in any order.

        Returns:
            The rows where the next observations belong that are no row's observation.
        """
        size = len(links)
        self.clear()
        rows = np.flatnonzero(links >= size)
        places = self._extra(len(rows))
        self._written(places)
        self.links[:size] = np.where(links >= size, 0, links)
        self.links[rows] = places[links[rows] - size]
        return places

    def wait_again(self, ages: np.ndarray) -> None:
        """Lets the newest transitions wait for their next observations, which are in extra rows.

        Args:
            ages: int64, of each of the first rows a number that is greater the later it was written, the greatest one less than
                the rows there are; -1: it was not written.
        """
        newest = np.flatnonzero((self.links[: len(ages)] >= self._first) & (ages >= max(len(ages) - self.span, 0)))
        newest = newest[np.argsort(ages[newest], kind="stable")]
        if len(newest):
            extra = self.links[newest].copy()
            self.links[newest] = 0
            slots = self.lead(newest)
            for part in self._parts:
                part[slots] = part[extra]
            self._free.extend(extra.tolist())

    def take_whole(self, size: int, shift: int) -> slice:
        """Links each of the first `size` rows to an extra row of its own. `join` follows.

        Args:
            size: Rows.
            shift: How many rows the ring is turned back.

        Returns:
            The extra rows, in the order before the ring is turned.
        """
        self.clear()
        self._reserve(2 * self.span + size)
        self._used = size
        self._written(np.arange(self._first, self._first + size))
        self.links[:size] = self._first + np.roll(np.arange(size), -shift)
        return slice(self._first, self._first + size)

    def join(self, ages: np.ndarray) -> None:
        """Links rows that have extra rows of their own to those whose observations are their next observations. `wait_again`
        follows.

        Args:
            ages: As for `wait_again`.
        """
        order, empty = np.argsort(ages, kind="stable"), np.flatnonzero(ages < 0)
        order = order[len(empty) :]
        self._free.extend(self.links[empty].tolist())
        self.links[empty] = 0
        for begin in range(0, len(order), _TOGETHER):
            rows, ahead = order[begin : begin + _TOGETHER], order[begin : begin + _TOGETHER + self.span]
            extra = self.links[rows]
            found = self._search(extra, rows, np.arange(len(rows)), ahead)
            self.links[rows[found >= 0]] = found[found >= 0]
            self._free.extend(extra[found >= 0].tolist())
