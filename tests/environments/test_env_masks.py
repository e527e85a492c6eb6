"""Action masks in every form in which environments give them."""

from __future__ import annotations

import functools

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from listeners import seeds
from toy_envs import Counter, Identity

from kagent import environments
from kagent.environments.masks import Masks
from kagent.spaces import Structure

MULTI = spaces.MultiDiscrete([2, 3])
SQUARE = spaces.MultiDiscrete([[2, 3], [1, 2]])
NESTED = spaces.Dict(arm=spaces.Tuple((spaces.Discrete(3), spaces.Box(-1, 1, (2,)))), grip=spaces.MultiBinary(2))
T, F = True, False


def read(space, value):
    masks = Masks(Structure(spaces.Box(0, 1)), Structure(space))
    return [None if mask is None else mask.tolist() for mask in masks.read(value)]


@pytest.mark.parametrize(
    "space, value, expected",
    [
        (spaces.Discrete(3), np.int8([1, 0, 1]), [[T, F, T]]),
        (spaces.Discrete(3, start=5), [True, False, True], [[T, F, T]]),
        (spaces.Discrete(3), np.float32([0, 0, 1]), [[F, F, T]]),
        (MULTI, (np.int8([1, 0]), np.int8([0, 1, 1])), [[T, F, F, T, T]]),
        (MULTI, [[1, 0], [0, 1, 1]], [[T, F, F, T, T]]),
        (MULTI, np.bool_([1, 0, 0, 1, 1]), [[T, F, F, T, T]]),
        (spaces.MultiDiscrete([2, 2]), np.int8([[1, 0], [0, 1]]), [[T, F, F, T]]),
        (SQUARE, (([1, 0], [0, 1, 1]), ([1], [1, 0])), [[T, F, F, T, T, T, T, F]]),
        (spaces.MultiBinary(3), np.int8([0, 1, 2]), [[T, F, F, T, T, T]]),
        (spaces.MultiBinary(3), np.int8([1, 0, 0, 1, 1, 1]), [[T, F, F, T, T, T]]),
        (spaces.MultiBinary((2, 1)), np.int8([[0], [2]]), [[T, F, T, T]]),
        (
            NESTED,
            {"arm": (np.int8([0, 1, 1]), None), "grip": np.int8([2, 1])},
            [[F, T, T], None, [T, T, F, T]],
        ),
        (NESTED, {"grip": np.int8([0, 2])}, [None, None, [T, F, T, T]]),
        (spaces.Discrete(3), None, [None]),
    ],
    ids=str,
)
def test_forms(space, value, expected):
    assert read(space, value) == expected


@pytest.mark.parametrize("space", [spaces.Discrete(4), MULTI, SQUARE, spaces.MultiBinary(3)], ids=str)
def test_gymnasiums_own_samples_obey_what_we_read(space):
    """The same mask, given to gymnasium's `sample(mask)`, never gives what we call forbidden."""
    random = np.random.default_rng(0)
    structure = Structure(space)
    nvec = structure.leaves[0].nvec

    def draw(count):
        mask = random.integers(0, 2, count).astype(np.int8)
        mask[random.integers(count)] = 1
        return mask

    for _ in range(30):
        if isinstance(space, spaces.Discrete):
            mask = draw(4)
        elif isinstance(space, spaces.MultiBinary):
            mask = random.integers(0, 3, 3).astype(np.int8)
        elif nvec.ndim == 1:
            mask = tuple(draw(count) for count in nvec)
        else:
            mask = tuple(tuple(draw(count) for count in row) for row in nvec)
        flat = read(space, mask)[0]
        starts = np.concatenate([[0], np.cumsum(nvec.ravel())[:-1]])
        seen = np.zeros(len(flat), bool)
        for _ in range(60):
            seen[starts + np.ravel(space.sample(mask))] = True
        assert not (seen & ~np.array(flat)).any()
        assert seen.sum() >= sum(flat) - 1  # and what is allowed does occur


@pytest.mark.parametrize(
    "space, value, text",
    [
        (spaces.Discrete(3), [1, 0], "must have 3 entries. Received: 2"),
        (spaces.Discrete(3), [1, 0, 2], "booleans or 0 and 1"),
        (spaces.Discrete(3), ["a", "b", "c"], "booleans or 0 and 1"),
        (spaces.Discrete(3), [0.5, 1, 1], "booleans or 0 and 1"),
        (MULTI, ([1, 0, 1], [1, 1]), "components of [2, 3] entries. Received: [3, 2]"),
        (MULTI, [1, 1, 1, 1], "must have 5 entries"),
        (spaces.MultiBinary(3), [0, 1, 3], "0, 1 or 2"),
        (spaces.MultiBinary(3), [0, 1], "6 entries (or 3)"),
        (NESTED, {"leg": [1]}, "keys the action space has not. Received: ['leg']"),
        (NESTED, {"arm": [1, 1, 1]}, "of leaf 'arm' must be a tuple of 2 entries"),
        (NESTED, {"arm": ([1, 1, 1], [1, 1])}, "'arm/1' is a Box: its mask must be None"),
        (NESTED, {"grip": [1]}, "leaf 'grip'"),
        (NESTED, [1, 0], "must be a dict"),
    ],
    ids=str,
)
def test_wrong_forms(space, value, text):
    with pytest.raises(ValueError) as caught:
        read(space, value)
    assert text in str(caught.value), str(caught.value)


def choose(mask, leaf, random):
    """One allowed index per component, drawn at random, as env-ready batch `(N, *leaf.shape)`."""
    starts = np.concatenate([[0], np.cumsum(leaf.nvec.ravel())[:-1]])
    rows = [[random.choice(np.flatnonzero(row[s : s + n])) for s, n in zip(starts, leaf.nvec.ravel())] for row in mask]
    return leaf.decode(np.array(rows).reshape(len(mask), *leaf.shape))


def play(envs, steps=25):
    """Allowed actions only; the environment raises for others. Returns how often something was forbidden."""
    random, forbidden = np.random.default_rng(0), 0
    envs.reset()
    for _ in range(steps):
        assert envs.mask is not None
        action = []
        for leaf, mask in zip(envs.action_structure.leaves, envs.mask):
            if mask is None:
                action.append(np.zeros((envs.num_envs, *leaf.shape), leaf.dtype))
            else:
                assert mask.dtype == bool and mask.shape == (envs.num_envs, leaf.num_values)
                forbidden += (~mask).sum()
                action.append(choose(mask, leaf, random))
        transition = envs.step(action)
        for mask, leaf in zip(transition.next_mask, envs.action_structure.leaves):
            assert (mask is None) == (leaf.kind == "box")
    return forbidden


SPACES = [spaces.Discrete(4, start=2), MULTI, SQUARE, spaces.MultiBinary(3), NESTED]


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("mode", [None, *AutoresetMode])
@pytest.mark.parametrize("where", ["info", "observation"])
def test_masks_of_every_space_from_every_source(space, mode, where):
    if where == "observation" and space is NESTED:
        space = spaces.Dict(arm=spaces.Discrete(3), claw=spaces.Box(-1, 1, (2,)), grip=spaces.MultiBinary(2))
    functions = [functools.partial(Identity, space, 3, where, 0.3) for _ in range(3)]
    if mode is None:
        envs = environments.SingleEnvs([function() for function in functions])
    else:
        envs = environments.make(SyncVectorEnv(functions, autoreset_mode=mode))
    assert play(envs) > 20


def test_masks_from_worker_processes():
    functions = [functools.partial(Identity, NESTED, 3, "info", 0.3) for _ in range(2)]
    envs = environments.make(
        lambda: AsyncVectorEnv(functions, context="forkserver", autoreset_mode=AutoresetMode.SAME_STEP)
    )
    try:
        assert play(envs, 10) > 10
    finally:
        envs.close()


def test_no_masks():
    envs = environments.make("CartPole-v1")
    envs.reset()
    assert envs.mask is None and envs.step([np.array([0])]).next_mask is None


def test_a_box_action_space_needs_no_mask():
    class Boxed(Counter):
        def __init__(self):
            super().__init__((5,), masked=True)
            self.action_space = spaces.Box(-1, 1, (1,))

        def step(self, action):
            return super().step(0)

    envs = environments.make(Boxed())
    envs.reset()
    assert envs.mask is None and envs.step([np.zeros((1, 1), np.float32)]).next_mask is None


class Scripted(gymnasium.Env):
    """Gives the masks it is told: one for the reset, then one per step, and ends with the last."""

    def __init__(self, masks, end="terminated", space=MULTI):
        self.observation_space, self.action_space = spaces.Discrete(2), space
        self.masks, self.end = masks, end

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return 0, self._info()

    def step(self, action):
        self.time += 1
        over = self.time == len(self.masks) - 1
        return 0, 0.0, over and self.end == "terminated", over and self.end == "truncated", self._info()

    def _info(self):
        mask = self.masks[self.time]
        return {} if mask is None else {"action_mask": np.array(mask, np.int8)}


GOOD, SECOND_EMPTY, EMPTY = [1, 1, 1, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]


def sources(masks, end="terminated", space=MULTI):
    function = functools.partial(Scripted, masks, end, space)
    quiet = functools.partial(Scripted, [masks[0]] * 9, "terminated", space)
    yield environments.SingleEnvs([quiet(), function()])
    for mode in AutoresetMode:
        yield environments.make(SyncVectorEnv([quiet, function], autoreset_mode=mode))


ACTION = [np.zeros((2, 2), np.int64)]


@pytest.mark.parametrize("bad, text", [(SECOND_EMPTY, "component 1, allows no value"), (EMPTY, "component 0, allows")])
def test_a_component_without_an_allowed_value(bad, text):
    for envs in sources([GOOD, GOOD, bad, GOOD]):
        envs.reset()
        envs.step(ACTION)
        with pytest.raises(ValueError) as caught:
            envs.step(ACTION)
        assert text in str(caught.value) and "env 1, episode step 2" in str(caught.value), str(caught.value)


def test_a_single_discrete_leaf_without_an_allowed_value():
    for envs in sources([[1, 1, 0], [1, 0, 1], [0, 0, 0], [1, 1, 1]], space=spaces.Discrete(3)):
        envs.reset()
        envs.step([np.zeros(2, np.int64)])
        with pytest.raises(ValueError, match=r"allows no value.*\(env 1, episode step 2"):
            envs.step([np.zeros(2, np.int64)])


def test_no_allowed_value_at_reset():
    for envs in sources([EMPTY, GOOD]):
        with pytest.raises(ValueError, match=r"allows no value.*\(env [01], episode step 0"):
            envs.reset()


@pytest.mark.parametrize("last", [EMPTY, None])
def test_a_terminal_state_needs_no_mask(last):
    for envs in sources([GOOD, GOOD, last]):
        envs.reset()
        envs.step(ACTION)
        transition = envs.step(ACTION)
        assert transition.terminated[1] and transition.next_mask[0][1].all()
        assert transition.next_mask[0][0].tolist() == [bool(value) for value in GOOD]
        envs.step(ACTION)
        assert envs.mask[0].tolist() == [[bool(value) for value in GOOD]] * 2


def test_the_first_state_after_a_terminal_one_needs_its_mask():
    class Later(Scripted):
        episode = 0

        def reset(self, *, seed=None, options=None):
            self.episode += 1
            self.masks = [GOOD if self.episode == 1 else EMPTY, GOOD, GOOD]
            return super().reset()

    quiet = functools.partial(Scripted, [GOOD] * 9)
    vectors = [SyncVectorEnv([quiet, lambda: Later(None)], autoreset_mode=mode) for mode in AutoresetMode]
    for envs in (environments.SingleEnvs([quiet(), Later(None)]), *map(environments.make, vectors)):
        envs.reset()
        with pytest.raises(ValueError, match=r"allows no value.*\(env 1"):
            for _ in range(3):
                envs.step(ACTION)


@pytest.mark.parametrize("last, text", [(EMPTY, "allows no value"), (None, "is missing")])
def test_a_truncated_state_needs_its_mask(last, text):
    for envs in sources([GOOD, GOOD, last], "truncated"):
        envs.reset()
        envs.step(ACTION)
        with pytest.raises(ValueError, match=text):
            envs.step(ACTION)


def test_a_mask_that_disappears_or_appears():
    for envs in sources([GOOD, GOOD, None, GOOD]):
        envs.reset()
        envs.step(ACTION)
        with pytest.raises(ValueError, match=r"is missing.*env 1, episode step 2"):
            envs.step(ACTION)
    for envs in sources([None, None, GOOD, GOOD]):
        envs.reset()
        envs.step(ACTION)
        with pytest.raises(ValueError, match="came where none was at reset"):
            envs.step(ACTION)


def test_an_observation_key_that_does_not_fit_is_refused_at_construction():
    class Wrong(Counter):
        def __init__(self):
            super().__init__()
            self.observation_space = spaces.Dict(action_mask=spaces.MultiBinary(4), x=spaces.Discrete(2))

    with pytest.raises(ValueError, match=r"`observation_space\['action_mask'\]` does not fit.*3 entries"):
        environments.make(Wrong())


def test_masks_belong_to_what_is_acted_on_after_an_end():
    """After an episode's end `mask` is the new episode's, while `next_mask` is the successor's."""
    envs = environments.SingleEnvs([Counter((1, 2), ("truncated",), masked=True)], next_seed=seeds())
    envs.reset()
    assert envs.mask[0].tolist() == [[T, T, F]]  # episode 0, step 0
    transition = envs.step([np.array([0])])
    assert transition.next_mask[0].tolist() == [[F, T, T]]  # episode 0, step 1
    assert envs.mask[0].tolist() == [[F, T, T]]  # episode 1, step 0
    transition = envs.step([np.array([1])])
    assert transition.next_mask[0].tolist() == envs.mask[0].tolist() == [[T, F, T]]  # episode 1, step 1


def test_native_masks_batched_per_leaf():
    """A vector environment may give a tuple or dict of batched arrays, without gymnasium's `_action_mask`."""

    class Native(gymnasium.vector.VectorEnv):
        metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        num_envs = 2
        single_observation_space = spaces.Discrete(2)
        single_action_space = spaces.Tuple((spaces.Discrete(2), spaces.Dict(a=spaces.Discrete(3))))
        mask = (np.array([[1, 0], [1, 1]]), {"a": np.array([[1, 0, 1], [0, 0, 1]])})

        def reset(self, *, seed=None, options=None):
            return np.zeros(2, np.int64), {"action_mask": self.mask}

        def step(self, actions):
            self.mask[0][:] = [0, 1]
            no = np.zeros(2, bool)
            return np.zeros(2, np.int64), np.zeros(2), no, no, {"action_mask": self.mask}

    envs = environments.make(Native)
    envs.reset()
    assert [mask.tolist() for mask in envs.mask] == [[[T, F], [T, T]], [[T, F, T], [F, F, T]]]
    envs.step([np.zeros(2, np.int64)] * 2)
    assert [mask.tolist() for mask in envs.mask] == [[[F, T], [F, T]], [[T, F, T], [F, F, T]]]
