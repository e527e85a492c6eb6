"""Keras callbacks that know agents: their episodes and timesteps, their state."""

from __future__ import annotations

from typing import Any

import keras

from kagent.callbacks.callback import Callback
from kagent.callbacks.checkpoint import Checkpoint
from kagent.callbacks.episode_log import EpisodeLog
from kagent.callbacks.episode_statistics import EpisodeStatistics
from kagent.callbacks.episode_summaries import EpisodeSummaries
from kagent.callbacks.progress_bar import ProgressBar
from kagent.callbacks.recorder import Recorder
from kagent.callbacks.summarizer import Summarizer
from kagent.callbacks.tensorboard import TensorBoard

__all__ = [
    "Callback",
    "Checkpoint",
    "EpisodeLog",
    "EpisodeStatistics",
    "EpisodeSummaries",
    "ProgressBar",
    "Recorder",
    "Summarizer",
    "TensorBoard",
]


def __getattr__(name: str) -> Any:
    message = f"module 'kagent.callbacks' has no attribute {name!r}"
    if not name.startswith("_") and hasattr(keras.callbacks, name):
        message += f": Keras's own callbacks work as they are, keras.callbacks.{name}"
    raise AttributeError(message)
