"""Experience as tf.data: NumPy ring storage that serves `tf.data.Dataset`s."""

from kagent.memories.capacity import required_capacity, suit
from kagent.memories.episodes import RecentEpisodes, ReplayEpisodes
from kagent.memories.memory import MEMORIES, Memory, get
from kagent.memories.prioritized import Prioritized
from kagent.memories.recent import Recent
from kagent.memories.records import RecentRecords, ReplayRecords
from kagent.memories.replay import Replay
from kagent.memories.rollout import Rollout

__all__ = [
    "MEMORIES",
    "Memory",
    "Prioritized",
    "Recent",
    "RecentEpisodes",
    "RecentRecords",
    "Replay",
    "ReplayEpisodes",
    "ReplayRecords",
    "Rollout",
    "get",
    "required_capacity",
    "suit",
]
