"""Polyaxon's two memories: kagent's own, under its names."""

from __future__ import annotations

from kagent.config.checks import check_count
from kagent.estimators.records import RecentRecords, ReplayRecords

_STATES = {"observation": "state", "next_observation": "next_state"}


class Memory(ReplayRecords):
    """The latest `size` transitions, of which `batch_size` are drawn at a time: for an `Agent`.

    On its own it stores whatever `step` is given.

    Args:
        size: Transitions, or records, kept.
        batch_size: How many make a sample, and an agent's batch.
        saved: Whether checkpoints carry its content, so that a run that goes on ends where one that was never stopped
            ends. False makes them smaller, and a run that goes on begins with an empty memory, as in Polyaxon.
        seed: Of `sample`. What an agent learns from is drawn with the agent's own seed.

    Raises:
        ValueError: `size` or `batch_size` is not an integer >= 1, or the latter is larger.

    Example:

    >>> memory = Memory(size=3, batch_size=2)
    >>> for i in range(5):
    ...     memory.step(state=i, reward=-i)
    >>> memory.get_by_index(-1)["state"].item(), len(memory), memory.can_sample()
    (4, 3, True)
    """

    keys = _STATES

    def __init__(self, size: int = 1000, batch_size: int = 32, *, saved: bool = True, seed: int = 0):
        super().__init__(check_count(size, "memory.size"), batch_size, saved, seed)


class BatchMemory(RecentRecords):
    """The latest `batch_size` timesteps, all of which are learned from together, once: for `PGAgent` and `TRPOAgent`.

    Args:
        batch_size: Timesteps, or records, kept and handed out.
        saved: As for `Memory`.

    Raises:
        ValueError: `batch_size` is not an integer >= 1.

    Example:

    >>> memory = BatchMemory(batch_size=2)
    >>> for reward in range(3):
    ...     memory.step(reward=reward)
    >>> memory.sample()["reward"].tolist()
    [1, 2]
    """

    keys = _STATES

    def __init__(self, batch_size: int = 5000, *, saved: bool = True):
        super().__init__(batch_size, saved)
