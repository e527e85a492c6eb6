"""Lists of single environments: what actions they get, what is kept of what they return, and seeds."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from listeners import ACTIONS, Listener, batch, seeds
from toy_envs import Counter

from kagent import environments
from kagent.spaces import Structure


@pytest.mark.parametrize("space", ACTIONS, ids=str)
def test_each_env_gets_its_row_as_the_space_wants_it(space):
    envs = environments.SingleEnvs([Listener(space) for _ in range(3)])
    envs.reset()
    leaves, samples = batch(space, 3)
    before = [leaf.copy() for leaf in leaves]
    envs.step(leaves)
    structure = Structure(space)
    for env, sample in zip(envs.envs, samples):
        for got, expected in zip(structure.flatten(env.actions[0]), structure.flatten(sample)):
            np.testing.assert_array_equal(got, expected)
    for leaf, same in zip(leaves, before):
        np.testing.assert_array_equal(leaf, same)  # the environment spoils what it was given, not ours


def test_a_discrete_action_is_a_python_int():
    envs = environments.SingleEnvs([Listener(spaces.Discrete(3))])
    envs.reset()
    envs.step([np.array([2], np.int64)])
    assert type(envs.envs[0].actions[0]) is int


OBSERVATIONS = [
    (spaces.Box(-1, 1, (2,), np.float32), np.float32([0.5, -0.5]), np.float32),
    (spaces.Box(-1, 1, (2,), np.float64), np.float64([0.1, -0.5]), np.float32),
    (spaces.Box(-1, 1, (2,), np.float32), np.float64([0.1, -0.5]), np.float32),
    (spaces.Box(-1, 1, (2,), np.float32), [0.5, -0.5], np.float32),
    (spaces.Box(-1, 1, (2,), np.float32), np.array([1, 0]), np.float32),
    (spaces.Box(-1, 1, (2,), np.float32), np.float32([7, -9]), np.float32),  # outside the bounds
    (spaces.Box(-1, 1, (), np.float32), 0.25, np.float32),
    (spaces.Box(0, 255, (2, 2, 1), np.uint8), np.full((2, 2, 1), 200, np.uint8), np.uint8),
    (spaces.Box(0, 255, (2,), np.uint8), np.array([3, 255]), np.uint8),
    (spaces.Box(-5, 5, (2,), np.int16), np.array([-3, 4], np.int8), np.int16),
    (spaces.Discrete(4), 3, np.int32),
    (spaces.Discrete(4, start=-2), np.int64(-2), np.int32),
    (spaces.Discrete(2), True, np.int32),
    (spaces.Discrete(4), np.array(3), np.int32),
    (spaces.MultiDiscrete([3, 4], start=[1, 2]), np.array([3, 2]), np.int32),
    (spaces.MultiBinary((2, 2)), np.array([[0, 1], [1, 1]], np.int8), np.int32),
]


class Shower(gymnasium.Env):
    def __init__(self, space, value):
        self.observation_space, self.action_space, self.value = space, spaces.Discrete(2), value

    def reset(self, *, seed=None, options=None):
        return self.value, {}

    def step(self, action):
        return self.value, 0.0, False, False, {}


@pytest.mark.parametrize("space, value, dtype", OBSERVATIONS, ids=str)
def test_observations_are_kept_in_stored_form(space, value, dtype):
    envs = environments.SingleEnvs([Shower(space, value), Shower(space, value)])
    envs.reset()
    transition = envs.step([np.array([0, 1])])
    expected = Structure(space).encode(value)[0]
    for leaves in (envs.observation, transition.next_observation):
        assert leaves[0].dtype == dtype and leaves[0].shape == (2, *space.shape)
        np.testing.assert_array_equal(leaves[0], np.stack([expected, expected]).astype(dtype))


@pytest.mark.parametrize(
    "reward, flags",
    [
        (1, (False, False)),
        (np.float32(1), (np.False_, np.False_)),
        (np.array([1.0]), (0, 0)),
        (np.array(1), (np.array([False]), np.int64(0))),
        (True, (False, False)),
    ],
)
def test_unambiguous_rewards_and_flags_are_converted(reward, flags):
    env = Shower(spaces.Discrete(2), 0)
    env.step = lambda action: (0, reward, *flags, {})
    envs = environments.make(env)
    envs.reset()
    transition = envs.step([np.array([0])])
    assert transition.reward.dtype == np.float64 and transition.reward.tolist() == [1.0]
    assert transition.terminated.tolist() == transition.truncated.tolist() == [False] and not transition.ended


def test_both_flags_set_are_kept_and_cleared_at_the_next_step():
    envs = environments.SingleEnvs([Counter((1, 5), ("both",))])
    envs.reset()
    transition = envs.step([np.array([0])])
    assert transition.terminated[0] and transition.truncated[0] and transition.ended == [0]
    transition = envs.step([np.array([0])])
    assert not transition.terminated[0] and not transition.truncated[0] and transition.ended == []


def test_every_reset_is_seeded_with_a_python_int():
    envs = environments.SingleEnvs([Counter((1,)), Counter((2,))])
    generator = iter(np.arange(100, 200))
    envs.reset(lambda: next(generator))  # np.int64
    for _ in range(2):
        envs.step([np.array([0, 0])])
    assert envs.envs[0].seeds == [100, 102, 103] and envs.envs[1].seeds == [101, 104]
    assert {type(seed) for env in envs.envs for seed in env.seeds} == {int}


def test_seeds_make_the_run_and_do_not_touch_numpys_global_generator():
    def run(start):
        envs = environments.make("CartPole-v1", n_envs=2, next_seed=seeds(start))
        envs.reset()
        np.random.seed(3)
        rewards = [envs.step([np.array([step % 2, 1])]).next_observation[0].copy() for step in range(60)]
        envs.close()
        return np.stack(rewards), np.random.random()

    (first, after), (second, _), (third, _) = run(5), run(5), run(6)
    np.testing.assert_array_equal(first, second)
    assert (first != third).any()
    np.random.seed(3)
    assert after == np.random.random()


def test_without_seeds_two_runs_differ():
    first, second = (environments.make("CartPole-v1") for _ in range(2))
    first.reset()
    second.reset()
    assert (first.observation[0] != second.observation[0]).any()
