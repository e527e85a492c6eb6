"""How long `fit` goes on, and how it is divided: its arguments, checked."""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection
from typing import Any

from kagent.memories.memory import check_count


def of_fit(
    counters: Any, steps: Any = None, episodes: Any = None, max_steps: Any = None, max_episodes: Any = None
) -> tuple[float, float]:
    """Absolute bounds in timesteps and in episodes; infinite where there is none.

    Args:
        counters: `timesteps` and `episodes` so far.
        steps, episodes: To add.
        max_steps, max_episodes: Absolute.

    Raises:
        ValueError: No bound, two for one unit, or one that is not an integer >= 0.
    """
    given = {"steps": steps, "episodes": episodes, "max_steps": max_steps, "max_episodes": max_episodes}
    for name, value in given.items():
        whole = isinstance(value, numbers.Integral) or (isinstance(value, float) and value.is_integer())
        if value is not None and (isinstance(value, bool) or not whole or value < 0):
            raise ValueError(f"`{name}` must be an integer >= 0 or None. Received: {value!r}")
    for one, other in (("steps", "max_steps"), ("episodes", "max_episodes")):
        if given[one] is not None and given[other] is not None:
            raise ValueError(
                f"`{one}` (to add) and `{other}` (absolute) exclude each other. "
                f"Received: {one}={given[one]}, {other}={given[other]}"
            )
    if all(value is None for value in given.values()):
        raise ValueError("fit needs a bound: one of steps, max_steps, episodes, max_episodes. Received: none")
    return _bound(counters.timesteps, steps, max_steps), _bound(counters.episodes, episodes, max_episodes)


def _bound(done: int, more: Any, most: Any) -> float:
    if more is not None:
        return done + int(more)
    return math.inf if most is None else int(most)


def check_epochs(initial: Any, env: Any, validation_env: Any, episodes: Any, frequency: Any) -> None:
    """Raises:
    ValueError: Of `initial_epoch`, `validation_env`, `validation_episodes` or `validation_freq`.
    """
    if isinstance(initial, bool) or not isinstance(initial, numbers.Integral) or initial < 0:
        raise ValueError(f"`initial_epoch` must be an integer >= 0. Received: {initial!r}")
    inner = getattr(env, "unwrapped", None)
    if inner is not None and inner is getattr(validation_env, "unwrapped", None):
        raise ValueError(
            "`validation_env` must be another environment than `env`: validation would break off the episode that "
            f"training is in. Make a second one, or pass an id or a callable. Received: {env!r} for both"
        )
    check_count(episodes, "validation_episodes")
    if not isinstance(frequency, list | tuple | set | range):
        check_count(frequency, "validation_freq")


def is_among(epoch: int, frequency: int | Collection[int]) -> bool:
    """Whether epoch number `epoch`, from 0, is every `frequency`-th, or among those listed, from 1."""
    if isinstance(frequency, numbers.Integral):
        return (epoch + 1) % int(frequency) == 0
    return (epoch + 1) in frequency  # type: ignore[operator]
