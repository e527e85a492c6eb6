"""Observations and rewards on their way to an agent, without one."""

import numpy as np
import pytest
from gymnasium import spaces
from toy_envs import Counter

from kagent import environments
from kagent.files.json_arrays import dump, load
from kagent.preprocessing.adapter import Adapter
from kagent.preprocessing.environments import Preprocessed
from kagent.schedules import Clock
from kagent.spaces import Structure

SPACE = spaces.Box(-10, 10, (2,), np.float32)
SPEC = {"float": {"type": "sequence", "length": 2}, "reward": {"type": "scale", "scale": 3}}


def adapter(spec, streams=1):
    return Adapter(spec, Structure(SPACE, "observation_space"), streams, Clock)


def row(value):
    return [np.full((1, 2), value, np.float32)]


def test_without_preprocessing_everything_passes():
    made = adapter(None)
    assert made.observation is made.raw and made.state() is None and not made.differs(None)
    leaves = row(1.0)
    assert made.see(leaves, True, 0) is leaves and made.advance(2.0, leaves, False, 0) == (2.0, leaves)
    assert made.first(leaves)[0] is leaves[0]
    envs = environments.SingleEnvs([Counter()])
    assert made.environments(envs, True) is envs
    assert isinstance(adapter(SPEC).environments(envs, True), Preprocessed)


def test_streams_have_episodes_of_their_own():
    made = adapter(SPEC, streams=2)
    assert made.observation.leaves[0].shape == (4,)
    assert made.see(row(1.0), True, 0)[0].tolist() == [[1, 1, 1, 1]]
    reward, leaves = made.advance(2.0, row(2.0), False, 0)
    assert reward == 6.0 and leaves[0].tolist() == [[1, 1, 2, 2]]
    assert made.see(row(5.0), True, 1)[0].tolist() == [[5, 5, 5, 5]]
    made.restart()
    assert made.see(row(3.0), True, 0)[0].tolist() == [[3, 3, 3, 3]]


def test_a_state_goes_on_once_it_is_checked():
    made, other = adapter(SPEC), adapter(SPEC)
    made.see(row(1.0), True, 0)
    made.advance(0.0, row(2.0), False, 0)
    checked = other.check(load(dump(made.state())))
    assert other.see(row(4.0), True, 0)[0].tolist() == [[4, 4, 4, 4]]  # nothing is taken yet
    other.restore(checked)
    assert other.advance(0.0, row(3.0), False, 0)[1][0].tolist() == [[2, 2, 3, 3]]
    with pytest.raises(ValueError, match="The file's `preprocessing` is not the agent's"):
        adapter(None).check(made.state())
    with pytest.raises(ValueError, match=r"other parallel_interactions\. The agent's: 2"):
        adapter(SPEC, streams=2).check(made.state())


def test_an_observation_is_read_in_the_form_of_the_environment():
    leaves, masks = adapter(SPEC).read(_Unmasked(), [1.0, 2.0], None)
    assert masks is None and leaves[0].tolist() == [[1, 2]] and leaves[0].dtype == np.float32
    with pytest.raises(ValueError, match=r"shape"):
        adapter(SPEC).read(_Unmasked(), [1.0, 2.0, 3.0, 4.0], None)


class _Unmasked:
    def read_mask(self, observation, mask):
        return mask


def test_a_state_of_open_episodes_is_checked_where_there_is_preprocessing():
    adapter(None).check_open(None, 1)
    with pytest.raises(ValueError, match="preprocessed environments must have"):
        adapter(SPEC).check_open(None, 1)
