"""How far an agent has come, and how far its run is to go: what its schedules read."""

from __future__ import annotations

import warnings
from typing import Any

from kagent import bounds
from kagent.mixin import Mixin
from kagent.schedules import Clock
from kagent.signatures import answering


class Counters:
    """How far an agent has come. Apart from the model, whose attributes Keras watches at every assignment.

    Attributes:
        timesteps, episodes, updates: See `Agent`.
        performed: Updates that were due by the rule's frequency and are done, skipped ones included.
        drawn: Elements taken from the memory's dataset.
        waited: Units that lie between due updates done and those after them, where their frequency is a schedule.
        targets_moved: Timesteps at the last move of the targets.
        ended: Episodes at whose ends updates were done or skipped.
    """

    __slots__ = ("drawn", "ended", "episodes", "performed", "targets_moved", "timesteps", "updates", "waited")

    def __init__(self) -> None:
        self.timesteps = self.episodes = self.updates = 0
        self.performed = self.drawn = self.targets_moved = self.waited = self.ended = 0


class Unbounded:
    """Warns once that a schedule measures the progress of a run without a bound."""

    def __init__(self) -> None:
        self.warned = False

    def warn(self) -> None:
        """Warns, the first time."""
        if not self.warned:
            self.warned = True
            warnings.warn(
                "A schedule measures the progress of a run that has no bound, and keeps its first value for ever (an "
                "epsilon of 1 explores at random). Say how long the run is, in a loop of act and observe with "
                "`agent.begin(steps=...)` (or episodes=..., updates=...), or give the schedule its length in timesteps, "
                "episodes or updates.",
                stacklevel=2,
            )


class UnboundedClock(Clock):
    """The time of a run without a bound: reading its progress, which is 0, warns."""

    unbounded: Unbounded | None = None

    @property
    def progress(self) -> Any:
        if self.unbounded is not None:
            self.unbounded.warn()
        return self[Clock._fields.index("progress")]

    def _replace(self, **changes: Any) -> UnboundedClock:
        return watched(super()._replace(**changes), self.unbounded)


def watched(clock: Clock, unbounded: Unbounded | None) -> UnboundedClock:
    """The same time as an `UnboundedClock`."""
    found = UnboundedClock(*clock)
    found.unbounded = unbounded
    return found


class Counting(Mixin):
    """The part of an agent that counts. A mixin of `Agent`."""

    def _begin_counting(self) -> None:
        self.counters = Counters()
        self._bounds = bounds.Bounds()  # of the running or last run, in absolute counts
        self._unbounded = Unbounded()
        self.program_clock: Clock | None = None

    @property
    def timesteps(self) -> int:
        """Environment steps taken in training, over all environments."""
        return self.counters.timesteps

    @property
    def episodes(self) -> int:
        """Episodes finished in training."""
        return self.counters.episodes

    @property
    def updates(self) -> int:
        """Gradient steps taken. Those that an optimizer refused, where nothing else was learned, are none."""
        return self.counters.updates

    @answering()
    def begin(
        self,
        steps: int | None = None,
        *,
        episodes: int | None = None,
        updates: int | None = None,
        max_steps: int | None = None,
        max_episodes: int | None = None,
        max_updates: int | None = None,
    ) -> None:
        """Says how long a loop of `act` and `observe` will be, so that schedules by progress move in it.

        Nothing ends when the bound is reached: the loop is the user's own, and progress is 1 from there on. `fit` sets
        its own bounds; those of the last call of either hold, and are saved with the agent.

        Args:
            steps, episodes, updates: Timesteps, finished episodes or gradient steps to come, as for `fit`. Of several,
                the one that is used up most is the progress.
            max_steps, max_episodes, max_updates: The same as absolute bounds.

        Raises:
            ValueError: No bound, two for one unit, or one that is not an integer >= 0.
            RuntimeError: A `fit` of the agent is running: it has its own bounds.

        Example:

        >>> agent = kagent.DQN("CartPole-v1", seed=0)
        >>> agent.begin(steps=10_000)  # epsilon falls over the first 1,000 of them
        """
        self.occupation.refuse("begin")
        given = {
            "steps": steps, "episodes": episodes, "updates": updates,
            "max_steps": max_steps, "max_episodes": max_episodes, "max_updates": max_updates,
        }  # fmt: skip
        self._bounds = bounds.of_run("begin", self.counters, **given)

    # Time ------------------------------------------------------------------------------------------------------

    @property
    def progress_target(self) -> bounds.Bounds:
        """Bounds of the running (or last) run in absolute timesteps, episodes and updates; infinite where there is none."""
        return self._bounds

    def progress_at(self, timesteps: int) -> float:
        """The largest part used of any of the run's bounds at `timesteps`, 0 to 1; 0 without a bound."""
        return self._bounds.used(timesteps, self.counters.episodes, self.counters.updates)

    @property
    def host_clock(self) -> Clock:
        """The time now, as numbers."""
        counters = self.counters
        return Clock(counters.timesteps, counters.episodes, counters.updates, self.progress_at(counters.timesteps))

    def clock_at(self, timesteps: int) -> Clock:
        """The time at `timesteps` for what steers training: a schedule by progress that stands still warns."""
        counters, bound = self.counters, self._bounds
        progress = bound.used(timesteps, counters.episodes, counters.updates)
        clock = Clock(timesteps, counters.episodes, counters.updates, progress)
        return watched(clock, self._unbounded) if progress == 0.0 and bound == bounds.ENDLESS else clock

    @property
    def training_clock(self) -> Clock:
        """`clock_at` now."""
        return self.clock_at(self.counters.timesteps)

    @property
    def clock(self) -> Clock:
        """The time now: tensors inside the learner's program, numbers elsewhere."""
        if self.program_clock is None:
            return self.host_clock
        return watched(self.program_clock, self._unbounded) if self._bounds == bounds.ENDLESS else self.program_clock
