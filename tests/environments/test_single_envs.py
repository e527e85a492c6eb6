"""Lists of single environments: what actions they get, seeds, copies, and open episodes brought back."""

from __future__ import annotations

import itertools
import json
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeAwareObservation, TimeLimit
from toy_envs import Counter, Identity, KnownQ, Nondeterministic, Stateful, TruncationBandit

from kagent import environments
from kagent.spaces import Structure


class Listener(gymnasium.Env):
    """Keeps the actions it gets, and spoils them afterwards."""

    def __init__(self, action_space):
        self.action_space, self.observation_space = action_space, spaces.Box(0, 1, (1,))
        self.actions = []

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.actions.append(np.copy(action) if isinstance(action, np.ndarray) else action)
        if isinstance(action, np.ndarray):
            action[...] = 0
        return np.zeros(1, np.float32), 0.0, False, False, {}


ACTIONS = [
    spaces.Discrete(3),
    spaces.Discrete(3, start=-2),
    spaces.MultiDiscrete([3, 4]),
    spaces.MultiDiscrete([[3, 4], [2, 2]]),
    spaces.MultiBinary(3),
    spaces.MultiBinary((2, 2)),
    spaces.Box(-1, 1, (2,), np.float32),
    spaces.Box(-1, 1, (), np.float64),
    spaces.Box(0, 255, (2, 2), np.uint8),
    spaces.Dict(a=spaces.Discrete(3, start=5), b=spaces.Tuple((spaces.Box(-1, 1, ()), spaces.MultiBinary(2)))),
]


def seeds(start=0):
    return itertools.count(start).__next__


def batch(space, count, random_seed=0):
    """Env-ready batched leaves, and the same actions one by one."""
    space.seed(random_seed)
    samples, structure = [space.sample() for _ in range(count)], Structure(space)
    return [np.stack(parts) for parts in zip(*(structure.flatten(sample) for sample in samples))], samples


@pytest.mark.parametrize("space", ACTIONS, ids=str)
def test_each_env_gets_its_row_as_the_space_wants_it(space):
    envs = environments.SingleEnvs([Listener(space) for _ in range(3)])
    envs.reset()
    leaves, samples = batch(space, 3)
    copies = [leaf.copy() for leaf in leaves]
    envs.step(leaves)
    structure = Structure(space)
    for env, sample in zip(envs.envs, samples):
        for got, expected in zip(structure.flatten(env.actions[0]), structure.flatten(sample)):
            np.testing.assert_array_equal(got, expected)
    for leaf, copy in zip(leaves, copies):
        np.testing.assert_array_equal(leaf, copy)  # the environment spoils what it was given, not ours


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


# --- open episodes


def advance(envs, steps, random_seed=0):
    """Steps at random and returns everything seen."""
    random, seen = np.random.default_rng(random_seed), []
    leaf = envs.action_structure.leaves[0]
    for _ in range(steps):
        if leaf.kind == "box":
            action = random.uniform(-2, 2, (envs.num_envs, *leaf.shape)).astype(np.float32)
        else:
            action = random.integers(0, int(leaf.nvec), envs.num_envs)
        transition = envs.step([action])
        seen += [transition.next_observation[0].copy(), transition.reward.copy(), envs.observation[0].copy()]
    return seen


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("n_envs", [1, 4])
@pytest.mark.parametrize("steps", [0, 1, 77, 250])
def test_restored_episodes_go_on_bit_exactly(env_id, n_envs, steps):
    envs = environments.make(env_id, n_envs=n_envs, next_seed=seeds())
    envs.reset()
    advance(envs, steps)
    state, observation = envs.state(), envs.observation[0].copy()
    used = envs._next_seed()
    after = advance(envs, 120, 1)

    other = environments.make(env_id, n_envs=n_envs)
    assert other.restore(state, seeds(used + 1)) == []
    np.testing.assert_array_equal(other.observation[0], observation)
    again = other.state()  # restoring and saving at once changes nothing
    for ours, theirs in zip(again["episodes"], state["episodes"]):
        assert {**ours, "actions": 0, "observation": 0} == {**theirs, "actions": 0, "observation": 0}
        np.testing.assert_array_equal(ours["actions"][0], theirs["actions"][0])
    for ours, theirs in zip(advance(other, 120, 1), after):
        np.testing.assert_array_equal(ours, theirs)
    envs.close()
    other.close()


def test_state_is_json_and_arrays():
    envs = environments.make("CartPole-v1", n_envs=2, next_seed=seeds())
    envs.reset()
    advance(envs, 10)
    for episode in envs.state()["episodes"]:
        arrays = [*episode.pop("actions"), *episode.pop("observation")]
        assert [array.dtype for array in arrays] == [np.int64, np.float32]
        assert arrays[0].shape == (episode["length"],) and arrays[1].shape == (4,)
        assert json.loads(json.dumps(episode)) == episode


@pytest.mark.parametrize("space", ACTIONS, ids=str)
def test_actions_of_every_space_are_replayed(space):
    class Summer(Listener):  # its observation depends on every action
        def reset(self, *, seed=None, options=None):
            self.sum = 0.0
            return np.zeros(1, np.float32), {}

        def step(self, action):
            parts = Structure(self.action_space).flatten(action)
            super().step(action)
            flat = np.concatenate([np.ravel(part) for part in Structure(self.action_space).flatten(self.actions[-1])])
            self.sum = self.sum / 2 + float(flat @ np.arange(1, flat.size + 1)) + len(parts)
            return np.array([self.sum], np.float32), self.sum, False, False, {}

    def build():
        return environments.SingleEnvs([Summer(space) for _ in range(2)], next_seed=seeds())

    if isinstance(space, spaces.Dict):
        pytest.importorskip("gymnasium")
        Summer.step = lambda self, action: (np.zeros(1, np.float32), 0.0, False, False, self.actions.append(action) or {})
    envs = build()
    envs.reset()
    for step in range(5):
        envs.step(batch(space, 2, step)[0])
    other = build()
    assert other.restore(envs.state()) == []
    structure = Structure(space)
    for ours, theirs in zip(other.envs, envs.envs):
        for got, expected in zip(ours.actions, theirs.actions, strict=True):
            for part, same in zip(structure.flatten(got), structure.flatten(expected)):
                np.testing.assert_array_equal(part, same)
