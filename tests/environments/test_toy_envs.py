"""The toy environments keep their promises: everything that is learnt on them is judged by these numbers."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from toy_envs import Identity, KnownQ, TruncationBandit

ACTIONS = [
    spaces.Discrete(3, start=2),
    spaces.MultiDiscrete([3, 2]),
    spaces.MultiBinary(2),
    spaces.Box(-2, 2, (2,)),
    spaces.Box(-np.inf, np.inf, (1,)),
    spaces.Dict(a=spaces.Discrete(4), b=spaces.Box(-1, 1, (2,)), c=spaces.MultiBinary(2)),
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("env", [KnownQ(), *map(Identity, ACTIONS)])
def test_they_follow_gymnasiums_api(env):
    check_env(env, skip_render_check=True)


@pytest.mark.parametrize("space", ACTIONS, ids=str)
def test_the_action_that_the_observation_says_pays_one(space):
    env = Identity(space, length=5)
    observation, _ = env.reset(seed=3)
    for step in range(5):
        assert env.best() == 1
        observation, reward, terminated, truncated, _ = env.step(observation)
        assert reward == 1 and not terminated and truncated == (step == 4)


def test_any_other_discrete_action_pays_nothing():
    env = Identity(spaces.MultiDiscrete([3, 4]))
    target, _ = env.reset(seed=0)
    assert env.step((target + 1) % [3, 4])[1] == 0
    target = env.target
    assert env.step([target[0], (target[1] + 1) % 4])[1] == 0.5


def test_where_the_target_is_forbidden_the_next_value_pays_half():
    env = Identity(spaces.Discrete(4), masks="info", legal=0)
    target, info = env.reset(seed=0)
    for _ in range(9):
        assert not info["action_mask"][target] and env.best() == 0.5
        target, reward, _, _, info = env.step((target + 1) % 4)
        assert reward == 0.5
    with pytest.raises(ValueError, match="illegal action"):
        env.step(target)


def test_a_seed_makes_the_episode_whatever_was_before():
    space = spaces.Dict(a=spaces.Discrete(4), b=spaces.MultiBinary(2))
    first, second = (Identity(space, masks="observation") for _ in range(2))
    first.reset(seed=1)
    for one, other in zip(*([env.reset(seed=8)[0] for _ in range(2)] for env in (first, second))):
        np.testing.assert_equal(one, other)


def test_values_of_known_q_and_of_the_truncation_bandit():
    env = KnownQ()
    state, _ = env.reset(seed=0)
    for action in (0, 1, 2, 1):
        expected = env.q[state, action]
        state, reward, *_ = env.step(action)
        assert reward == expected
    assert TruncationBandit.values(0.75) == (4, 1)
    bandit, seen = TruncationBandit(), set()
    for seed in range(20):
        state, _ = bandit.reset(seed=seed)
        successor, reward, terminated, truncated, _ = bandit.step(0)
        assert reward == 1 and successor.tolist() == state.tolist() == [truncated, terminated]
        seen.add((terminated, truncated))
    assert seen == {(True, False), (False, True)}
