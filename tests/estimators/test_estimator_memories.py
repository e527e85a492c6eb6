"""Polyaxon's names for memories of records."""

import gymnasium
import pytest

from kagent.estimators.memories import BatchMemory, Memory

SPACES = gymnasium.spaces


def test_names_and_defaults():
    memory = Memory()
    assert (memory.capacity, memory.batch_size, memory.saved) == (1000, 32, True)
    assert (BatchMemory().capacity, BatchMemory().batch_size) == (5000, 5000)
    with pytest.raises(ValueError, match=r"`memory\.size` must be an integer >= 1. Received: 0"):
        Memory(size=0)
    for memory in (Memory(4, 2), BatchMemory(4)):
        memory.build(SPACES.Box(-1, 1, (2,)), SPACES.Discrete(3, start=1))
        memory.step(state=[0.5, 0.5], action=1, reward=2.0, done=True, next_state=[1.0, 0.0])
        found = memory.get_by_index(0)
        assert found["next_state"].tolist() == [1.0, 0.0] and found["state"].tolist() == [0.5, 0.5]
