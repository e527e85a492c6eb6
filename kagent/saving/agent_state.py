"""What a file says of an agent beside its variables and its memory, checked before anything of it is applied."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from kagent.config.run_length import Bounds

COUNTERS = ("timesteps", "episodes", "gradient_steps", "performed", "drawn", "targets_moved", "waited", "ended")
SEEDS = {"sample": 2**62, "graph": 2**31, "evaluation": 2**31}  # and below which numbers they are
_LATER_STREAMS = ("pretrain",)


class AgentState(NamedTuple):
    """Checked values, as an agent takes them.

    Attributes:
        counters: Of `Counters`, by name.
        seeds: The sample, graph and evaluation seed.
        streams: States of Philox generators, by purpose.
        bounds: Where training ends.
        open: What `Collector.start` takes, or None.
        known: Mean return and length, and the logs of the update, of the last epoch; or None.
    """

    counters: dict[str, int]
    seeds: dict[str, int]
    streams: dict[str, dict[str, Any]]
    bounds: Bounds
    open: dict[str, Any] | None
    known: dict[str, Any] | None

    @classmethod
    def read(
        cls, found: dict[str, Any], counters: np.ndarray, purposes: list[str], opened: dict[str, Any] | None
    ) -> AgentState:
        """The state as read from a file.

        Args:
            found: The parsed state.
            counters: `(len(COUNTERS),)`.
            purposes: Names of the agent's random streams.
            opened: The open episodes in `found`, checked.

        Raises:
            ValueError: A part is missing or impossible.
        """
        missing = {"seeds", "streams", "bounds", "open"} - set(found)
        if missing:
            raise ValueError(f"The file's state lacks {sorted(missing)}")
        seeds, streams = found["seeds"], found["streams"]
        # Files of before there were traces lack the last stream: the agent's own, which had no use, stays.
        wanted = [name for name in purposes if name in streams or name not in _LATER_STREAMS]
        try:
            return cls(
                _counts(counters),
                {name: _seed(seeds[name], name, below) for name, below in SEEDS.items()},
                {name: _stream(streams[name]) for name in wanted},
                _bounds(found["bounds"]),
                opened,
                _known(found.get("known")),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"The file's state is damaged: {type(error).__name__}: {error}") from error


def _counts(found: np.ndarray) -> dict[str, int]:
    if found.dtype.kind not in "iuf" or found.ndim != 1:
        raise ValueError(f"The file's counters must be {len(COUNTERS)} integers >= 0. Received: {found.dtype}")
    counters = [int(value) for value in found]
    if len(counters) == len(COUNTERS) - 2:  # of before frequencies could be schedules, and updates at episodes' ends
        counters += [0, counters[COUNTERS.index("episodes")]]
    if len(counters) != len(COUNTERS) or min(counters) < 0:
        raise ValueError(f"The file's counters must be {len(COUNTERS)} integers >= 0. Received: {counters}")
    return dict(zip(COUNTERS, counters))


def _seed(value: Any, name: str, below: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < below:
        raise ValueError(f"The file's {name} seed must be an integer from 0 to {below - 1}. Received: {value!r}")
    return value


def _bounds(found: Any) -> Bounds:
    bounds = [float(bound) for bound in found]
    if len(bounds) not in (2, 3) or not all(bound >= 0 for bound in bounds):  # older files do not say updates
        raise ValueError(f"The file's bounds of training must be 2 or 3 numbers >= 0. Received: {found!r}")
    return Bounds(*bounds)


def _known(state: Any) -> dict[str, Any] | None:
    """What the last epoch knew, as read from a file, checked."""
    if state is None:
        return None
    mean_return, mean_length, *wrapped = (float(value) for value in state["episode"])
    if mean_return == -math.inf:  # of former files: no episode had ended
        mean_return = math.nan
    update = {str(name): float(value) for name, value in state["update"].items()}
    (mean_wrapped,) = wrapped or [math.nan]  # former files do not have it
    return {"episode": (mean_return, mean_length, mean_wrapped), "update": update}


def _stream(state: Any) -> dict[str, Any]:
    """A Philox generator's state as read from a file, checked: NumPy believes any position in its buffer."""
    inner = state["state"]
    arrays = {"counter": inner["counter"], "key": inner["key"], "buffer": state["buffer"]}
    for name, size in (("counter", 4), ("key", 2), ("buffer", 4)):
        if not isinstance(arrays[name], np.ndarray) or (arrays[name].shape, arrays[name].dtype) != ((size,), np.uint64):
            raise ValueError(f"A random stream's {name} must be {size} uint64 numbers. Received: {arrays[name]!r}")
    position, has, half = (int(state[name]) for name in ("buffer_pos", "has_uint32", "uinteger"))
    if not (0 <= position <= 4 and has in (0, 1) and 0 <= half < 2**32):
        raise ValueError(f"A random stream's position is impossible. Received: {position}, {has}, {half}")
    key = {"counter": arrays["counter"], "key": arrays["key"]}
    about = {"buffer_pos": position, "has_uint32": has, "uinteger": half}
    return {"bit_generator": "Philox", "state": key, "buffer": arrays["buffer"], **about}
