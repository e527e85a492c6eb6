"""Keras callbacks that know agents: their episodes and timesteps, their state."""

import keras  # noqa: F401  (first: with Keras come kagent's agents, and they need what follows)

from kagent.callbacks.callback import Callback
from kagent.callbacks.checkpoint import Checkpoint
from kagent.callbacks.recorder import Recorder
from kagent.callbacks.summarizer import Summarizer

__all__ = ["Callback", "Checkpoint", "Recorder", "Summarizer"]
