"""How long `fit` goes on, and how it is divided: its arguments, checked."""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection
from typing import Any, NamedTuple

from kagent.arguments import check_count


class Bounds(NamedTuple):
    """Where a run ends, in absolute counts; infinite where it does not."""

    timesteps: float = math.inf
    episodes: float = math.inf
    updates: float = math.inf


def of_fit(counters: Any, **given: Any) -> Bounds:
    """Bounds of `fit`.

    Args:
        counters: `timesteps`, `episodes` and `updates` so far.
        **given: `steps`, `episodes` and `updates` to add, or absolute as `max_steps`, `max_episodes` and `max_updates`.

    Raises:
        ValueError: No bound, two for one unit, or one that is not an integer >= 0 (`max_updates` may be infinite).
    """
    for name, value in given.items():
        endless = name == "max_updates" and isinstance(value, float) and value == math.inf
        whole = isinstance(value, numbers.Integral) or (isinstance(value, float) and value.is_integer())
        if value is not None and not endless and (isinstance(value, bool) or not whole or value < 0):
            raise ValueError(f"`{name}` must be an integer >= 0 or None. Received: {value!r}")
    found = []
    for one, count in (("steps", "timesteps"), ("episodes", "episodes"), ("updates", "updates")):
        more, most = given.get(one), given.get(f"max_{one}")
        check_exclusive(one, more, most)
        found.append(_bound(getattr(counters, count), more, most))
    if all(value is None for value in given.values()):
        raise ValueError(f"fit needs a bound: one of {', '.join(given)}. Received: none")
    return Bounds(*found)


def check_exclusive(name: str, more: Any, most: Any) -> None:
    """Raises:
    ValueError: What is to be added, `name`, is given and an absolute bound, `max_<name>`, too.
    """
    if more is not None and most is not None:
        raise ValueError(
            f"`{name}` (to add) and `max_{name}` (absolute) exclude each other. "
            f"Received: {name}={more}, max_{name}={most}"
        )


def check_bounds(**given: Any) -> None:
    """Bounds by name, of which `max_<name>` is the absolute one of `<name>`.

    Raises:
        ValueError: One that is neither None nor an integer >= 1, or two for one name.
    """
    for name, value in given.items():
        if value is not None:
            check_count(value, name)
        check_exclusive(name, value, given.get(f"max_{name}"))


def _bound(done: int, more: Any, most: Any) -> float:
    if more is not None:
        return done + int(more)
    return math.inf if most is None or most == math.inf else int(most)


def is_episode(steps_per_epoch: Any) -> bool:
    """Whether `steps_per_epoch` of `fit` says that an epoch is an episode."""
    return isinstance(steps_per_epoch, str) and steps_per_epoch == "episode"


def check_epochs(initial: Any, env: Any, validation_env: Any, episodes: Any, frequency: Any) -> None:
    """Raises:
    ValueError: Of `initial_epoch`, `validation_env`, `validation_episodes` or `validation_freq`.
    """
    check_count(initial, "initial_epoch", least=0)
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
