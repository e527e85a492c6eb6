"""Memories of consecutive timesteps that store observations once: the same batches as of whole rows, whatever the stream is."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent import RewardEstimation, Update
from kagent.memories import (
    Hindsight,
    Recent,
    RecentEpisodes,
    ReplayEpisodes,
    ReplaySequences,
    Rollout,
    Transition,
    linked_storage,
)
from kagent.memories.linked_storage import LinkedStorage
from kagent.memories.storage import Storage
from kagent.schedules import Clock

_PLACE = spaces.Box(-np.inf, np.inf, (2,), np.float32)
OBSERVATION = spaces.Dict(
    [("achieved_goal", _PLACE), ("desired_goal", _PLACE), ("image", spaces.Box(0, 255, (5, 5, 1), np.uint8))]
)
CAPACITY = 24
MEMORIES = {
    "Recent": (lambda: Recent(CAPACITY), Update(batch_size=6, frequency=1)),
    "ReplaySequences": (
        lambda: ReplaySequences(CAPACITY, sequence_length=3, burn_in=1),
        Update(batch_size=6, frequency=1, steps=2),
    ),
    "RecentEpisodes": (lambda: RecentEpisodes(CAPACITY), Update("episodes", batch_size=2, frequency=1)),
    "ReplayEpisodes": (lambda: ReplayEpisodes(CAPACITY), Update("episodes", batch_size=2, frequency=1, steps=2)),
    "Hindsight": (lambda: hindsight(), Update(batch_size=6, frequency=1, steps=2)),
    "Rollout": (lambda: Rollout(CAPACITY // 3), Update(batch_size=6, epochs=2)),
}


def hindsight():
    return Hindsight(CAPACITY, compute_reward=lambda got, goal, info: -np.abs(got - goal).sum(-1))


def built(kind, num_envs, linked=True, horizon=0):
    make, rule = MEMORIES[kind]
    memory = make()
    memory.configure(rule, RewardEstimation(horizon=horizon), Clock)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(linked_storage, "LEAST", 8 if linked else 10**9)
        patched.setattr(linked_storage, "LARGE", 8 if linked else 10**9)
        memory.build(OBSERVATION, spaces.Discrete(3), num_envs=num_envs)
    assert type(memory.storage) is (LinkedStorage if linked else Storage)
    return memory


class Stream:
    """Environments whose observations are numbers."""

    def __init__(self, num_envs):
        self.count, self.here = 0, np.zeros(num_envs)

    def leaves(self, numbers):
        place = np.stack([numbers, -numbers], 1).astype(np.float32)
        image = np.broadcast_to(numbers[:, None, None, None] % 251, (len(numbers), 5, 5, 1)).astype(np.uint8)
        return [place, place * 0 + 7, image]

    def step(self, kinds):
        """Of each environment: "on", "still" (the same observation again), "end", "cut" or "out" (no timestep)."""
        here = self.here.copy()
        after = here + np.array([kind != "still" for kind in kinds])
        ends = np.array([kind == "end" for kind in kinds]), np.array([kind == "cut" for kind in kinds])
        valid = np.array([kind != "out" for kind in kinds])
        for env, kind in enumerate(kinds):
            if kind in ("end", "cut"):
                self.count += 50
                self.here[env] = self.count
            elif kind != "out":
                self.here[env] = after[env]
        reward = -np.abs(after - 7) - np.abs(-after - 7)
        return Transition(self.leaves(here), [here % 3], reward, *ends, self.leaves(after), valid=valid)


def assert_equal_elements(kind, memories):
    rule = MEMORIES[kind][1]
    assert len({memory.has_any for memory in memories}) == 1
    for number in range(2 if memories[0].has_any else 0):
        elements = [memory.elements(rule, 1, 3, number) for memory in memories]
        found = [memory.experience(next(element)) for memory, element in zip(memories, elements)]
        for one, *others in zip(*map(tf.nest.flatten, found)):
            for other in others if one is not None else ():
                np.testing.assert_array_equal(one, other)
                assert one.dtype == other.dtype and one.shape == other.shape


KINDS = st.sampled_from(["on"] * 6 + ["still", "end", "end", "cut", "out"])
STEP = st.lists(KINDS, min_size=3, max_size=3)


@pytest.mark.parametrize("kind", MEMORIES)
@settings(max_examples=12, deadline=None)
@given(data=st.data(), num_envs=st.integers(1, 3), horizon=st.sampled_from([0, 2]))
def test_any_stream_gives_the_batches_of_whole_rows(kind, data, num_envs, horizon):
    horizon = horizon if kind == "Hindsight" else 0
    linked, whole = (built(kind, num_envs, form, horizon) for form in (True, False))
    stream = Stream(num_envs)
    events = st.lists(st.one_of(STEP, STEP, STEP, st.sampled_from(["save", "load", "part", "clear"])), max_size=60)
    for event in data.draw(events):
        if event in ("save", "load"):  # a file of this version, or of whole rows as they were written before
            state = {name: np.array(value) for name, value in (linked if event == "save" else whole).state().items()}
            linked = built(kind, num_envs, horizon=horizon)
            if kind != "Rollout":
                linked.append_step(Stream(num_envs).step(["on"] * num_envs))
            linked.restore({name: iter([value[:5], value[5:]]) for name, value in state.items()})
            if event == "save":
                again = linked.state()
                assert again.keys() == state.keys()
                for name, value in state.items():
                    np.testing.assert_array_equal(value, again[name], err_msg=name)
            continue
        if event in ("part", "clear"):
            for memory in (linked, whole):
                memory.cut_episodes([0]) if event == "part" else memory.clear()
            continue
        if kind == "Rollout" and linked.is_full:
            assert_equal_elements(kind, (linked, whole))
            linked.clear()
            whole.clear()
        if kind.endswith("Episodes") and linked.positions.max() >= CAPACITY - 1:
            event = ["end"] * 3
        step = stream.step(event[:num_envs])
        linked.append_step(step)
        whole.append_step(step)
    assert_equal_elements(kind, (linked, whole))


@pytest.mark.parametrize("kind", MEMORIES)
def test_an_observation_takes_the_room_of_one(kind):
    memory, stream = built(kind, 1), Stream(1)
    for number in range(8 if kind == "Rollout" else 200):
        memory.append_step(stream.step(["end" if number % 20 == 19 else "on"]))
    assert memory.storage.widths["uint8"] == 25
    rows = 8 if kind == "Rollout" else CAPACITY
    assert len(memory.storage._links.state(rows)[1]) <= 3  # ends, and the newest


def test_a_padded_rollout_leads_where_its_newest_timestep_does():
    memory, stream = built("Rollout", 2), Stream(2)
    for _ in range(3):
        memory.append_step(stream.step(["on", "on"]))
    memory.pad()
    found, _ = memory.experience(next(memory.elements(Update(batch_size=6, epochs=1), 1, 0, 0)))
    assert found["next_observation"]["achieved_goal"].numpy()[:, 0, 0].tolist() == [1, 2, 3, 3, 3, 3, 3, 3]
    assert found["valid"].numpy()[:, 0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]


def test_links_to_another_environment_are_refused():
    memory, stream = built("Recent", 2), Stream(2)
    for _ in range(4):
        memory.append_step(stream.step(["on", "on"]))
    state = {name: np.array(value) for name, value in memory.state().items()}
    assert state["ahead"].tolist() == [2, 2, 2, 2, 2, 2, -1, -1]
    for wrong in ([3, 2, 2, 2, 2, 2, -1, -1], [2, 2, 6, 2, 2, 2, -1, -1], [2, 2, 2, 2, 2, -1, 2, -1]):
        with pytest.raises(ValueError, match="Saved memory"):
            built("Recent", 2).restore({**state, "ahead": np.array(wrong)})
