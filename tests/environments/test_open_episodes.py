"""Open episodes saved and brought back: by seed and actions, or by the state that the environment tells."""

from __future__ import annotations

import json
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeAwareObservation, TimeLimit
from listeners import ACTIONS, Listener, batch, seeds
from toy_envs import Counter, Identity, KnownQ, Nondeterministic, Stateful, TruncationBandit

from kagent import environments
from kagent.spaces import Structure


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
    envs, other = (environments.SingleEnvs([Listener(space) for _ in range(2)], next_seed=seeds()) for _ in range(2))
    envs.reset()
    for step in range(5):
        envs.step(batch(space, 2, step)[0])
    state = envs.state()
    for part in [part for episode in state["episodes"] for part in episode["actions"]]:
        part.flags.writeable = False  # the listener spoils what it gets, which must not be the record
    assert other.restore(state) == []
    structure = Structure(space)
    for ours, theirs in zip(other.envs, envs.envs):
        for got, expected in zip(ours.actions, theirs.actions, strict=True):
            assert type(got) is type(expected)
            for part, same in zip(structure.flatten(got), structure.flatten(expected)):
                np.testing.assert_array_equal(part, same)
    for saved, again in zip(state["episodes"], other.state()["episodes"]):
        for part, same in zip(saved["actions"], again["actions"]):
            assert part.dtype == same.dtype
            np.testing.assert_array_equal(part, same)


def test_replay_keeps_the_masks_and_nested_observations():
    space = spaces.Dict(a=spaces.Discrete(3), b=spaces.Box(-1, 1, (2,)))

    def build():
        return environments.make(lambda: Identity(space, masks="info"), n_envs=3, next_seed=seeds())

    envs, other = build(), build()
    envs.reset()
    for _ in range(4):
        choice = envs.mask[0].argmax(axis=1)
        envs.step([choice, np.zeros((3, 2), np.float32)])
    assert other.restore(envs.state()) == []
    np.testing.assert_array_equal(other.mask[0], envs.mask[0])
    assert other.mask[1] is None
    for ours, theirs in zip(other.observation, envs.observation):
        np.testing.assert_array_equal(ours, theirs)


def test_a_nondeterministic_env_is_reported_and_begins_a_new_episode():
    envs, other = (environments.make(Nondeterministic(), next_seed=seeds()) for _ in range(2))
    envs.reset()
    advance(envs, 5)
    used = []
    assert other.restore(envs.state(), lambda: used.append(1) or 17) == [0]
    assert used == [1] and other.state()["episodes"][0]["length"] == 0 and other._seeds == [17]
    advance(other, 5)


def test_only_the_env_that_cannot_be_replayed_begins_anew():
    class Moody(KnownQ):
        moods = iter([0.0] * 7 + [1.0] * 100)  # the third env pays differently after seven steps of them

        def step(self, action):
            observation, reward, *rest = super().step(action)
            return observation, reward + next(Moody.moods), *rest

    def build():
        return environments.SingleEnvs([KnownQ(), KnownQ(), Moody(), KnownQ()], next_seed=seeds())

    envs, other = build(), build()
    envs.reset()
    advance(envs, 6)
    state = envs.state()
    assert other.restore(state, seeds(50)) == [2]
    assert other._seeds == [0, 1, 50, 3]
    assert [episode["length"] for episode in other.state()["episodes"]] == [6, 6, 0, 6]
    np.testing.assert_array_equal(other.observation[0][[0, 1, 3]], envs.observation[0][[0, 1, 3]])


@pytest.mark.parametrize("change", ["ends early", "raises", "reward"])
def test_replays_that_go_another_way_are_reported(change):
    class Changed(Counter):
        def step(self, action):
            observation, reward, terminated, truncated, info = super().step(action)
            if change == "raises":
                raise OSError("gone")
            return observation, reward + (change == "reward"), terminated, truncated, info

    envs = environments.SingleEnvs([Counter((9,))], next_seed=seeds())
    envs.reset()
    advance(envs, 4)
    other = environments.SingleEnvs([Changed((2,) if change == "ends early" else (9,))], next_seed=seeds())
    assert other.restore(envs.state()) == [0]


@pytest.mark.parametrize("limited", [False, True])
def test_an_env_that_tells_its_state_is_asked_instead(limited):
    def build():
        env = Stateful(length=1000)
        return environments.make(TimeLimit(env, 12) if limited else env, next_seed=seeds())

    envs = build()
    envs.reset()
    advance(envs, 5)
    state = envs.state()
    assert "actions" not in state["episodes"][0] and "snapshot" in state["episodes"][0]
    after = advance(envs, 10, 1) if not limited else advance(envs, 7, 1)
    ended = envs._transition.ended
    other = build()
    assert other.restore(state) == []
    for ours, theirs in list(zip(advance(other, len(after) // 3, 1), after))[: -1 if limited else None]:
        np.testing.assert_array_equal(ours, theirs)
    assert other._transition.ended == ended == ([0] if limited else [])


def test_a_state_that_a_wrapper_would_miss_is_not_used():
    envs = environments.make(TimeAwareObservation(TimeLimit(Stateful(), 50)), next_seed=seeds())
    envs.reset()
    assert "actions" in envs.state()["episodes"][0]


def test_a_state_that_cannot_be_saved_is_refused_and_the_actions_are_saved():
    class Opaque(Counter):
        def get_state(self):
            return {"env": object()}

        def set_state(self, state):
            raise AssertionError

    envs = environments.SingleEnvs([Opaque((9,))])
    envs.reset()
    advance(envs, 3)
    with pytest.warns(UserWarning, match="get_state"):
        state = envs.state()
    assert environments.SingleEnvs([Opaque((9,))]).restore(state) == []


def test_methods_of_that_name_with_other_arguments_are_left_alone():
    class Physics(Counter):
        def get_state(self, body):
            raise AssertionError

        def set_state(self, position, velocity):
            raise AssertionError

    envs = environments.SingleEnvs([Physics((9,))])
    envs.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "actions" in envs.state()["episodes"][0]


def test_another_number_of_envs_begins_anew():
    envs = environments.make(lambda: Counter((9,)), n_envs=2)
    assert envs.state() == {"episodes": []}  # nothing is open before the first reset
    envs.reset()
    other = environments.make(lambda: Counter((9,)), n_envs=3)
    assert other.restore(envs.state()) == [0, 1, 2]
    assert other.restore({"episodes": []}) == [0, 1, 2]
    other.step([np.zeros(3, np.int64)])


def test_a_malformed_state_is_refused():
    envs = environments.SingleEnvs([TruncationBandit()])
    envs.reset()
    good = envs.state()["episodes"][0]
    with pytest.raises(TypeError, match="state"):
        envs.restore([])
    for change in (
        {"actions": [np.zeros(3, np.int64)]},
        {"actions": [np.zeros(0, np.float64)]},
        {"actions": []},
        {"observation": [np.zeros(3, np.float32)]},
        {"observation": [np.array([None, None])]},
        {"length": 10**12},
    ):
        with pytest.raises(ValueError, match="does not fit"):
            envs.restore({"episodes": [{**good, **change}]})
    with pytest.raises(ValueError, match="lacks"):
        envs.restore({"episodes": [{"seed": 3}]})


# Episodes that never end -----------------------------------------------------------------------------------


def bounded(timesteps, *made):
    envs = environments.SingleEnvs(list(made) or [Counter((1000,))])
    envs.limit_replay(timesteps)
    envs.reset()
    return envs


def test_an_open_episode_is_kept_up_to_the_limit_and_given_up_beyond_it():
    envs = bounded(4, Counter((1000,)), Counter((3,)))
    for _ in range(4):
        envs.step([np.array([1, 2])])
    first = envs.state()["episodes"]
    assert first[0]["actions"][0].tolist() == [1] * 4 and first[1]["actions"][0].tolist() == [2]
    with pytest.warns(UserWarning, match=r"longer than 4 timesteps \(env 0, .*`replay_limit`") as caught:
        for _ in range(20):
            envs.step([np.array([1, 2])])
    assert len(caught) == 1
    episodes = envs.state()["episodes"]
    assert episodes[0]["unrecorded"] is True and "actions" not in episodes[0] and episodes[0]["length"] == 24
    assert episodes[1]["actions"][0].tolist() == []  # 24 steps of three each: a new one has just begun
    other = environments.SingleEnvs([Counter((1000,)), Counter((3,))])
    assert 0 in other.restore(envs.state())  # begun anew, as `restore` says of it
    assert other.state()["episodes"][0]["length"] == 0


def test_the_next_episode_is_kept_again():
    envs = bounded(2, Counter((5, 1000)))
    with pytest.warns(UserWarning, match="longer than 2"):
        for _ in range(5):
            envs.step([np.array([1])])
    for _ in range(2):
        envs.step([np.array([2])])
    assert envs.state()["episodes"][0]["actions"][0].tolist() == [2, 2]
    envs.step([np.array([2])])  # given up once more, without another warning
    assert envs.state()["episodes"][0]["unrecorded"] is True


def test_the_limit_counts_from_where_a_restored_episode_began():
    envs = bounded(None, gymnasium.make("CartPole-v1"))
    for step in range(6):
        envs.step([np.array([step % 2])])
    other = bounded(7, gymnasium.make("CartPole-v1"))
    assert other.restore(envs.state()) == []
    other.step([np.array([0])])
    assert other.state()["episodes"][0]["actions"][0].tolist() == [0, 1] * 3 + [0]
    with pytest.warns(UserWarning, match="longer than 7"):
        other.step([np.array([1])])
    assert other.state()["episodes"][0]["unrecorded"] is True


@pytest.mark.parametrize(
    "shape, count, expected",
    [
        ((), 1, 10_000),  # 16 MiB are 2,097,152 actions of 8 bytes
        ((256,), 1, 10_000),  # 16,384 of 1 KiB
        ((256,), 4, 4096),
        ((1000, 1000), 1, 4),  # of 4,000,000 bytes
    ],
)
def test_the_default_limit_is_steps_or_bytes(shape, count, expected):
    action = spaces.Box(-1, 1, shape, np.float32) if shape else spaces.Discrete(3)
    assert bounded("auto", *[Identity(action) for _ in range(count)])._replayed == expected


def test_an_environment_that_gives_its_state_has_no_limit():
    envs = bounded(3, Stateful())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(9):
            envs.step([np.array([1])])
    state = envs.state()
    assert "snapshot" in state["episodes"][0]
    other = bounded(3, Stateful())
    assert other.restore(state) == []
    following = [each.step([np.array([0])]).next_observation[0].tolist() for each in (envs, other)]
    assert following[0] == following[1]
