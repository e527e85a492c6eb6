"""Steps in which a vector environment only resets: they count for nothing, and none is left over from an earlier use."""

from __future__ import annotations

import functools

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import TransformReward
from toy_envs import Counter, NativeCounter

from kagent import environments
from kagent.environments import autoreset
from kagent.spaces import Structure

STAY = [np.zeros(2, np.int64)]


def counters(*lengths):
    return [functools.partial(Counter, each, offset=offset) for offset, each in enumerate(lengths)]


def asynchronous(*lengths, mode=AutoresetMode.NEXT_STEP, shared=False):
    return AsyncVectorEnv(counters(*lengths), autoreset_mode=mode, shared_memory=shared, context="forkserver")


def test_a_wrapper_does_not_give_rewards_to_resets():
    envs = environments.make(TransformReward(SyncVectorEnv(counters((2,), (9,))), lambda r: r + 10))
    envs.reset()
    assert envs.step(STAY).reward.tolist() == [10, 10]
    assert envs.step(STAY).reward.tolist() == [11, 11]
    transition = envs.step(STAY)
    assert transition.valid.tolist() == [False, True] and transition.reward.tolist() == [0, 12]
    assert envs.step(STAY).reward.tolist() == [110, 13]


def test_a_reset_is_never_an_end_and_its_reward_need_not_be_finite():
    class Odd(gymnasium.vector.VectorWrapper):
        """In the step that resets it gives NaN and both flags."""

        before = np.zeros(2, bool)

        def step(self, actions):
            observation, reward, terminated, truncated, infos = self.env.step(actions)
            resets, self.before = self.before, terminated | truncated
            return observation, np.where(resets, np.nan, reward), terminated | resets, truncated | resets, infos

    envs = environments.make(Odd(SyncVectorEnv(counters((2,), (9,)))))
    envs.reset()
    ends = []
    for _ in range(7):
        transition = envs.step(STAY)
        ends.append(list(transition.ended))
        row = transition.reward[0], transition.terminated[0], transition.truncated[0], transition.valid[0]
        if len(ends) % 3 == 0:
            assert row == (0, False, False, False)
    assert ends == [[], [0], [], [], [0], [], []]


def used(env, steps=2):
    """Steps it until some of its episodes are over and wait for their reset."""
    env.reset()
    for _ in range(steps):
        env.step(np.zeros(env.num_envs, np.int64))
    return env


def check_true_transitions(envs, steps=12):
    """Every valid row is a step of one episode, in order, and what is acted on next follows from it."""
    envs.reset()
    count, last, rows = envs.num_envs, [None] * envs.num_envs, 0
    for _ in range(steps):
        before = envs.observation[0].copy()
        transition = envs.step([np.zeros(count, np.int64)])
        for i in np.flatnonzero(transition.valid):
            offset, episode, time = before[i].tolist()
            assert transition.next_observation[0][i].tolist() == [offset, episode, time + 1]
            assert transition.reward[i] == 100 * episode + time
            assert time == 0 if last[i] is None else before[i].tolist() == last[i]
            last[i] = None if i in transition.ended else transition.next_observation[0][i].tolist()
            rows += 1
    return rows


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("build", ["sync", "native", "async"])
def test_an_env_that_its_owner_used_before_gives_true_transitions(mode, build):
    lengths = ((2,), (1, 3), (4,))
    if build == "native":
        env = NativeCounter(mode, [{"lengths": each, "offset": i} for i, each in enumerate(lengths)])
    elif build == "sync":
        env = SyncVectorEnv(counters(*lengths), autoreset_mode=mode)
    else:
        env = asynchronous(*lengths, mode=mode)
    try:
        for steps in (2, 1):
            if mode is not AutoresetMode.DISABLED:
                used(env, steps)
            check_true_transitions(environments.make(env), 5)
            check_true_transitions(environments.make(env), 6)
    finally:
        env.close()


@pytest.mark.parametrize("wrap", [lambda env: env, lambda env: TransformReward(env, lambda r: r)])
def test_a_new_async_env_that_is_given_loses_no_row(wrap):
    env = wrap(asynchronous((3,), (4,)))
    try:
        assert check_true_transitions(environments.make(env), 3) == 6
    finally:
        env.close()


def test_masks_are_obeyed_where_it_is_found_out_what_is_pending():
    class Strict(Counter):
        def step(self, action):
            assert self._info()["action_mask"][action], "not allowed"
            return super().step(action)

    env = AsyncVectorEnv([functools.partial(Strict, (3,), masked=True)] * 2, shared_memory=False, context="fork")
    try:
        for _ in range(3):
            envs = environments.make(env)
            envs.reset()
            for _ in range(4):
                envs.step([envs.mask[0].argmax(axis=1)])
    finally:
        env.close()


class Forgetful(NativeCounter):
    """As gymnasium's FunctionalJaxVectorEnv does: its `reset` does not forget the flags of the last step."""

    def reset(self, *, seed=None, options=None):
        flags = self.flags.copy()
        found = super().reset(seed=seed, options=options)
        self.flags[:] = flags
        return found


def test_an_unknown_class_that_keeps_what_kagent_left_pending():
    env = Forgetful(AutoresetMode.NEXT_STEP, [{"lengths": (3,)}, {"lengths": (4,), "offset": 1}])
    for steps in (3, 4, 5):
        check_true_transitions(environments.make(env), steps)


@pytest.mark.parametrize("cls", [Forgetful, NativeCounter])
@pytest.mark.parametrize("lengths", [((3,), (4,)), ((3,), (1,)), ((1,), (1,))])
@pytest.mark.parametrize("wrap", [lambda env: env, lambda env: TransformReward(env, lambda r: r)])
def test_an_unknown_class_that_keeps_what_its_owner_left_pending(cls, lengths, wrap):
    env = wrap(cls(AutoresetMode.NEXT_STEP, [{"lengths": each, "offset": i} for i, each in enumerate(lengths)]))
    assert check_true_transitions(environments.make(env), 1) == 2  # a new one loses no row
    for steps in range(1, 6):
        used(env, steps)
        assert check_true_transitions(environments.make(env), 1) == 2
        check_true_transitions(environments.make(env), 7)


def test_an_environment_that_was_made_here_takes_no_step_to_find_out():
    made = []
    envs = environments.make(
        lambda: made.append(Forgetful(AutoresetMode.NEXT_STEP, [{"lengths": (3,)}] * 2)) or made[0]
    )
    envs.reset()
    assert len(made[0].resets) == 1
    envs.close()


def test_gymnasium_still_keeps_a_pending_reset_through_a_manual_one():
    """Where this fails, gymnasium was mended: `autoreset.keeps_pending` must then be False for it."""
    env = used(asynchronous((2,)), 2)
    try:
        env.reset()
        observation, reward, *_ = env.step(np.zeros(1, np.int64))
        assert autoreset.keeps_pending(env)
        assert observation[0].tolist() == [0, 2, 0] and reward[0] == 0  # begun by the step, not a successor
    finally:
        env.close()


def test_the_first_allowed_action_of_every_kind_of_space():
    space = gymnasium.spaces.Tuple(
        (
            gymnasium.spaces.Discrete(3, start=5),
            gymnasium.spaces.MultiDiscrete([2, 3]),
            gymnasium.spaces.MultiBinary(2),
            gymnasium.spaces.Box(np.array([-1, 2, -np.inf]), np.array([1, 3, -4]), dtype=np.float64),
        )
    )
    free = autoreset.first_allowed(Structure(space, "action_space"), None, 2)
    assert [x.tolist() for x in free] == [[5, 5], [[0, 0]] * 2, [[0, 0]] * 2, [[0, 2, -4]] * 2]
    masks = [np.array([[False, False, True]]), np.array([[False, True, False, True, True]]), None, None]
    found = autoreset.first_allowed(Structure(space, "action_space"), masks, 1)
    assert [x.tolist() for x in found[:2]] == [[7], [[1, 1]]] and all(space.contains(each) for each in zip(*found))
