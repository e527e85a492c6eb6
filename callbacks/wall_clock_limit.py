"""Train for an hour, however many timesteps that makes."""

from __future__ import annotations

import time

import kagent


class WallClockLimit(kagent.callbacks.Callback):
    """Ends training after so much time, in mid-episode; the agent is whole and a later `fit` goes on from there.

    Time is looked at after every timestep, so that neither long epochs nor long episodes overrun it; an update or a
    validation under way is finished first.

    Args:
        seconds: Time from the beginning of `fit`.

    Example:

    >>> agent.fit("CartPole-v1", steps=10_000_000, callbacks=[WallClockLimit(3600)])
    """

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds = seconds

    def on_train_begin(self, logs=None):
        self.end = time.monotonic() + self.seconds

    def on_timestep_end(self, timestep, logs=None):
        if time.monotonic() >= self.end:
            self.model.stop_training = True
