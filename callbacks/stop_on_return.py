"""Stop as soon as the task counts as solved."""

from __future__ import annotations

from collections import deque

import kagent


class StopOnReturn(kagent.callbacks.Callback):
    """Ends training when the mean return of the latest episodes reaches a threshold, in mid-epoch.

    `keras.callbacks.EarlyStopping` stops where nothing improves; this stops where nothing is left to improve.

    Args:
        threshold: Mean return to reach.
        window: Number of latest episodes it is the mean of; with fewer it does not stop.

    Attributes:
        stopped_at: Timestep at which it stopped training, or None.

    Example:

    >>> agent.fit("CartPole-v1", steps=100_000, callbacks=[StopOnReturn(475, window=100)])
    """

    def __init__(self, threshold: float, window: int = 100):
        super().__init__()
        self.threshold = threshold
        self.returns: deque[float] = deque(maxlen=window)
        self.stopped_at: int | None = None

    def on_train_begin(self, logs=None):
        self.returns.clear()
        self.stopped_at = None

    def on_episode_end(self, episode, logs=None):
        self.returns.append(logs["episode_return"])
        full = len(self.returns) == self.returns.maxlen
        if full and sum(self.returns) / len(self.returns) >= self.threshold:
            self.stopped_at = self.model.timesteps
            self.model.stop_training = True
