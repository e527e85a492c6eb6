"""Experience as tf.data: NumPy ring storage that serves `tf.data.Dataset`s."""

from kagent.memories.memory import MEMORIES, Memory, get
from kagent.memories.replay import Replay
from kagent.memories.rollout import Rollout

__all__ = ["MEMORIES", "Memory", "Replay", "Rollout", "get"]
