"""The run that an agent is in, or was in last, and how long it is to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kagent.config import run_length
from kagent.config.signatures import answering
from kagent.training.own_callbacks import Counts

if TYPE_CHECKING:
    from kagent.diagnosis.recorded import RecordedSteps
    from kagent.training.trainer import Trainer


class Run:
    """What a `fit` leaves behind for the next one, and for files.

    Attributes:
        trainer: Of the running `fit`, or None.
        origin: Counts from which the running or last `fit` counts its bounds.
        open_episodes: Of the last `fit`, or of a file: what `Collector.start` goes on with; None: all environments are reset.
        known: Returns and losses that the last epoch ended with, or None.
        program: Of the last `fit` of a compiled environment, a `kagent.training.compiled.trainer.Program`; None: there was none.
        recorded_steps: Of a running `fit` of recorded episodes: gives `kagent.diagnosis.recorded.RecordedSteps` of them, trace by
            trace. None: there is none.
        recorded: Transitions that the last `fit` of recorded episodes put into the memory, 0 where there was none.
        refuses_divergence: Whether a loss that is not finite is an error.
    """

    def __init__(self) -> None:
        self.trainer: Trainer | None = None
        self.origin = Counts()
        self.open_episodes: dict[str, Any] | None = None
        self.known: dict[str, Any] | None = None
        self.program: Any = None
        self.recorded_steps: Callable[[], Iterator[RecordedSteps]] | None = None
        self.recorded = 0
        self.refuses_divergence = True

    def take_episodes(self, in_program: bool) -> dict[str, Any] | None:
        """The open episodes, which are then no longer here; None where there are none, or they are not of such environments.

        Args:
            in_program: Whether the environments are those of a program.
        """
        state, self.open_episodes = self.open_episodes, None
        return None if state is None or ("program" in state) is not in_program else state

    def leave_episodes(self, begun: bool = False) -> None:
        """Leaves the open episodes of the last `fit`: the next one resets its environments, and they are not counted.

        Args:
            begun: Whether to stay with them where none has had a timestep yet.
        """
        if not begun or self.open_episodes is None or np.any(self.open_episodes["lengths"]):
            self.open_episodes = None


@answering()
def begin(
    agent: Any,
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
    agent._occupation.refuse("begin")
    given = {
        "steps": steps, "episodes": episodes, "updates": updates,
        "max_steps": max_steps, "max_episodes": max_episodes, "max_updates": max_updates,
    }  # fmt: skip
    agent._clock.bounds = run_length.of_run("begin", agent.counters, **given)
