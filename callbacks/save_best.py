"""Keep the best agent of a run, judged over episodes rather than epochs."""

from __future__ import annotations

import os
from collections import deque

import kagent


class SaveBest(kagent.callbacks.Callback):
    """Saves the agent whenever the mean return of the latest episodes is higher than ever before in this run.

    `keras.callbacks.ModelCheckpoint(save_best_only=True)` compares epochs; a short peak within one escapes it.

    Args:
        path: A `.keras` file; overwritten by each better agent.
        window: Number of latest episodes that are compared; with fewer nothing is saved.
        patience: Episodes between two saves at least, so that a steep rise does not save at every one.

    Attributes:
        best: Highest mean so far; -inf before the first.

    Example:

    >>> agent.fit("CartPole-v1", steps=50_000, callbacks=[SaveBest("best.keras", window=20)])
    """

    def __init__(self, path: str | os.PathLike[str], window: int = 20, patience: int = 10):
        super().__init__()
        self.path, self.patience = path, patience
        self.returns: deque[float] = deque(maxlen=window)

    def on_train_begin(self, logs=None):
        self.returns.clear()
        self.best = -float("inf")
        self.wait = self.patience

    def on_episode_end(self, episode, logs=None):
        self.returns.append(logs["episode_return"])
        self.wait += 1
        if len(self.returns) < self.returns.maxlen or self.wait <= self.patience:
            return
        mean = sum(self.returns) / len(self.returns)
        if mean > self.best:
            self.best, self.wait = mean, 0
            self.model.save(self.path)
