"""How far an agent has come, and how far its run is to go: what its schedules read."""

from __future__ import annotations

import warnings
from typing import Any

import tensorflow as tf

from kagent.config import run_length
from kagent.schedules import Clock
from kagent.training.random_streams import RandomStreams


class Counters:
    """How far an agent has come. Apart from the model, whose attributes Keras watches at every assignment.

    Attributes:
        timesteps, episodes, gradient_steps: See `Agent`.
        due_updates_done: Updates that were due by the rule's frequency and are done, skipped ones included.
        batches_drawn: Elements taken from the memory's dataset.
        units_waited: Units between due updates done and those after them, where their frequency is a schedule.
        targets_moved: Timesteps at the last move of the targets.
        episodes_handled: Episodes at whose ends updates were done or skipped.
    """

    __slots__ = (
        "batches_drawn", "due_updates_done", "episodes", "episodes_handled", "gradient_steps", "targets_moved", "timesteps",
        "units_waited",
    )  # fmt: skip

    def __init__(self) -> None:
        self.timesteps = self.episodes = self.gradient_steps = 0
        self.due_updates_done = self.batches_drawn = self.units_waited = 0
        self.targets_moved = self.episodes_handled = 0

    @property
    def updates(self) -> int:
        """`gradient_steps`, by the name of the unit that bounds and schedules have for them."""
        return self.gradient_steps


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


class TrainingClock:
    """What time it is for schedules: the counters, and the part of the run's bounds that is used.

    Args:
        counters: Of the agent. They are read.
        streams: Of the agent: their `graph_seed` is that of schedules and explorations without one of their own. It is a
            constant of the learner's program already, and a file restores it.

    Attributes:
        bounds: Of the running or last run, in absolute counts; infinite where there is none.
        program: The time as tensors, while the learner's program is traced or runs eagerly (`enter`); None outside.
    """

    def __init__(self, counters: Counters, streams: RandomStreams):
        self.bounds = run_length.ENDLESS
        self.program: Clock | None = None
        self._counters, self._streams, self._unbounded = counters, streams, Unbounded()

    def progress_at(self, timesteps: int) -> float:
        """The largest part used of any of the run's bounds at `timesteps`, 0 to 1; 0 without a bound."""
        return self.bounds.used(timesteps, self._counters.episodes, self._counters.gradient_steps)

    def host(self) -> Clock:
        """The time now, as numbers."""
        counters = self._counters
        progress = self.progress_at(counters.timesteps)
        return Clock(counters.timesteps, counters.episodes, counters.gradient_steps, progress, self._streams.graph_seed)

    def at(self, timesteps: int) -> Clock:
        """The time at `timesteps` for what steers training: a schedule by progress that stands still warns."""
        counters, bounds = self._counters, self.bounds
        progress = bounds.used(timesteps, counters.episodes, counters.gradient_steps)
        clock = Clock(timesteps, counters.episodes, counters.gradient_steps, progress, self._streams.graph_seed)
        return watched(clock, self._unbounded) if progress == 0.0 and bounds == run_length.ENDLESS else clock

    def times(self) -> tuple[float, ...]:
        """The time now as numbers alone, in the order of `Clock`: what `of_times` takes as a tensor."""
        return self.host()[:-1]

    def of_times(self, times: Any) -> Clock:
        """The time in the learner's program, of a float64 tensor of `times`."""
        timesteps, episodes, updates, progress = tf.unstack(times)
        return Clock(timesteps, episodes, updates, progress, self._streams.graph_seed)

    def training(self) -> Clock:
        """`at` the timesteps of now."""
        return self.at(self._counters.timesteps)

    def enter(self, clock: Clock) -> None:
        """Makes `clock`, the time as tensors, that of the learner's program; `leave` ends it."""
        self.program = watched(clock, self._unbounded) if self.bounds == run_length.ENDLESS else clock

    def leave(self) -> None:
        """Ends the time of the program, whose tensors mean nothing outside."""
        self.program = None
