"""Rings of timesteps that store large observations once: the same batches as of whole rows, whatever the environments do."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import thorough

import kagent
from kagent.memories import Recent, ReplaySequences, Transition, frames, linked_storage
from kagent.memories.framed_sequences import FramedSequences
from kagent.memories.storage import Storage
from kagent.reward_estimation import RewardEstimation
from kagent.schedules import Clock
from kagent.update import Update

COUNT = 3
OBSERVATION = spaces.Tuple(
    (
        spaces.Box(0, 255, (8, 8, COUNT + 1), np.uint8),  # a stack
        spaces.Box(-np.inf, np.inf, (6, 6, 1), np.float32),  # an image
        spaces.Box(-np.inf, np.inf, (2,), np.float32),
        spaces.Discrete(7),
    )
)
RULES = {
    Recent: Update(batch_size=6, frequency=1),
    ReplaySequences: Update(batch_size=6, frequency=1, steps=2),
}


def built(capacity, num_envs, kind=ReplaySequences, framed=True):
    memory = kind(capacity, **({"sequence_length": 3, "burn_in": 1} if kind is ReplaySequences else {}))
    memory.configure(RULES[kind], RewardEstimation(), Clock)
    memory.keep_sequences()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(frames, "LEAST", 20 if framed else 10**9)
        patched.setattr(linked_storage, "LEAST", 10**9)
        memory.build(OBSERVATION, spaces.Discrete(5), num_envs=num_envs)
    assert type(memory.storage) is (FramedSequences if framed else Storage)
    return memory


def leaves(stacks):
    """Observations of frames of these numbers, `(N, COUNT + 1)`; the image, the vector and the choice are of the newest."""
    stacks = np.asarray(stacks)
    first = np.stack([np.stack([np.full((8, 8), n % 256, np.uint8) for n in stack], -1) for stack in stacks])
    newest = stacks[:, -1].astype(np.float32)
    return [first, newest[:, None, None, None] + np.zeros((6, 6, 1)), np.stack([newest, -newest], 1), stacks[:, -1] % 7]


class Environments:
    """Of each environment the stack that it is in. They do not go in step, and some episodes change without an end."""

    def __init__(self, num_envs):
        self.number, self.here = 0, [self.first(env) for env in range(num_envs)]

    def first(self, env):
        return (100 * env,) * (COUNT + 1) if env % 2 else (0,) * COUNT + (100 * env,)

    def step(self, kinds):
        self.number += 1
        here = list(self.here)
        after = [(*stack[1:], (stack[-1] + 1) % 250) for stack in here]
        ended = np.array([kind == "end" for kind in kinds]), np.array([kind == "cut" for kind in kinds])
        valid = None if "out" not in kinds else np.array([kind != "out" for kind in kinds])
        for env, kind in enumerate(kinds):
            if kind != "out":
                self.here[env] = after[env] if kind == "on" else self.first(env)
        reward = 10.0 * self.number + np.arange(len(kinds))
        return Transition(leaves(here), [np.asarray(here)[:, -1] % 5], reward, *ended, leaves(after), valid=valid)


def assert_equal(one, other, rule):
    """What is drawn from two memories is the same."""
    assert np.array_equal(one.written, other.written) and one.has_any == other.has_any
    for number in range(2 if one.has_any else 0):
        drawn = [memory.experience(next(memory.elements(rule, 1, seed=3, start=number))) for memory in (one, other)]
        for first, second in zip(*map(tf.nest.flatten, drawn)):
            np.testing.assert_array_equal(first, second)
            assert first.dtype == second.dtype and first.shape == second.shape


STEP = st.lists(st.sampled_from(["on"] * 6 + ["end", "cut", "jump", "out"]), min_size=3, max_size=3)


@settings(max_examples=12, deadline=None)
@given(
    data=st.data(),
    capacity=st.integers(12, 30),
    num_envs=st.integers(1, 3),
    kind=st.sampled_from([Recent, ReplaySequences]),
)
def test_any_stream_gives_the_batches_of_whole_rows(data, capacity, num_envs, kind):
    framed, whole, envs = (
        built(capacity, num_envs, kind),
        built(capacity, num_envs, kind, False),
        Environments(num_envs),
    )
    for event in data.draw(st.lists(st.one_of(STEP, STEP, STEP, st.sampled_from(["save", "load"])), max_size=40)):
        if event in ("save", "load"):  # a file of frames, or of whole rows as they were written before
            state = {name: np.array(value) for name, value in (framed if event == "save" else whole).state().items()}
            framed = built(capacity, num_envs, kind)
            framed.append_step(Environments(num_envs).step(["on"] * num_envs))
            framed.restore({name: iter([value[:5], value[5:]]) for name, value in state.items()})
        else:
            step = envs.step(event[:num_envs])
            for memory in (framed, whole):
                memory.append_step(step)
    assert_equal(framed, whole, RULES[kind])


def test_an_observation_takes_the_room_of_one_frame():
    memory, envs = built(60, 3), Environments(3)
    for number in range(200):
        memory.append_step(envs.step(["out" if (number + env) % 5 == 0 else "on" for env in range(3)]))
    for pools in memory.storage.pools.values():
        assert [pool.used <= 20 + 2 * COUNT for pool in pools] == [True] * 3
    assert memory.storage.widths == {"float32": 2 * (2 + 1) + 1 + 1 + 2}


def test_frames_of_files_that_do_not_fit_are_refused():
    memory, envs = built(12, 2), Environments(2)
    for _ in range(9):
        memory.append_step(envs.step(["on", "on"]))
    state = {name: np.array(value) for name, value in memory.state().items()}
    ids, pool = "frame_ids.observation.0.1", "frames.observation.0.1"
    for wrong in ({ids: state[ids] + 1}, {ids: state[ids][:-1]}, {pool: state[pool][:-1]}, {pool: state[pool][:, 1:]}):
        with pytest.raises(ValueError, match="Saved memory"):
            built(12, 2).restore({**state, **wrong})


class Blinks(gymnasium.Env):
    """An image of one shade, which changes at each timestep. The same array each time, changed in place."""

    observation_space, action_space = spaces.Box(0, 255, (24, 24, 1), np.uint8), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.image, self.time = np.zeros((24, 24, 1), np.uint8), 0
        return self.image, {}

    def step(self, action):
        self.time += 1
        self.image[:] = self.time * 20 + action
        return self.image, float(action), self.time == 7, False, {}


def recurrent_dqn():
    return kagent.DQN(
        Blinks(), network=["flatten", {"type": "internal_lstm", "size": 3}], batch_size=6, start=20, frequency=20, seed=0,
        exploration=0.5, memory=ReplaySequences(50, sequence_length=3, burn_in=1), execution={"run_eagerly": True},
    )  # fmt: skip


@pytest.mark.eager
@pytest.mark.thorough
def test_a_recurrent_dqn_of_images_comes_back(tmp_path):
    whole, first, second = (recurrent_dqn() for _ in range(3))
    whole.fit(Blinks, n_envs=2, steps=80, verbose=0)
    first.fit(Blinks, n_envs=2, max_steps=44, verbose=0)
    first.save_weights(tmp_path / "half.weights.h5")
    second.load_weights(tmp_path / "half.weights.h5")
    second.fit(Blinks, n_envs=2, max_steps=80, verbose=0)
    assert whole.gradient_steps == second.gradient_steps > 2
    assert np.array_equal(whole.policy.get_theta(), second.policy.get_theta())
    check_shades(whole.memory)


def check_shades(memory):
    (pools,) = memory.storage.pools.values()
    assert all(
        pool.used <= 8 * 2 for pool in pools
    )  # of each environment so many shades, though 25 timesteps have two each
    images = [memory.storage.views[f"{name}.0"][np.arange(50)] for name in ("observation", "next_observation")]
    before, after = (image[:, 0, 0, 0] // 20 for image in images)
    assert (after == before + 1).all() and set(before) == set(range(7))


@pytest.mark.eager
@pytest.mark.parametrize(
    "mode", [AutoresetMode.NEXT_STEP, *map(thorough, (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED))]
)
def test_images_of_vector_environments(mode):
    agent = recurrent_dqn()
    agent.fit(SyncVectorEnv([Blinks] * 2, autoreset_mode=mode), steps=60, verbose=0)
    check_shades(agent.memory)
