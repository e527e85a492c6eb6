"""Bytes per transition of a full memory: what is in it, whether its rows are whole or linked."""

import numpy as np
import pytest
from gymnasium import spaces
from variants import with_few

from benchmarks import transition_bytes
from benchmarks.transition_bytes import Kind


@pytest.mark.thorough
@pytest.mark.parametrize("memory", with_few(transition_bytes.MEMORIES, ("Replay",)))
def test_an_image_is_counted_once_and_at_the_end_of_its_episode(memory):
    kind = Kind(spaces.Box(0, 255, (64, 64), np.uint8), spaces.Discrete(3), 20_000, 10)
    # 4096 bytes an observation; action, reward and the flags at least 10. One in ten has an end; next observations wait.
    assert transition_bytes.once(kind) == 4106
    assert 4106 < transition_bytes.measure(kind, memory) < 1.5 * 4096


def test_small_observations_are_counted_once_too():
    kind = Kind(spaces.Box(-1, 1, (64,), np.float32), spaces.Discrete(2), 100_000, 50)
    assert 64 * 4 < transition_bytes.measure(kind) < 1.5 * 64 * 4
