"""Returns that environments record themselves: `info["episode"]["r"]`.

gymnasium's `RecordEpisodeStatistics` and Stable-Baselines3's `Monitor` give them at the end of an episode. Below a wrapper
that changes rewards they hold the return of the raw ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

KEY = "episode"
_RECORDERS = (gymnasium.wrappers.RecordEpisodeStatistics, gymnasium.wrappers.vector.RecordEpisodeStatistics)


def recorded_return(info: Any) -> float | None:
    """The return in one environment's info, or None where there is none."""
    record = info.get(KEY) if isinstance(info, dict) else None
    return _number(record.get("r")) if isinstance(record, dict) else None


def recorded_returns(infos: Any, rows: Iterable[int]) -> dict[int, float]:
    """The returns in a vector environment's infos, by environment, of those in `rows` that have one.

    In mode SAME_STEP the infos of an end are in `infos["final_info"]`, unless a wrapper of the vector environment recorded.
    """
    found: dict[int, float] = {}
    if not isinstance(infos, dict):
        return found
    for source in (infos, infos.get("final_info")):
        for row in rows:
            value = _of_row(source, row)
            if value is not None:
                found.setdefault(row, value)
    return found


def shows_recorder(env: Any) -> bool:
    """Whether gymnasium's `RecordEpisodeStatistics` is among the wrappers of an environment, or of those inside it.

    Workers of an `AsyncVectorEnv` do not show theirs.
    """
    while isinstance(env, gymnasium.Wrapper | gymnasium.vector.VectorWrapper):
        if isinstance(env, _RECORDERS):
            return True
        env = env.env
    inside = getattr(env, "envs", None)
    return isinstance(inside, list | tuple) and any(map(shows_recorder, inside))


def restarts_records(env: VectorEnv, mode: AutoresetMode) -> bool:
    """Whether recorded returns are of parts of episodes.

    gymnasium's vector `RecordEpisodeStatistics` (1.4) restarts its sums everywhere when one environment is reset by a mask:
    the environment below takes the mask out of the options before the wrapper looks at them. Before 1.4 it leaves out the first
    reward of every episode but the first in mode SAME_STEP, whose end is the next one's reset.
    """
    faulty = mode is AutoresetMode.DISABLED or (mode is AutoresetMode.SAME_STEP and _version() < (1, 4))
    while faulty and isinstance(env, gymnasium.vector.VectorWrapper):
        if isinstance(env, gymnasium.wrappers.vector.RecordEpisodeStatistics):
            return True
        env = env.env
    return False


def _version() -> tuple[int, ...]:
    return tuple(int(part) for part in gymnasium.__version__.split(".")[:2])


def _of_row(source: Any, row: int) -> float | None:
    if not isinstance(source, dict):  # one dict per environment
        return None if source is None or len(source) <= row else recorded_return(source[row])
    record = source.get(KEY)
    if not isinstance(record, dict) or "r" not in record:
        return None
    for given in (source.get(f"_{KEY}"), record.get("_r")):
        if given is not None and not given[row]:
            return None
    return _number(record["r"][row])


def _number(value: Any) -> float | None:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or array.size != 1:
        return None
    number = float(array.item())
    return number if math.isfinite(number) else None
