"""When the agent learns, and from how much."""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
from typing import Any

from kagent import schedules
from kagent.config.checks import check_count
from kagent.config.registry import Part, Registry
from kagent.config.signatures import check_known
from kagent.schedules import Clock, Schedule, is_schedule

_MOST_ROWS, _MOST_STEPS = 1 << 31, 1 << 20  # of an update; they are drawn before it
UNITS = ("timesteps", "episodes")
UPDATES = Registry("update")


@UPDATES.register()
@dataclasses.dataclass(frozen=True)
class Update(Part):
    """The update rule: first at `max(start, batch_size)` units, then every `frequency` units.

    Args:
        unit: What `batch_size`, `frequency` and `start` count, over all environments: `"timesteps"` (environment steps)
            or `"episodes"` (finished ones). Of a step in which several environments finish, every due update is made.
        batch_size: Units in one minibatch: so many timesteps, or all timesteps of so many episodes.
        frequency: An update is due every so many units; a float in (0, 1] is a part of the batch size, "never" leaves
            it to `agent.update()`. None: every `batch_size` units, or where the memory is a rollout whenever it is full.
            May be a schedule, of units (rounded): at each update it says how long it is to the next.
        start: No update before so many units, nor before a batch is there; until then the agent only collects.
        steps: Gradient steps per update, each on its own minibatch (replay memories). Default: 1.
        epochs: Passes over the experience of an update (rollouts, and memories of recent experience, whose every pass
            is one gradient step on the whole batch); excludes `steps`.
        episode_ends: Whether an update is also made at the end of every episode, at most one at a timestep. Those of
            `frequency` are then at its multiples. For unit "timesteps".

    Raises:
        ValueError: A value outside its range, or both of `steps` and `epochs`.

    Example:

    >>> Update(batch_size=32, frequency=0.25, start=100).period
    8
    >>> rule = Update(unit="episodes", batch_size=3, frequency=2, start=5)  # at 5, 7, 9 ... finished episodes
    >>> rule.first, rule.period
    (5, 2)
    >>> rule = Update(batch_size=8, frequency=4, start=9, episode_ends=True)  # at 12, 16, 20 ... and where episodes end
    >>> rule.first, rule.origin
    (9, 12)
    """

    unit: str = "timesteps"
    batch_size: int = 32
    frequency: Any = None
    start: int = 0
    steps: int | None = None
    epochs: int | None = None
    episode_ends: bool = False

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"`update.unit` must be 'timesteps' or 'episodes'. Received: {self.unit!r}")
        if self.steps is not None and self.epochs is not None:
            raise ValueError(f"`update` takes steps or epochs, not both. Received: {self.steps}, {self.epochs}")
        if self.steps is None and self.epochs is None:
            object.__setattr__(self, "steps", 1)
        for name, least, most in (
            ("batch_size", 1, _MOST_ROWS), ("start", 0, 2**63 - 1), ("steps", 1, _MOST_STEPS), ("epochs", 1, _MOST_STEPS)
        ):  # fmt: skip
            value = getattr(self, name)
            if value is None and name in ("steps", "epochs"):
                continue
            object.__setattr__(self, name, check_count(value, f"update.{name}", least, most))
        object.__setattr__(self, "frequency", _frequency(self.frequency))
        if not isinstance(self.episode_ends, bool):
            raise ValueError(f"`update.episode_ends` must be True or False. Received: {self.episode_ends!r}")
        if self.episode_ends and self.unit != "timesteps":
            raise ValueError(f"`update.episode_ends` needs update.unit='timesteps'. Received: {self.unit!r}")
        if self.episode_ends and self.is_scheduled:
            raise ValueError(f"`update.episode_ends` needs an update.frequency that stays. Received: {self.frequency}")

    # Asked for at every timestep, hence cached.

    @functools.cached_property
    def is_scheduled(self) -> bool:
        """Whether the frequency is a schedule."""
        return isinstance(self.frequency, Schedule)

    @functools.cached_property
    def first(self) -> int:
        """Units before which no update is due."""
        return max(self.start, self.batch_size)

    @functools.cached_property
    def period(self) -> float:
        """Units from one update to the next, of a schedule at first; infinite where none is due by itself."""
        return self.period_at(Clock())

    def period_at(self, clock: Clock) -> float:
        """Units from an update at this time to the next."""
        if isinstance(self.frequency, Schedule):
            result: float = round(self.frequency(clock))
            return result
        if self.frequency is None:
            return self.batch_size
        if isinstance(self.frequency, str):
            return math.inf
        share = isinstance(self.frequency, float)
        return max(1, int(self.frequency * self.batch_size)) if share else self.frequency

    @functools.cached_property
    def origin(self) -> float:
        """Units at which the first update by `frequency` is due."""
        if not self.episode_ends or self.period == math.inf:
            return self.first
        return -(-self.first // self.period) * self.period

    def passed(self, units: int) -> int:
        """How many updates by `frequency` have come due when so many units have passed."""
        behind = units - self.origin
        return 0 if self.period == math.inf or behind < 0 else int(behind // self.period) + 1


def _frequency(value: Any) -> Any:
    if is_schedule(value):
        return schedules.get(value, "update.frequency", 1.0)
    if value is None or (isinstance(value, str) and value == "never"):
        return value
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        if int(value) >= 1:
            return int(value)
    elif isinstance(value, numbers.Real) and not isinstance(value, bool) and 0.0 < float(value) <= 1.0:
        return float(value)
    raise ValueError(
        "`update.frequency` must be an integer >= 1, a part of the batch size in (0.0, 1.0], a schedule, 'never' or "
        f"None. "
        f"Received: {value!r}"
    )


def get(identifier: Any) -> Update:
    """An `Update` from an object, a dict of its arguments (`unit` and `batch_size` among them), or an int: the batch size
    in timesteps.
    """
    if isinstance(identifier, numbers.Integral) and not isinstance(identifier, bool):
        return Update(batch_size=int(identifier))
    if isinstance(identifier, dict) and "type" not in identifier:
        check_known(identifier, [field.name for field in dataclasses.fields(Update)], "`update`", "argument")
        missing = sorted({"unit", "batch_size"} - set(identifier))
        if missing:
            raise ValueError(f"`update` needs {missing}. Received: {identifier}")
        identifier = {"type": "Update", **identifier}
    result: Update = UPDATES.get(identifier, "update")
    return result
