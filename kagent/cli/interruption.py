"""Ctrl-C once stops training cleanly, twice at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

import keras

# Seconds in which signals are one: a supervisor forwards a Ctrl-C that the terminal has sent to the whole group already.
_ONE = 0.5


class Interruption(keras.callbacks.Callback):
    """While entered as a context, a first SIGINT or SIGTERM sets `agent.stop_training`, a second interrupts.

    Signals within half a second of the first are one with it.

    It must also be among the callbacks of `fit`, which sets `stop_training` to False when it begins.

    Args:
        agent: The agent whose training is to stop.

    Attributes:
        received: Number of the signal that came, or None.
    """

    def __init__(self, agent: Any):
        super().__init__()
        self.agent = agent
        self.received: int | None = None
        self._when = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # Python lets no other thread do this
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous = {}

    def on_train_begin(self, logs: Any = None) -> None:
        self._apply()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._apply()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._apply()

    def _apply(self) -> None:
        if self.received is not None:
            self.agent.stop_training = True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.received is not None:
            if now - self._when >= _ONE:
                raise KeyboardInterrupt
            return
        self.received, self._when = number, now
        self._apply()
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"\nStopping: the agent will be saved. Once more to stop at once, without saving.\n")
