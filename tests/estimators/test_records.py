"""Memories of records: what they keep, in which order, and how they speak of an agent's transitions."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent.config.registry import plain
from kagent.estimators.records import RecentRecords, ReplayRecords
from kagent.memories import get

SPACES = gymnasium.spaces


def filled(memory, count=5):
    for i in range(count):
        memory.step(a=i, b=-i)
    return memory


def test_the_latest_are_kept():
    memory = filled(ReplayRecords(3, 2))
    assert memory.get_by_index(-1) == {"a": 4, "b": -4}
    assert memory.get_by_index(0) == {"a": 2, "b": -2}
    assert memory.can_sample() and not memory.can_sample(1) and memory.can_sample(2)
    assert len(memory) == 3
    with pytest.raises(KeyError, match=r"\['a', 'b'\]"):
        memory.step(a=1)
    with pytest.raises(KeyError, match="c"):
        memory.step(a=1, b=2, c=3)
    assert memory.get_by_index(-1) == {"a": 4, "b": -4} and len(memory) == 3  # what is refused leaves no trace
    for wrong in (3, -4):
        with pytest.raises(IndexError, match="from -3 to 2"):
            memory.get_by_index(wrong)


def test_an_empty_one():
    memory = ReplayRecords(3, 2)
    assert memory.get_by_index(0) is None and len(memory) == 0 and not memory.can_sample()
    with pytest.raises(ValueError, match=r"Not enough data to sample.*2 records.*Received: 0"):
        memory.sample()
    memory.clear()
    memory.step(a=1)
    with pytest.raises(ValueError, match=r"Not enough data to sample.*Received: 1"):
        memory.sample()


def test_samples_are_without_replacement_and_seeded():
    draws = []
    for seed in (7, 7, 8):
        memory = filled(ReplayRecords(50, 20, seed=seed), 80)
        draws.append([memory.sample() for _ in range(3)])
    for batch in draws[0]:
        assert set(batch) == {"a", "b"} and batch["a"].shape == (20,) and batch["a"].dtype == np.int64
        assert len(set(batch["a"].tolist())) == 20 and set(batch["a"].tolist()) <= set(range(30, 80))
        np.testing.assert_array_equal(batch["a"], -batch["b"])
    for one, other in zip(draws[0], draws[1]):
        np.testing.assert_array_equal(one["a"], other["a"])
    assert any((one["a"] != other["a"]).any() for one, other in zip(draws[0], draws[2]))
    seen = {int(a) for batch in draws[0] + draws[2] for a in batch["a"]}
    assert len(seen) > 40  # all over the memory


def test_clearing_keeps_the_keys():
    memory = filled(ReplayRecords(3, 2))
    memory.clear()
    assert len(memory) == 0 and memory.get_by_index(0) is None
    with pytest.raises(KeyError):
        memory.step(c=1)
    memory.step(a=9, b=8)
    assert memory.get_by_index(0) == memory.get_by_index(-1) == {"a": 9, "b": 8}


def test_a_batch_is_in_order_and_handed_out_once():
    memory = RecentRecords(3)
    for a in range(4):
        memory.step(a=a)
    assert memory.can_sample() and memory.get_by_index(0) == {"a": 1} and memory.get_by_index(-1) == {"a": 3}
    assert memory.sample()["a"].tolist() == [1, 2, 3]
    assert len(memory) == 0 and not memory.can_sample()
    with pytest.raises(ValueError, match="Not enough data to sample"):
        memory.sample()
    for a in range(2):
        memory.step(a=a)
    with pytest.raises(ValueError, match=r"Not enough data to sample.*Received: 2"):
        memory.sample()
    memory.step(a=2)
    assert memory.sample()["a"].tolist() == [0, 1, 2]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 20), st.booleans(), st.integers(0, 20))
def test_both_are_queues(size, count, batch, cleared):
    memory = RecentRecords(size) if batch else ReplayRecords(size, 1)
    expected: list[int] = []
    for i in range(count):
        if i == cleared:
            memory.clear()
            expected = []
        memory.step(i=i, twice=[2 * i, 2.5])
        expected = [*expected, i][-size:]
    assert len(memory) == len(expected)
    for index in range(-len(expected), len(expected)):
        record = memory.get_by_index(index)
        assert record["i"] == expected[index] and record["twice"].tolist() == [2 * expected[index], 2.5]


def test_arrays_and_dtypes():
    memory = ReplayRecords(4, 2)
    memory.step(image=np.full((2, 3), 200, np.uint8), reward=1, done=False)
    memory.step(image=np.zeros((2, 3), np.uint8), reward=0.5, done=True)  # the second reward is no integer
    first, second = memory.get_by_index(0), memory.get_by_index(1)
    assert first["image"].dtype == np.uint8 and (first["image"] == 200).all()
    assert (first["reward"], second["reward"]) == (1.0, 0.5) and first["reward"].dtype == np.float32
    assert first["done"].dtype == bool and not first["done"] and second["done"]
    memory.step(image=np.full((2, 3), 300), reward=2**20, done=True)
    assert (memory.get_by_index(0)["image"] == 200).all() and (memory.get_by_index(2)["image"] == 300).all()
    batch = memory.sample()
    assert batch["image"].shape == (2, 2, 3) and batch["reward"].shape == (2,)
    large = ReplayRecords(2, 1)
    large.step(count=2**53 + 1)
    assert large.get_by_index(0) == {"count": 2**53 + 1}


@pytest.mark.parametrize("value", [None, "left", [1, None], [[1], [1, 2]], 1j, {"a": 1}])
def test_records_are_numbers(value):
    with pytest.raises(TypeError, match="`a` must be numbers or bools"):
        ReplayRecords(9, 2).step(a=value)


def test_records_have_one_shape():
    memory = ReplayRecords(9, 2)
    memory.step(a=[1, 2])
    with pytest.raises(ValueError, match=r"`a` must have the shape \(2,\)"):
        memory.step(a=[1, 2, 3])
    with pytest.raises(ValueError, match="`step` needs at least one key"):
        ReplayRecords(9, 2).step()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ReplayRecords(0, 1),
        lambda: ReplayRecords(2.5, 1),
        lambda: ReplayRecords(9, 0),
        lambda: ReplayRecords(9, True),
        lambda: ReplayRecords(10, 11),
        lambda: ReplayRecords(9, 2, seed=-1),
        lambda: RecentRecords(0),
        lambda: RecentRecords("5"),
    ],
)
def test_bad_arguments(make):
    with pytest.raises(ValueError, match=r"`(memory\.)?(capacity|batch_size|seed)` must be"):
        make()
    with pytest.raises(TypeError, match="`index` must be an integer"):
        filled(ReplayRecords(3, 2)).get_by_index(0.5)


@pytest.mark.parametrize("make", [lambda: ReplayRecords(4, 2), lambda: RecentRecords(4)])
def test_one_that_an_agent_uses_speaks_of_transitions(make):
    memory = make()
    assert get(plain(memory)).get_part() == memory.get_part()
    memory.build(SPACES.Box(-1, 1, (2,)), SPACES.Discrete(3, start=1))
    for i in range(5):
        memory.append_leaves(
            [np.full((1, 2), i, np.float32)], [np.asarray([i % 3], np.int32)], np.full(1, i, np.float32),
            np.asarray([i == 3]), np.asarray([i == 4]), [np.full((1, 2), i + 1, np.float32)],
        )  # fmt: skip
    newest = memory.get_by_index(-1)
    assert newest["observation"].tolist() == [4.0, 4.0] and newest["next_observation"].tolist() == [5.0, 5.0]
    assert newest["action"] == 1 and newest["reward"] == 4.0
    assert newest["done"] and newest["truncated"] and not newest["terminated"]
    before = memory.get_by_index(-2)
    assert before["done"] and before["terminated"] and not memory.get_by_index(0)["done"]
    assert memory.get_by_index(0)["reward"] == 1.0
    batch = memory.sample()
    assert {"observation", "action", "reward", "done", "next_observation"} <= set(batch)
    assert batch["observation"].shape == (memory.batch_size, 2)
    np.testing.assert_array_equal(batch["observation"][:, 0], batch["reward"])
    memory.clear()
    memory.step(observation=[0.5, 0.5], action=3, reward=1.0, done=True, next_observation=[1.0, 1.0])
    added = memory.get_by_index(-1)
    assert added["action"] == 2 and added["terminated"] and not added["truncated"]
    memory.step(observation=[0.5, 0.5], action=1, reward=1.0, done=True, next_observation=[1.0, 1.0], terminated=False)
    added = memory.get_by_index(-1)
    assert added["action"] == 0 and not added["terminated"] and added["truncated"] and added["done"]
    with pytest.raises(KeyError, match="next_observation"):
        memory.step(observation=[0.5, 0.5], action=1)


def test_an_agent_does_not_overwrite_records():
    memory = filled(ReplayRecords(3, 2))
    with pytest.raises(ValueError, match=r"`memory` holds 3 records.*clear"):
        memory.build(SPACES.Box(-1, 1, (2,)), SPACES.Discrete(3))
    memory.clear()
    memory.build(SPACES.Box(-1, 1, (2,)), SPACES.Discrete(3))
    assert len(memory) == 0


def test_a_batch_memory_is_full_at_the_end_of_an_episode():
    memory = RecentRecords(3)
    memory.build(SPACES.Box(-1, 1, (2,)), SPACES.Discrete(2))

    def append(terminated=False, truncated=False):
        zeros = [np.zeros((1, 2), np.float32)]
        memory.append_leaves(
            zeros,
            [np.zeros(1, np.int32)],
            np.zeros(1, np.float32),
            np.asarray([terminated]),
            np.asarray([truncated]),
            zeros,
        )
        return memory.is_full

    assert [append(), append(terminated=True), append(), append(), append(truncated=True)] == [
        False, False, False, False, True
    ]  # fmt: skip
    memory.clear()
    memory.at_episode_ends = False
    assert [append(), append(), append()] == [False, False, True]
