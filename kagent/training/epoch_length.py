"""How long offline training is, for what moves by its progress."""

from __future__ import annotations

from typing import Any

import keras

from kagent.config.run_length import Bounds

_LONG = 2.0**53  # gradient steps of epochs of unknown length: progress stays at its beginning


class EpochLength(keras.callbacks.Callback):
    """Sets an agent's bound to the gradient steps that its epochs of a dataset will take.

    Where the dataset does not say how long it is, its first epoch does.

    Args:
        agent: Which.
        epochs: How many there are.
        size: Elements of each, one gradient step each; negative: unknown.
    """

    def __init__(self, agent: Any, epochs: int, size: int):
        super().__init__()
        self.agent, self.begun = agent, agent.updates
        self.epochs, self.done = max(0, epochs), 0
        self._bound(float(size) if size >= 0 else _LONG)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.done += 1
        self._bound((self.agent.updates - self.begun) / self.done)

    def _bound(self, size: float) -> None:
        self.agent._clock.bounds = Bounds(updates=self.begun + size * self.epochs)
