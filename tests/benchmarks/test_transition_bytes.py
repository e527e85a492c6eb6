"""Bytes per transition of a full memory: not less than what is in it, and near what its arrays say."""

import numpy as np
import pytest
from gymnasium import spaces

from benchmarks import transition_bytes
from benchmarks.transition_bytes import Kind


@pytest.mark.parametrize("memory", transition_bytes.MEMORIES)
def test_a_full_memory_is_measured(memory):
    kind = Kind(spaces.Box(0, 255, (16, 16), np.uint8), spaces.Discrete(3), 2_000, 10)
    # 256 bytes an observation; action, reward and the flags at least 10.
    assert transition_bytes.once(kind) == 266
    found = transition_bytes.measure(kind, memory)
    assert 266 < found < 2 * 256 + 100


def test_an_observation_of_twice_the_size_is_seen():
    small, large = (
        transition_bytes.measure(Kind(spaces.Box(-1, 1, (size,), np.float32), spaces.Discrete(2), 2_000, 50))
        for size in (64, 128)
    )
    assert 64 * 4 - 1 <= large - small <= 2 * 64 * 4 + 1
