"""Training ends where it has become senseless."""

from __future__ import annotations

import math
from typing import Any

from kagent.callbacks.callback import Callback


class TerminateOnNaN(Callback):
    """Ends training with an error where an update's loss is not finite, before anything of it is saved.

    Keras's `TerminateOnNaN(raise_error=True)` is not enough for agents: it overrides `on_batch_end` alone, which Keras 3.15
    calls on another thread where no other callback listens to batches, so that a checkpoint may be written in between; it
    does not see updates that callbacks ask for; and to tell batches costs as much as a small update. Put this one before
    what saves.

    Raises:
        RuntimeError: At the update.

    Example:

    >>> history = agent.fit("CartPole-v1", steps=300, callbacks=[TerminateOnNaN()], verbose=0)
    """

    def on_update_end(self, update: int, logs: dict[str, Any] | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise RuntimeError(f"The loss is not finite: it is {loss} after update {update}")

    def on_asked_update_end(self, update: int, logs: dict[str, Any] | None = None) -> None:
        self.on_update_end(update, logs)
