"""Keras callbacks that know agents: their episodes and timesteps, their state."""

from kagent.callbacks.callback import Callback
from kagent.callbacks.checkpoint import Checkpoint
from kagent.callbacks.episode_log import EpisodeLog
from kagent.callbacks.episode_statistics import EpisodeStatistics
from kagent.callbacks.episode_summaries import EpisodeSummaries
from kagent.callbacks.recorder import Recorder
from kagent.callbacks.summarizer import Summarizer

__all__ = [
    "Callback",
    "Checkpoint",
    "EpisodeLog",
    "EpisodeStatistics",
    "EpisodeSummaries",
    "Recorder",
    "Summarizer",
]
