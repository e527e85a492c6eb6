"""The recorded stream is the single-environment truth: every source, autoreset mode and episode length."""

from __future__ import annotations

import functools

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import counters, record, truth
from toy_envs import ENDS, Counter, NativeCounter

from kagent import environments

MODES = list(AutoresetMode)
cases = st.fixed_dictionaries(
    {
        "num_envs": st.integers(1, 5),
        "lengths": st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=4), min_size=1, max_size=5),
        "ends": st.lists(st.sampled_from(ENDS), min_size=1, max_size=3),
        "nested": st.booleans(),
        "masked": st.booleans(),
        "seed": st.integers(0, 2**16),
    }
)


def build(source: str, mode: AutoresetMode, arguments: list[dict], **options) -> environments.Environments:
    functions = [functools.partial(Counter, **each) for each in arguments]
    if source == "list":
        return environments.SingleEnvs([function() for function in functions], owned=True)
    if source == "native":
        return environments.make(lambda: NativeCounter(mode, arguments, **options))
    vector = {"sync": SyncVectorEnv, "async": AsyncVectorEnv}[source]
    return environments.make(lambda: vector(functions, autoreset_mode=mode, **options))


def check(envs: environments.Environments, arguments: list[dict], mode: AutoresetMode, seed: int, steps: int = 30):
    """Compares the stream with the truth, row by row, and which rows are valid with the mode's contract."""
    try:
        stream = record(envs, steps, seed)
    finally:
        envs.close()
    for rows, each in zip(stream, arguments):
        valid = [row for row in rows if row["valid"]]
        expected = truth(each, [row["action"] for row in valid])
        assert [{key: row[key] for key in expected[0]} for row in valid] == expected
        ends = [row["valid"] and (row["terminated"] or row["truncated"]) for row in rows]
        next_step = mode is AutoresetMode.NEXT_STEP
        assert [not row["valid"] for row in rows] == [False] + [next_step and end for end in ends[:-1]]
        for row, end, later in zip(rows, ends, rows[1:]):
            assert row["then"] == later["observation"]
            # What comes next is the successor, but after an end in the modes that reset at once.
            assert (row["then"] == row["next_observation"]) == (next_step or not end)


@settings(max_examples=30, deadline=None)
@given(case=cases)
def test_list_of_single_envs_gives_the_true_stream(case):
    check_case("list", AutoresetMode.DISABLED, **case)


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=40, deadline=None)
@given(case=cases)
def test_sync_vector_env_gives_the_true_stream(mode, case):
    check_case("sync", mode, **case)


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=25, deadline=None)
@given(case=cases, batched=st.booleans())
def test_native_vector_env_that_reuses_its_arrays_gives_the_true_stream(mode, case, batched):
    check_case("native", mode, **{**case, "nested": False, "masked": False}, options={"batched_final": batched})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_envs, nested, shared", [(1, False, True), (3, True, True), (5, False, False)])
def test_async_vector_env_gives_the_true_stream(mode, num_envs, nested, shared):
    case = {"lengths": [[1, 4], [3], [1], [2, 1, 5], [6]], "ends": ["terminated", "truncated", "both"]}
    options = {"shared_memory": shared, "context": "forkserver"}
    check_case("async", mode, num_envs, **case, nested=nested, masked=nested, seed=7, options=options)


def check_case(source, mode, num_envs, lengths, ends, nested, masked, seed, options=None):
    arguments = counters(num_envs, lengths, ends, nested=nested, masked=masked)
    check(build(source, mode, arguments, **(options or {})), arguments, mode, seed)


@pytest.mark.parametrize(
    "source, mode",
    [("list", AutoresetMode.DISABLED), *(("sync", mode) for mode in MODES)],
)
@pytest.mark.parametrize("nested", [False, True])
def test_env_that_reuses_its_observation_buffer_does_not_corrupt_the_stream(source, mode, nested):
    arguments = counters(3, [[2], [1, 3], [4]], ["terminated", "truncated"], nested=nested)
    check(build(source, mode, [{**each, "reuse": True} for each in arguments]), arguments, mode, 3)


@pytest.mark.parametrize("mode", MODES)
def test_vector_env_that_does_not_copy_gives_the_true_stream(mode):
    arguments = counters(2, [[2], [1, 3]], ["truncated"])
    check(build("sync", mode, arguments, copy=False), arguments, mode, 3)


@pytest.mark.parametrize("shared", [True, False])
def test_a_manual_reset_while_async_workers_are_about_to_reset(shared):
    """Workers without shared memory reset once more (gymnasium 1.4): that row must not be valid."""
    arguments = counters(2, [[2], [3]], ["terminated"])
    envs = build("async", AutoresetMode.NEXT_STEP, arguments, shared_memory=shared, context="forkserver")
    try:
        envs.reset()
        for _ in range(2):
            transition = envs.step([np.zeros(2, np.int64)])
        assert transition.ended == [0]
        envs.reset()
        for _ in range(4):
            observation = [part.copy() for part in envs.observation]
            transition = envs.step([np.zeros(2, np.int64)])
            for i in np.flatnonzero(transition.valid):
                episode, step = observation[0][i, 1:].tolist()
                assert transition.next_observation[0][i].tolist() == [i, episode, step + 1]
                assert transition.reward[i] == 100 * episode + step
    finally:
        envs.close()


def test_native_cartpole_of_gymnasium_agrees_with_its_own_physics():
    """NEXT_STEP, float32 rewards: each valid successor continues its observation, x += tau * x_dot."""
    envs = environments.make(
        lambda: gymnasium.make_vec("CartPole-v1", num_envs=4, vectorization_mode="vector_entry_point")
    )
    envs.reset()
    random, valid, invalid = np.random.default_rng(0), 0, 0
    for _ in range(300):
        before = envs.observation[0].copy()
        transition = envs.step([random.integers(0, 2, 4)])
        rows = transition.valid
        expected = before[rows, 0] + 0.02 * before[rows, 1]
        np.testing.assert_allclose(transition.next_observation[0][rows, 0], expected, atol=1e-6)
        assert (transition.reward[rows] == 1).all() and (transition.reward[~rows] == 0).all()
        valid, invalid = valid + rows.sum(), invalid + (~rows).sum()
    assert valid > 1000 and invalid > 20
    envs.close()
