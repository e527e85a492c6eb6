"""Keras callbacks that know agents: their episodes and timesteps, their state."""

from __future__ import annotations

from typing import Any

import keras

from kagent.callbacks.callback import Callback
from kagent.callbacks.checkpoint import Checkpoint
from kagent.callbacks.doctor import Doctor
from kagent.callbacks.episode_csv import EpisodeCSV
from kagent.callbacks.episode_log import EpisodeLog
from kagent.callbacks.episode_statistics import EpisodeStatistics
from kagent.callbacks.progress_bar import ProgressBar
from kagent.callbacks.recorder import Recorder
from kagent.callbacks.summarizer import Summarizer
from kagent.callbacks.tensorboard import TensorBoard
from kagent.config import moved
from kagent.config.module_names import missing

_moved = moved.attributes(__name__, {"EpisodeSummaries": "kagent.estimators.episode_summaries:EpisodeSummaries"})

__all__ = [
    "Callback",
    "Checkpoint",
    "Doctor",
    "EpisodeCSV",
    "EpisodeLog",
    "EpisodeStatistics",
    "ProgressBar",
    "Recorder",
    "Summarizer",
    "TensorBoard",
]


def __getattr__(name: str) -> Any:
    if name == "EpisodeSummaries":
        return _moved(name)
    message = missing(__name__, name)
    if not name.startswith("_") and hasattr(keras.callbacks, name):
        message += f": Keras's own callbacks work as they are, keras.callbacks.{name}"
    raise AttributeError(message)
