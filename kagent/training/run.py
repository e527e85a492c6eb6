"""The run that an agent is in, or was in last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kagent.training.own_callbacks import Counts

if TYPE_CHECKING:
    from kagent.training.trainer import Trainer


class Run:
    """What a `fit` leaves behind for the next one, and for files.

    Attributes:
        trainer: Of the running `fit`, or None.
        origin: Counts from which the running or last `fit` counts its bounds.
        open_episodes: Of the last `fit`, or of a file: what `Collector.start` goes on with; None: all environments are reset.
        known: Returns and losses that the last epoch ended with, or None.
        refuses_divergence: Whether a loss that is not finite is an error.
    """

    def __init__(self) -> None:
        self.trainer: Trainer | None = None
        self.origin = Counts()
        self.open_episodes: dict[str, Any] | None = None
        self.known: dict[str, Any] | None = None
        self.refuses_divergence = True

    def leave_episodes(self, begun: bool = False) -> None:
        """Leaves the open episodes of the last `fit`: the next one resets its environments, and they are not counted.

        Args:
            begun: Whether to stay with them where none has had a timestep yet.
        """
        if not begun or self.open_episodes is None or np.any(self.open_episodes["lengths"]):
            self.open_episodes = None
