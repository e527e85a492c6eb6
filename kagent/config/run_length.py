"""How long a run goes on, and how `fit` divides it: its arguments, checked."""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection
from typing import Any, NamedTuple

from kagent.config.checks import check_count


class Bounds(NamedTuple):
    """Where a run ends, in absolute counts; infinite where it does not."""

    timesteps: float = math.inf
    episodes: float = math.inf
    updates: float = math.inf

    def used(self, timesteps: float, episodes: float, updates: float) -> float:
        """The largest part used of any of them, 0 to 1; 0 where none is finite."""
        if self.episodes == math.inf and self.updates == math.inf:
            return _part(timesteps, self.timesteps)
        parts = zip((timesteps, episodes, updates), self)
        return max(_part(done, bound) for done, bound in parts)


ENDLESS = Bounds()
_EPOCH = 1000  # timesteps of an epoch where nothing says how many


def of_run(caller: str, counters: Any, **given: Any) -> Bounds:
    """Bounds of `fit` or `begin`.

    Args:
        caller: Which, for messages.
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
        raise ValueError(f"{caller} needs a bound: one of {', '.join(given)}. Received: none")
    return Bounds(*found)


def of_fit(
    counters: Any, given: dict[str, Any], steps_per_epoch: Any, epochs: Any, initial_epoch: int
) -> tuple[Bounds, int | str, int]:
    """Bounds of `fit`, and how it is divided.

    Args:
        counters: As of `of_run`.
        given: Bounds by name, as `of_run` takes them.
        steps_per_epoch, epochs, initial_epoch: As of `fit`; the first two may be None.

    Returns:
        The bounds, what an epoch is, and how many there are from `initial_epoch` on, as far as that is known.

    Raises:
        ValueError: As `of_run`, or an argument that is no such number.
    """
    by_episode, number = is_episode(steps_per_epoch), None
    if epochs is not None:
        number = max(0, check_count(epochs, "epochs", least=0) - initial_epoch)
    if not by_episode and steps_per_epoch is not None:
        check_count(steps_per_epoch, "steps_per_epoch")
    free = number is not None and all(value is None for value in given.values())
    end = ENDLESS if free else of_run("fit", counters, **given)
    left = end.timesteps - counters.timesteps
    if by_episode:
        if number is not None:
            end = end._replace(episodes=min(end.episodes, counters.episodes + number))
        return end, steps_per_epoch, 1 if end.episodes == math.inf else max(1, int(end.episodes) - counters.episodes)
    if steps_per_epoch is None:
        steps_per_epoch = _EPOCH if left == math.inf else max(1, math.ceil(left / (number or 10)))
    if number is not None:
        end = end._replace(timesteps=min(end.timesteps, counters.timesteps + number * steps_per_epoch))
        left = end.timesteps - counters.timesteps
    return end, steps_per_epoch, 1 if left == math.inf else max(1, math.ceil(left / steps_per_epoch))


def check_exclusive(name: str, more: Any, most: Any) -> None:
    """Refuses a relative and an absolute bound of one kind together.

    Raises:
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


def _part(done: float, bound: float) -> float:
    return min(done / bound, 1.0) if bound else 1.0


def _bound(done: int, more: Any, most: Any) -> float:
    if more is not None:
        return done + int(more)
    return math.inf if most is None or most == math.inf else int(most)


def is_episode(steps_per_epoch: Any) -> bool:
    """Whether `steps_per_epoch` of `fit` says that an epoch is an episode."""
    return isinstance(steps_per_epoch, str) and steps_per_epoch == "episode"


def check_epochs(initial: Any, env: Any, validation_env: Any, episodes: Any, frequency: Any) -> None:
    """Checks the arguments of `fit` about epochs and validation.

    Raises:
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
