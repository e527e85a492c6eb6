"""Replay memories that store observations once: the same batches as a list of whole transitions, whatever the stream is."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import thorough

from kagent import RewardEstimation, Update
from kagent.memories import Prioritized, Replay, Transition, linked_storage
from kagent.memories.storage import Column, Storage
from kagent.schedules import Clock
from kagent.testing.memory import check_memory

OBSERVATION = spaces.Tuple(
    (spaces.Box(-np.inf, np.inf, (2,), np.float32), spaces.Box(0, 255, (3, 3, 2), np.uint8), spaces.Discrete(7))
)
ACTION = spaces.Discrete(5)


def built(capacity, num_envs=1, kind=Replay, linked=True):
    memory = kind(capacity)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(linked_storage, "LEAST", 1 if linked else 10**9)
        memory.build(OBSERVATION, ACTION, num_envs=num_envs)
    assert (type(memory.storage) is not Storage) == linked
    return memory


def leaves(numbers):
    """Observations of these numbers; every fifth one is not a number."""
    numbers = np.asarray(numbers)
    vector = np.stack([numbers, np.where(numbers % 5 == 0, np.nan, -numbers)], 1).astype(np.float32)
    image = np.broadcast_to(numbers[:, None, None, None] % 251, (len(numbers), 3, 3, 2)).astype(np.uint8)
    return [vector, image, (numbers % 7).astype(np.int32)]


class Stream:
    """Environments whose observations are numbers, into a memory and into a list."""

    def __init__(self, memory, capacity):
        self.memory, self.capacity, self.rows, self.written, self.count = memory, capacity, [None] * capacity, 0, 0
        self.here = [self.fresh() for _ in range(memory.num_envs)]

    def fresh(self):
        self.count += 100
        return self.count

    def step(self, kinds):
        """Of each environment: "on", "end", "cut", "jump" (the next observation is not what follows) or "out" (invalid)."""
        here = list(self.here)
        after = [number + 1 for number in here]
        flags = np.array([kind == "end" for kind in kinds]), np.array([kind == "cut" for kind in kinds])
        valid = np.array([kind != "out" for kind in kinds])
        reward = np.arange(self.written, self.written + len(kinds)).astype(np.float64)
        self.memory.append_step(
            Transition(leaves(here), [np.asarray(here) % 5], reward, *flags, leaves(after), valid=valid)
        )
        for env, kind in enumerate(kinds):
            if kind == "out":
                continue
            row = (here[env], reward[env], kind == "end", kind == "cut", after[env])
            self.rows[self.written % self.capacity] = row
            self.written += 1
            self.here[env] = after[env] if kind == "on" else self.fresh()

    def sequence(self, length):
        """Timesteps of one environment that is none of those attached; every third one ends an episode."""
        numbers = self.fresh() + np.arange(length)
        ended = numbers % 3 == 2
        self.memory.append_sequence(
            Transition(leaves(numbers), [numbers % 5], numbers * 1.0, ended, ended & False, leaves(numbers + 1))
        )
        for number in numbers.tolist():
            self.rows[self.written % self.capacity] = (number, float(number), number % 3 == 2, False, number + 1)
            self.written += 1

    def exchange(self, num_envs):
        """So many other environments from now on."""
        self.memory.cut_episodes(range(self.memory.num_envs))
        self.memory.set_num_envs(num_envs)
        self.here = [self.fresh() for _ in range(num_envs)]

    def check(self):
        size = min(self.written, self.capacity)
        assert len(self.memory) == size
        if size:
            packed = self.memory.storage.take(np.arange(size))
            found, _ = self.memory.experience({name: tf.constant(array) for name, array in packed.items()})
            compare(found, self.rows[:size])


def check_extra_rows(storage, size):
    """None is lost, and none is of two rows."""
    links, used = storage._links, storage.links[:size]
    overwritten = links._before[links._waiting >= 0]  # rows whose extra rows are not free yet
    taken = [*used[used >= links._first], *overwritten[overwritten >= links._first], *links._free]
    assert sorted(taken) == list(range(links._first, links._first + links._used))


def compare(batch, rows):
    for name, place in (("observation", 0), ("next_observation", 4)):
        for got, expected in zip(batch[name], leaves([row[place] for row in rows])):
            np.testing.assert_array_equal(got.numpy(), expected)
    for name, place in (("reward", 1), ("terminated", 2), ("truncated", 3)):
        assert batch[name].numpy().tolist() == [row[place] for row in rows]
    assert batch["action"].numpy().tolist() == [row[0] % 5 for row in rows]


KINDS = st.sampled_from(["on"] * 6 + ["end", "cut", "jump", "out"])


def streams(num_envs):
    step = st.lists(KINDS, min_size=num_envs, max_size=num_envs)
    event = st.one_of(step, step, step, st.sampled_from(["interrupt", "save", "clear", "sequence", "environments"]))
    return st.lists(event, min_size=1, max_size=40)


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(), capacity=st.integers(1, 15), num_envs=st.integers(1, 4), kind=st.sampled_from([Replay, Prioritized])
)
def test_any_stream_gives_the_rows_of_a_list(data, capacity, num_envs, kind):
    linked = data.draw(st.sampled_from([True, True, False]))
    stream = Stream(built(capacity, num_envs, kind, linked), capacity)
    for event in data.draw(streams(num_envs)):
        if event == "interrupt":
            stream.memory.cut_episodes(range(num_envs))
            stream.here = [stream.fresh() for _ in range(num_envs)]
        elif event == "sequence":
            stream.sequence(data.draw(st.integers(1, 4)))
        elif event == "environments":
            num_envs = data.draw(st.integers(1, 4))
            stream.exchange(num_envs)
        elif event == "clear":
            stream.memory.clear()
            stream.rows, stream.written = [None] * capacity, 0
        elif event == "save":
            other = built(capacity, num_envs, kind, linked)
            other.append_step(Transition(leaves([5]), [np.zeros(1)], *[np.zeros(1)] * 3, leaves([6])))
            other.restore({name: np.array(value) for name, value in stream.memory.state().items()})
            # What is saved does not depend on the past of the memory.
            assert_equal_states(other.state(), stream.memory.state())
            stream.memory = other
        else:
            kinds = (event * num_envs)[:num_envs]  # there may be more or fewer environments than at first
            stream.step(kinds)
        stream.check()
    if not linked:
        return
    check_extra_rows(stream.memory.storage, len(stream.memory))


def test_the_rules_of_memories_hold_with_links(monkeypatch):
    monkeypatch.setattr(linked_storage, "LEAST", 1)
    for kind in (Replay, Prioritized):
        check_memory(lambda kind=kind: kind(50))


def assert_equal_states(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


@pytest.mark.parametrize("num_envs", [1, 3])
def test_batches_are_those_of_a_memory_of_whole_rows(num_envs):
    """Equal seeds draw equal batches, in graphs and on the host."""
    drawn = []
    for linked in (True, False):
        for kind in (Replay, Prioritized):
            stream = Stream(built(20, num_envs, kind, linked), 20)
            for number in range(30):
                stream.step(["end" if number % 7 == 6 else "on"] * num_envs)
            drawn.append(list(stream.memory.dataset(6, steps=3, seed=4).take(3)))
    for one, other in zip(drawn[:2], drawn[2:]):
        for first, second in zip(one, other):
            assert first.keys() == second.keys()
            for got, expected in zip(tf.nest.flatten(first), tf.nest.flatten(second)):
                np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("saved", [True, False], ids=["of links", "of whole rows"])
@pytest.mark.parametrize("num_envs", [thorough(1), 3])
@pytest.mark.parametrize("steps", [2, 6, 17])
@pytest.mark.parametrize("capacity", [12, thorough(20)])
def test_a_file_of_one_form_loads_into_a_memory_of_the_other(saved, num_envs, steps, capacity):
    stream = Stream(built(12, num_envs, linked=saved), 12)
    for number in range(steps):
        stream.step(["end" if number % 4 == 3 else "on"] * num_envs)
    arrays = {name: np.array(value) for name, value in stream.memory.state().items()}
    state = {name: iter([value[:5], value[5:]]) for name, value in arrays.items()}
    stream.memory = built(capacity, num_envs, linked=not saved)
    stream.memory.restore(state)
    size = min(stream.written, 12)
    kept = [stream.rows[i % 12] for i in range(stream.written - size, stream.written)]
    if capacity > 12:
        stream.rows, stream.written, stream.capacity = kept + [None] * (capacity - size), size, capacity
    stream.check()
    if not saved:
        inside = stream.memory.storage.links[:size] < capacity
        assert size <= num_envs or inside.any()
        check_extra_rows(stream.memory.storage, size)
    for number in range(steps, steps + 25):
        stream.step(["end" if number % 4 == 3 else "on"] * num_envs)
        stream.check()


def test_observations_of_8_bytes_and_more_are_linked():
    def columns(size, dtype):
        names = ("observation.0", "next_observation.0")
        return [Column(name, (size,), np.dtype(dtype)) for name in names]

    assert not linked_storage.pays(columns(1, np.float32)) and linked_storage.pays(columns(2, np.float32))
    for size, kind in ((1, Storage), (2, linked_storage.LinkedStorage), (128, linked_storage.LinkedStorage)):
        memory = Replay(5)
        memory.build(spaces.Box(-1, 1, (size,), np.float32), ACTION)
        assert type(memory.storage) is kind


def test_extra_rows_are_those_of_ends():
    memory = built(1000)
    stream = Stream(memory, 1000)
    for number in range(5000):
        stream.step(["end" if number % 100 == 99 else "on"])
    assert memory.storage._links._used <= 18  # of 10 episodes, and of those overwritten while others waited
    assert memory.storage.widths == {"float32": 2 + 1 + 1 + 1 + 2, "uint8": 18}
    stream = Stream(built(1000, 4), 1000)
    for number in range(2000):
        stream.step(["end" if number % 100 == 99 else "on"] * 4)
    assert stream.memory.storage._links._used <= 24


def test_environments_that_miss_timesteps_are_linked_all_the_same():
    memory = built(1000, 3)
    stream, random = Stream(memory, 1000), np.random.default_rng(0)
    for _ in range(1000):
        stream.step([("out" if random.random() < 0.3 else "on") for _ in range(3)])
    links, places = memory.storage._links.state(1000)
    assert len(places) == 3  # of the newest
    assert (links[links < 1000] != np.flatnonzero(links < 1000)).all()


@pytest.mark.parametrize("horizon", [1, 3])
def test_windows_are_linked_to_where_they_lead(horizon):
    """Of windows of `horizon + 1` timesteps those have next observations of their own that end with an episode."""
    memory = Replay(1000)
    memory.configure(Update(batch_size=8), RewardEstimation(horizon=horizon), Clock)
    memory.build(OBSERVATION, ACTION, num_envs=2)
    number = np.array([0, 10_000])
    for step in range(2000):
        end = step % 100 == 99
        flags = np.array([end, end]), np.zeros(2, bool)
        memory.append_step(Transition(leaves(number), [number % 5], np.ones(2), *flags, leaves(number + 1)))
        number = number + (500 if end else 1)
    assert len(memory.storage._links.state(1000)[1]) <= (1000 // 200 + 1) * 2 * (horizon + 1) + 2 * horizon
    found, _ = memory.experience({name: tf.constant(a) for name, a in memory.storage.take(np.arange(1000)).items()})
    begin, end = (found[name][0].numpy()[:, 0] for name in ("observation", "next_observation"))
    whole = found["terminated"].numpy() == 0
    np.testing.assert_array_equal((end - begin)[whole], horizon + 1)
    assert set((end - begin)[~whole]) == set(range(1, horizon + 2))


def test_more_environments_wait_longer():
    """The span grows with them, and nothing is lost where it does."""
    capacity = 40_000
    memory = Replay(capacity)
    memory.build(spaces.Box(-np.inf, np.inf, (2,), np.float32), ACTION)
    rows, number = [], 0.0

    def step(count):
        nonlocal number
        here = np.stack([number + np.arange(count) * 1e4, np.zeros(count)], 1).astype(np.float32)
        after = here + np.float32([1, 0])
        rows.extend(zip(here[:, 0].tolist(), after[:, 0].tolist()))
        memory.append_step(Transition([here], [np.zeros(count)], *[np.zeros(count)] * 3, [after]))
        number += 1

    for _ in range(10):
        step(1)
    assert memory.storage.most == 1024
    memory.set_num_envs(1000)
    assert memory.storage.most == 2000
    for _ in range(9):
        step(1000)
    views = memory.storage.views
    assert (
        list(
            zip(views["observation.0"][:9010, 0].tolist(), views["next_observation.0"][np.arange(9010)][:, 0].tolist())
        )
        == rows
    )
    assert len(memory.storage._links.state(9010)[1]) == 1000 + 0  # the newest; the single environment became the first


def test_a_sequence_is_one_episode_after_another():
    memory, numbers = built(50, 2), np.arange(20)
    memory.append_step(Transition(leaves([500, 600]), [np.zeros(2)], *[np.zeros(2)] * 3, leaves([501, 601])))
    ended = numbers % 10 == 9
    memory.append_sequence(
        Transition(leaves(numbers), [numbers % 5], numbers * 1.0, ended, ended & False, leaves(numbers + 1))
    )
    links, places = memory.storage._links.state(22)
    assert (links[2:22] >= 22).sum() == 1 and len(places) == 3  # the first episode leads to where the second begins
    memory.append_step(Transition(leaves([501, 601]), [np.ones(2)], *[np.zeros(2)] * 3, leaves([502, 602])))
    assert memory.storage._links.state(24)[0][:2].tolist() == [22, 23]  # of those attached
    compare({name: value for name, value in memory.experience(
        {name: tf.constant(array) for name, array in memory.storage.take(np.arange(2, 22)).items()}
    )[0].items()}, [(n, n, n % 10 == 9, False, n + 1) for n in numbers.tolist()])  # fmt: skip


def test_links_that_no_memory_has_are_refused():
    stream = Stream(built(8, 2), 8)
    for _ in range(7):
        stream.step(["on", "on"])
    state = {name: np.array(value) for name, value in stream.memory.state().items()}
    ahead = state["ahead"]
    assert ahead.tolist() == [2, 2, 2, 2, -1, -1, 2, 2]
    before = {name: value for name, value in state.items() if name != "ahead"}
    before["links"] = np.array([2, 3, 4, 5, 8, 9, 0, 1])  # as they were written before
    built(8, 2).restore(before)
    for wrong in (
        {"ahead": np.array([2, 2, 2, 2, -1, -1, -1, 2])},  # without a next observation
        {"ahead": np.array([6, 2, 2, 2, -1, -1, 2, 2])},  # to an older one
        {"ahead": np.array([2, 2, 2, 2, -2, -1, 2, 2])},
        {"ahead": np.array([2, 2, 2, 8, -1, -1, 2, 2])},
        {"ahead": ahead[:-1]},
        {"ahead": ahead.astype(np.float32)},
        {"extra.uint8": state["extra.uint8"][:1]},
        {"extra.uint8": state["extra.uint8"][:, :1]},
    ):
        for linked in (True, False):
            with pytest.raises(ValueError, match="Saved memory"):
                built(8, 2, linked=linked).restore({**state, **wrong})
    for wrong in (
        [2, 3, 4, 5, 9, 8, 0, 1],
        [2, 3, 4, 5, 8, 8, 0, 1],
        [-1, 3, 4, 5, 8, 9, 0, 1],
        [6, 3, 4, 5, 8, 9, 0, 1],
    ):
        with pytest.raises(ValueError, match="Saved memory"):
            built(8, 2).restore({**before, "links": np.array(wrong)})


def test_extra_rows_that_do_not_fit_are_refused(monkeypatch):
    memory = built(100)
    monkeypatch.setattr(linked_storage, "_UNCHECKED", 400)
    monkeypatch.setattr("kagent.memories.storage.free_memory", lambda: 10)
    stream = Stream(memory, 100)
    with pytest.raises(ValueError, match=r"needs .* GiB more for next observations.*Give it a smaller capacity"):
        for _ in range(100):
            stream.step(["end"])
