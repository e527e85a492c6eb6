"""Returns that environments record themselves."""

from __future__ import annotations

import functools

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics, TransformReward
from toy_envs import Counter

from kagent import environments
from kagent.environments.episode_records import recorded_return, recorded_returns


def recording(offset=0, lengths=(2, 3)):
    return TransformReward(RecordEpisodeStatistics(Counter(lengths, offset=offset)), lambda reward: reward / 2)


# Episode e of length n pays the sum of 100 e + t: 0 + 1; 100 + 101 + 102; 200 + 201.
RETURNS = [1.0, 303.0, 401.0]


def walk(envs, steps=9):
    envs.reset()
    found = []
    for _ in range(steps):
        transition = envs.step([np.zeros(envs.num_envs, np.int64)])
        assert set(transition.recorded) <= set(transition.ended)
        found += [(row, transition.recorded.get(row)) for row in transition.ended]
    return found


def test_of_single_envs():
    envs = environments.make(lambda: recording(), n_envs=2)
    assert walk(envs, 7) == [(row, value) for value in RETURNS for row in (0, 1)]


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("vector", [SyncVectorEnv, functools.partial(AsyncVectorEnv, context="fork")])
def test_inside_a_vector_env(mode, vector):
    functions = [recording, functools.partial(recording, 1, (4,))]
    envs = environments.make(lambda: vector(functions, autoreset_mode=mode))
    found = walk(envs)
    envs.close()
    assert [value for row, value in found if row == 0] == RETURNS
    assert [value for row, value in found if row == 1] == [6.0, 406.0]


OLD = tuple(map(int, gymnasium.__version__.split(".")[:2])) < (1, 4)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, *([] if OLD else [AutoresetMode.SAME_STEP])])
def test_around_a_vector_env(mode):
    functions = [functools.partial(Counter, (2, 3)), functools.partial(Counter, (4,), offset=1)]
    base = gymnasium.wrappers.vector.RecordEpisodeStatistics(SyncVectorEnv(functions, autoreset_mode=mode))
    found = walk(environments.make(gymnasium.wrappers.vector.TransformReward(base, lambda reward: reward / 2)))
    assert [value for row, value in found if row == 0] == RETURNS


def test_around_a_vector_env_of_mode_same_step_they_are_not_read_before_gymnasium_1_4(monkeypatch):
    """There the wrapper gives 203 and 201 in place of 303 and 401."""
    monkeypatch.setattr(gymnasium, "__version__", "1.3.0")
    functions = [functools.partial(Counter, (2, 3)), functools.partial(Counter, (4,), offset=1)]
    base = SyncVectorEnv(functions, autoreset_mode=AutoresetMode.SAME_STEP)
    with pytest.warns(UserWarning, match=r"of gymnasium 1\.3\.0 loses its sums at the resets of mode SAME_STEP"):
        envs = environments.make(gymnasium.wrappers.vector.RecordEpisodeStatistics(base))
    found = walk(envs)
    assert len(found) == 5 and {value for _, value in found} == {None}


def test_around_a_vector_env_of_mode_disabled_they_are_not_read():
    """There gymnasium's wrapper restarts all its sums whenever one environment is reset."""
    functions = [functools.partial(Counter, (2, 3)), functools.partial(Counter, (4,), offset=1)]
    base = SyncVectorEnv(functions, autoreset_mode=AutoresetMode.DISABLED)
    with pytest.warns(UserWarning, match="loses its sums at the resets of mode DISABLED"):
        envs = environments.make(gymnasium.wrappers.vector.RecordEpisodeStatistics(base))
    assert {value for _, value in walk(envs)} == {None}


@pytest.mark.parametrize(
    ("info", "value"),
    [
        ({"episode": {"r": 3, "l": 2}}, 3.0),
        ({"episode": {"r": np.float32(2.5)}}, 2.5),
        ({"episode": {"r": np.array([4.0])}}, 4.0),
        ({"episode": {"r": np.array([4.0, 5.0])}}, None),
        ({"episode": {"r": "much"}}, None),
        ({"episode": {"r": np.nan}}, None),
        ({"episode": {"l": 2}}, None),
        ({"episode": 7}, None),
        ({}, None),
        (None, None),
    ],
)
def test_what_counts_as_a_record(info, value):
    assert recorded_return(info) == value


def test_infos_of_other_shapes():
    rows = np.array([True, False])
    assert recorded_returns({"episode": {"r": np.array([1.0, 2.0])}, "_episode": rows}, [0, 1]) == {0: 1.0}
    assert recorded_returns({"episode": {"r": np.array([1.0, 2.0]), "_r": ~rows}}, [0, 1]) == {1: 2.0}
    listed = {"final_info": np.array([None, {"episode": {"r": 5.0}}], object)}
    assert recorded_returns(listed, [0, 1]) == {1: 5.0}
    assert recorded_returns(None, [0]) == recorded_returns({"episode": 3, "final_info": None}, [0]) == {}
