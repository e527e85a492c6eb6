"""`reset_options`: every reset gets them, and an open episode comes back with those that it began with."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from toy_envs import Counter

from kagent import environments
from kagent.files import json_arrays

GIVEN = {"level": 3, "goal": np.array([1.5, 2.0]), "deep": {"names": ("a", "b"), "flag": True, "none": None}}
PLAIN = {"level": 3, "goal": [1.5, 2.0], "deep": {"names": ["a", "b"], "flag": True, "none": None}}


class Level(Counter):
    """Begins at the step that `options["level"]` says, and changes the options that it was given."""

    given: list

    def reset(self, *, seed=None, options=None):
        if not hasattr(self, "given"):
            self.given = []
        self.given.append(options if options is None else json.loads(json_arrays.dump(options)))
        super().reset(seed=seed)
        self.time = (options or {}).pop("level", 0)
        return self._observe(), self._info()


def plain(options):
    return {**options, "goal": options["goal"]["array"]} if options else options


def step(envs, count=1):
    for _ in range(count):
        envs.step([np.zeros(envs.num_envs, np.int64)])


def test_every_reset_of_single_envs_gets_a_copy():
    envs = environments.make(lambda: Level(lengths=(5,)), n_envs=2, reset_options=GIVEN)
    envs.reset()
    step(envs, 5)  # two steps an episode
    assert [[plain(each) for each in env.given] for env in envs.envs] == [[PLAIN] * 3] * 2
    assert GIVEN["level"] == 3 and envs.observation[0][:, 2].tolist() == [4, 4]


def test_without_them_reset_gets_no_options():
    class Old(Counter):
        def reset(self, *, seed=None):
            return super().reset(seed=seed)

    envs = environments.make(Old(lengths=(1,)))
    envs.reset()
    step(envs, 2)
    with pytest.raises(TypeError) as caught:
        environments.make(Old(), reset_options={"level": 1}).reset()
    assert "reset(self, *, seed=None, options=None)" in "".join(caught.value.__notes__)


def test_an_empty_dict_is_an_option_too():
    envs = environments.make(Level(), reset_options={})
    envs.reset()
    assert envs.envs[0].given == [{}]


def test_an_open_episode_comes_back_with_its_own_options_and_the_next_begins_with_the_new_ones():
    first = environments.make(Level(lengths=(5,)), reset_options=GIVEN)
    first.reset()
    step(first)
    state = json_arrays.load(json_arrays.dump(first.state()))  # by way of a file
    env = Level(lengths=(5,))
    second = environments.make(env, reset_options={"level": 1})
    assert second.restore(state) == [] and second.observation[0][0, 1:].tolist() == [0, 4]
    again = second.state()["episodes"][0]["options"]
    assert again["level"] == 3
    step(second)
    assert second.observation[0][0, 1:].tolist() == [1, 1]
    assert [each["level"] for each in env.given] == [3, 1]
    third = environments.make(Level(lengths=(5,)))  # and with none, to an episode that began with some
    assert third.restore(state) == [] and third.observation[0][0, 1:].tolist() == [0, 4]
    without = environments.make(Level(lengths=(5,)))
    without.reset()
    assert "options" not in without.state()["episodes"][0]


@pytest.mark.parametrize("damage", [[1], "level", {"level": {1, 2}}, {1: 2}])
def test_damaged_options_of_a_state_are_refused(damage):
    envs = environments.make(Level())
    envs.reset()
    state = envs.state()
    state["episodes"][0]["options"] = damage
    with pytest.raises(ValueError, match="options are no dict of plain values"):
        envs.restore(state)


def test_masked_resets_of_a_vector_env_get_them():
    class Kind(Level):  # gymnasium's vector environments give one dict to all
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=seed, options=dict(options))

    vector = SyncVectorEnv(
        [lambda: Kind(lengths=(5,)), lambda: Kind(lengths=(6,))], autoreset_mode=AutoresetMode.DISABLED
    )
    envs = environments.make(vector, reset_options=GIVEN)
    envs.reset()
    step(envs, 2)  # env 0 is reset by a mask
    assert [[plain(each) for each in env.given] for env in vector.envs] == [[PLAIN] * 2, [PLAIN]]
    assert envs.observation[0][:, 1:].tolist() == [[1, 3], [0, 5]]


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_vector_env_that_resets_by_itself_refuses_them(mode):
    with pytest.raises(ValueError, match=f"`reset_options` cannot reach.*DISABLED.*mode {mode.name}"):
        environments.make(SyncVectorEnv([Counter], autoreset_mode=mode), reset_options={"level": 1})


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([("level", 1)], TypeError, "`reset_options` must be a dict"),
        ({"f": print}, ValueError, r"`reset_options\['f'\]` must be a number.*builtin_function"),
        ({"a": [1, {"b": {2}}]}, ValueError, r"`reset_options\['a'\]\[1\]\['b'\]`"),
        ({"a": np.array([None])}, ValueError, r"`reset_options\['a'\]`"),
        ({1: 2}, ValueError, "strings as keys"),
        ({"a": {1: 2}}, ValueError, r"`reset_options\['a'\]` must have strings as keys"),
        ({"reset_mask": np.ones(1, bool)}, ValueError, "'reset_mask'"),
    ],
)
def test_other_options_are_refused_before_anything_is_made(value, error, message):
    made = []
    with pytest.raises(error, match=message):
        environments.make(lambda: made.append(1), reset_options=value)
    assert not made
