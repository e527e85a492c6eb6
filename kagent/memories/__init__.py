"""Experience as tf.data: NumPy ring storage that serves `tf.data.Dataset`s."""

from kagent.config import moved
from kagent.memories.episodes import RecentEpisodes, ReplayEpisodes
from kagent.memories.hindsight import Hindsight
from kagent.memories.identifiers import get
from kagent.memories.memory import MEMORIES, Memory
from kagent.memories.prioritized import Prioritized
from kagent.memories.recent import Recent
from kagent.memories.replay import Replay
from kagent.memories.replay_sequences import ReplaySequences
from kagent.memories.rollout import Rollout
from kagent.memories.sizing import required_capacity, resolve
from kagent.memories.transition import Transition

__all__ = [
    "MEMORIES",
    "Hindsight",
    "Memory",
    "Prioritized",
    "Recent",
    "RecentEpisodes",
    "Replay",
    "ReplayEpisodes",
    "ReplaySequences",
    "Rollout",
    "Transition",
    "get",
    "required_capacity",
    "resolve",
]

__getattr__ = moved.attributes(
    __name__,
    {
        "RecentRecords": "kagent.estimators.records:RecentRecords",
        "ReplayRecords": "kagent.estimators.records:ReplayRecords",
        "suit": "kagent.memories.sizing:resolve",
    },
)
