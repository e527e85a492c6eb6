"""Replay memories that store frames once: the same batches as a list of whole transitions, whatever the stream is."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import thorough

import kagent
from kagent.files.segments import Segments, opened
from kagent.memories import Prioritized, Replay, Transition, framed_storage, frames, linked_storage
from kagent.memories.framed_storage import FramedStorage
from kagent.memories.linked_storage import LinkedStorage
from kagent.memories.storage import Column, Storage
from kagent.testing.memory import check_memory

COUNT = 3
OBSERVATION = spaces.Tuple(
    (
        spaces.Box(0, 255, (COUNT, 8, 8), np.uint8),
        spaces.Box(-np.inf, np.inf, (2,), np.float32),
        spaces.Box(-np.inf, np.inf, (6, 6, 2), np.float32),
        spaces.Discrete(7),
    )
)
ACTION = spaces.Discrete(5)
FORMS = {"framed": FramedStorage, "linked": LinkedStorage, "whole": Storage}


def built(capacity, num_envs=1, kind=Replay, form="framed", horizon=0):
    memory = kind(capacity)
    if horizon:
        memory._estimation, memory._clock = kagent.RewardEstimation(horizon=horizon), kagent.schedules.Clock
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(frames, "LEAST", 1 if form == "framed" else 10**9)
        patched.setattr(linked_storage, "LEAST", 10**9 if form == "whole" else 1)
        memory.build(OBSERVATION, ACTION, num_envs=num_envs)
    assert type(memory.storage) is FORMS[form]
    return memory


def frame(number, shape, dtype):
    """Frames of different numbers differ; one of five is not a number, where the dtype has that."""
    values = (np.arange(np.prod(shape)) * 7 + number * 13) % 251
    if dtype == np.float32 and number % 5 == 0:
        return np.full(shape, np.nan, dtype)
    return values.reshape(shape).astype(dtype)


def leaves(stacks):
    """Observations that are stacks of frames of these numbers, `(N, COUNT)`; the second one takes the last two."""
    stacks = np.asarray(stacks)
    first = [np.stack([frame(number, (8, 8), np.uint8) for number in stack]) for stack in stacks]
    third = [np.stack([frame(number, (6, 6), np.float32) for number in stack[-2:]], -1) for stack in stacks]
    newest = stacks[:, -1]
    return [np.stack(first), np.stack([newest, -newest], 1).astype(np.float32), np.stack(third), newest % 7]


class Stream:
    """Environments that stack frames, into a memory and into a list."""

    def __init__(self, memory):
        self.memory, self.capacity, self.count = memory, memory.capacity, 0
        self.rows, self.here = [], [self.fresh() for _ in range(memory.num_envs)]

    def fresh(self):
        self.count += 100
        return (self.count,) * COUNT if self.count % 200 else (0,) * (COUNT - 1) + (self.count,)

    def step(self, kinds):
        """Of each environment: "on", "end", "cut", "jump" (another episode unannounced), "odd" (no stack follows), "out"."""
        here = list(self.here)
        after = [(*stack[1:], stack[-1] + 1) for stack in here]
        after = [(9, 8, stack[-1]) if kind == "odd" else stack for kind, stack in zip(kinds, after)]
        ended = np.array([kind == "end" for kind in kinds]), np.array([kind == "cut" for kind in kinds])
        valid = np.array([kind != "out" for kind in kinds])
        reward = np.arange(len(kinds)) + 10.0 * len(self.rows)
        action = [np.asarray(here)[:, -1] % 5]
        self.memory.append_step(Transition(leaves(here), action, reward, *ended, leaves(after), valid=valid))
        for env, kind in enumerate(kinds):
            if kind == "out":
                continue
            self.rows.append((here[env], reward[env], kind == "end", kind == "cut", after[env]))
            self.here[env] = after[env] if kind in ("on", "odd") else self.fresh()

    def kept(self):
        """By place in the ring."""
        placed = {number % self.capacity: row for number, row in enumerate(self.rows)}
        return [placed[place] for place in range(len(placed))]

    def check(self):
        rows = self.kept()
        assert len(self.memory) == len(rows)
        if rows:
            packed = self.memory.storage.take(np.arange(len(rows)))
            found, _ = self.memory.experience({name: tf.constant(array) for name, array in packed.items()})
            compare(found, rows)


def compare(batch, rows):
    for name, place in (("observation", 0), ("next_observation", 4)):
        for got, expected in zip(batch[name], leaves([row[place] for row in rows])):
            np.testing.assert_array_equal(got.numpy(), expected)
            assert got.dtype.as_numpy_dtype in (expected.dtype, np.int32)
    for name, place in (("reward", 1), ("terminated", 2), ("truncated", 3)):
        assert batch[name].numpy().tolist() == [row[place] for row in rows]


def saved(memory):
    return {name: np.array(value) for name, value in memory.state().items()}


KINDS = st.sampled_from(["on"] * 6 + ["end", "cut", "jump", "odd", "out"])


@settings(max_examples=30, deadline=None)
@given(
    data=st.data(), capacity=st.integers(1, 12), num_envs=st.integers(1, 4), kind=st.sampled_from([Replay, Prioritized])
)
def test_any_stream_gives_the_rows_of_a_list(data, capacity, num_envs, kind):
    stream = Stream(built(capacity, num_envs, kind))
    step = st.lists(KINDS, min_size=4, max_size=4)
    for event in data.draw(st.lists(st.one_of(step, step, st.sampled_from(["save", "clear", "envs"])), max_size=30)):
        if event == "save":
            other = built(capacity, num_envs, kind)
            other.append_step(Transition(leaves([(5, 5, 5)]), [np.zeros(1)], *[np.zeros(1)] * 3, leaves([(5, 5, 6)])))
            state = saved(stream.memory)
            other.restore(state)
            assert_equal(saved(other), state)
            stream.memory = other
        elif event == "clear":
            stream.memory.clear()
            stream.rows = []
        elif event == "envs":
            stream.memory.cut_episodes(range(stream.memory.num_envs))
            stream.here = [stream.fresh() for _ in range(1 + len(stream.here) % 4)]
            stream.memory.set_num_envs(len(stream.here))
        else:
            stream.step(event[: len(stream.here)])
        stream.check()


def test_a_frame_of_two_environments_stays_until_the_newest_row_with_it_is_overwritten():
    # An observation of the second one has the frames 9 and 8; in the same timestep they come next in the first one.
    stream = Stream(built(2, 2))
    stream.step(["on", "odd"])
    stream.step(["odd", "on"])
    assert stream.here[0][:2] == stream.rows[-1][0][:2] == (9, 8)
    stream.memory.cut_episodes(range(2))
    stream.here = [stream.fresh()]
    stream.memory.set_num_envs(1)
    stream.step(["on"])
    stream.check()


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


@pytest.mark.thorough
def test_the_rules_of_memories_hold_with_frames(monkeypatch):
    monkeypatch.setattr(frames, "LEAST", 1)
    monkeypatch.setattr(frames, "frame_axis", lambda shape: 0 if shape == (2,) else None)  # frames are numbers
    made = []
    for kind in (Replay, Prioritized):
        check_memory(lambda kind=kind: made.append(kind(50)) or made[-1])
    assert any(isinstance(getattr(memory, "storage", None), FramedStorage) for memory in made)


@pytest.mark.parametrize("num_envs, horizon", [(3, 0), (1, 2), thorough((1, 0)), thorough((3, 2))])
def test_batches_are_those_of_a_memory_of_whole_rows(num_envs, horizon):
    """Equal seeds draw equal batches, in graphs and on the host, of single timesteps and of windows."""
    drawn = []
    for form in ("framed", "whole"):
        for kind in (Replay, Prioritized):
            stream = Stream(built(20, num_envs, kind, form, horizon))
            for number in range(30):
                stream.step(["end" if number % 7 == 6 else "on"] * num_envs)
            drawn.append(list(stream.memory.dataset(6, steps=3, seed=4).take(2)))
    for one, other in zip(drawn[:2], drawn[2:]):
        for first, second in zip(one, other):
            assert first.keys() == second.keys()
            for got, expected in zip(tf.nest.flatten(first), tf.nest.flatten(second)):
                np.testing.assert_array_equal(got, expected)
                assert got.shape == expected.shape and got.dtype == expected.dtype


@pytest.mark.parametrize("form", ["framed", "linked", "whole"])
@pytest.mark.parametrize("num_envs", [thorough(1), 3])
@pytest.mark.parametrize("steps", [2, 17])
@pytest.mark.parametrize("capacity", [12, thorough(20)])
def test_a_file_of_any_form_loads_into_a_memory_of_frames(form, num_envs, steps, capacity):
    stream = Stream(built(12, num_envs, form=form))
    for number in range(steps):
        stream.step(["end" if number % 4 == 3 else "on"] * num_envs)
    state = {name: iter([value[:5], value[5:]]) for name, value in saved(stream.memory).items()}
    stream.memory = built(capacity, num_envs)
    stream.memory.restore(state)
    if capacity > 12:
        stream.rows, stream.capacity = stream.rows[-12:], capacity
    stream.check()
    for number in range(steps, steps + 25):
        stream.step(["end" if number % 4 == 3 else "on"] * num_envs)
        if (number - steps) % 3 == 0:  # in turn at every place of an episode, and at the end
            stream.check()


def test_a_stack_takes_the_room_of_a_frame():
    """100 rows of episodes of 10 steps: 11 frames each, whatever was in a place before."""
    stream = Stream(built(100))
    for number in range(1000):
        stream.step(["end" if number % 10 == 9 else "on"])
    for pool in stream.memory.storage.pools.values():
        assert pool.used <= 100 + 2 * 12
    assert stream.memory.storage.widths == {"float32": 1 + 1 + 2}  # with LEAST of one byte every part is in a pool
    pool = stream.memory.storage.pools["observation.0"]
    assert pool.ids.shape == (100, 2 * COUNT) and pool.frames.shape[1] == 64


@pytest.mark.parametrize("steps", [2, 17])
def test_a_file_that_pooled_stacks_alone_loads(steps, monkeypatch):
    """As versions before wrote it: the other large parts were in rows, twice."""
    monkeypatch.setattr(framed_storage, "large_axes", frames.frame_axes)
    stream = Stream(built(12, 2))
    for number in range(steps):
        stream.step(["end" if number % 4 == 3 else "on"] * 2)
    state = saved(stream.memory)
    assert sorted(name for name in state if name.startswith("frames.")) == [
        "frames.observation.0",
        "frames.observation.2",
    ]
    monkeypatch.undo()
    stream.memory = built(12, 2)
    assert len(stream.memory.storage.pools) == 4
    stream.memory.restore({name: iter([value[:5], value[5:]]) for name, value in state.items()})
    stream.check()
    for number in range(steps, steps + 15):
        stream.step(["end" if number % 4 == 3 else "on"] * 2)
        stream.check()


def test_an_image_beside_a_stack_is_stored_once():
    memory = Replay(200)
    parts = {"stack": spaces.Box(0, 255, (4, 16, 16), np.uint8), "camera": spaces.Box(0, 255, (20, 20, 3), np.uint8)}
    memory.build(spaces.Dict(parts), ACTION)
    camera, stack = memory.observation.leaves
    assert (camera.shape, stack.shape) == ((20, 20, 3), (4, 16, 16))
    random = np.random.default_rng(0)
    here = [random.integers(0, 255, (1, *leaf.shape)).astype(np.uint8) for leaf in (camera, stack)]
    for number in range(600):
        after = [random.integers(0, 255, (1, 20, 20, 3)).astype(np.uint8), np.roll(here[1], -1, 1)]
        after[1][:, -1] = random.integers(0, 255, (16, 16))
        ended = np.array([number % 50 == 49])
        memory.append_step(Transition(here, [np.zeros(1)], np.ones(1), ended, ended & False, after))
        here = after
    assert memory.storage.widths == {"float32": 1 + 1 + 2}
    assert (
        memory.storage.pools["observation.0"].used <= 200 + 2 * 32
    )  # places that are tried before a fresh one is taken


def test_what_is_no_stack_is_kept_whole():
    stream = Stream(built(30))
    for _ in range(100):
        stream.step(["odd"])
        stream.here = [tuple(stream.count + 7 * i for i in range(COUNT))]
        stream.count += 1000
        stream.check()


def test_observations_that_are_no_stacks_and_do_not_fit_are_refused_early(monkeypatch):
    monkeypatch.setattr(frames, "_CHUNK", 64 * 32)
    memory = built(1000)
    monkeypatch.setattr("kagent.memories.storage.free_memory", lambda: 200_000)
    stream = Stream(memory)
    for _ in range(300):
        stream.step(["on"])
    memory.clear()
    with pytest.raises(ValueError, match=r"needs .* GiB more for observations that are no stacks.*Give it a smaller"):
        for number in range(40):
            stream.here = [tuple(1000 * number + 7 * i for i in range(COUNT))]
            stream.step(["odd"])


def test_frames_that_no_memory_has_are_refused():
    stream = Stream(built(8))
    for _ in range(7):
        stream.step(["on"])
    state, name = saved(stream.memory), "observation.0"
    ids, pool = state[f"frame_ids.{name}"], state[f"frames.{name}"]
    assert ids.tolist()[0] == [0, 0, 0, 0, 0, 1] and len(pool) == 8
    for wrong in (
        {f"frame_ids.{name}": ids - 1},
        {f"frame_ids.{name}": ids + 1},
        {f"frame_ids.{name}": ids * 2},
        {f"frame_ids.{name}": ids * 2**27},
        {f"frame_ids.{name}": ids.astype(np.int64)},
        {f"frame_ids.{name}": ids[:-1]},
        {f"frames.{name}": pool[:-1]},
        {f"frames.{name}": pool[:, 1:]},
        {f"frames.{name}": pool.astype(np.float32)},
    ):
        with pytest.raises(ValueError, match="Saved memory"):
            built(8).restore({**state, **wrong})


@pytest.mark.parametrize(
    "shape, axis",
    [
        ((4, 84, 84), 0), ((84, 84, 4), 2), ((84, 84, 3), None), ((3, 84, 84), 0), ((84, 84, 1), None), ((84, 84), None),
        ((4, 64, 64, 3), 0), ((64, 64, 12), 2), ((8, 200), 0), ((200, 8), None), ((200,), None), ((), None), ((4, 84, 4), None),
    ],
)  # fmt: skip
def test_which_axis_has_the_frames(shape, axis):
    assert frames.frame_axis(shape) == axis


def test_frames_of_512_bytes_and_what_a_million_of_them_takes():
    def columns(shape):
        return [
            Column("observation.0", shape, np.dtype(np.uint8)),
            Column("next_observation.0", shape, np.dtype(np.uint8)),
            Column("reward", (), np.dtype(np.float32)),
        ]

    assert not frames.frame_axes(columns((4, 127))) and frames.frame_axes(columns((4, 128)))
    row = sum(c.size * np.dtype(c.block).itemsize for c in framed_storage.framed_columns(columns((84, 84, 4))))
    assert row == 84 * 84 + 8 * 4 + 4


def test_a_long_sequence_leaves_no_copies_behind():
    """Of what it was compared with, a pool keeps one observation of each environment."""
    memory, numbers = built(50), np.arange(COUNT, 40)
    stacks = np.stack([numbers - 2, numbers - 1, numbers], 1)
    ended = numbers % 10 == 9
    flags, reward = (ended, ended & False), numbers * 1.0
    memory.append_sequence(Transition(leaves(stacks), [numbers % 5], reward, *flags, leaves(stacks + 1)))
    for pool in memory.storage.pools.values():
        assert len(pool._here) == len(pool._led) == 1
    packed = memory.storage.take(np.arange(len(numbers)))
    found, _ = memory.experience({name: tf.constant(array) for name, array in packed.items()})
    rows = zip(stacks.tolist(), reward, ended, flags[1], (stacks + 1).tolist())
    compare(found, [tuple(row) for row in rows])


SIZE = 64  # bytes of a frame of the first component


def test_of_a_full_ring_a_save_in_parts_reads_and_writes_what_is_new(tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "_CUT", 5 * SIZE)
    stream, store = Stream(built(40)), Segments(tmp_path / "a.segments")

    def save():
        before, hashed, pool = store.written, store.hashed, stream.memory.state()["frames.observation.0"]
        cut = store.write(pool, pool.cuts, pool.mark)
        read = np.concatenate(list(opened(store.folder, {"pool": cut}, 0)["pool"]))
        np.testing.assert_array_equal(read, pool[:])
        assert store.hashed - hashed == store.written - before  # each frame is other than all before
        return (store.written - before) // SIZE, len(pool)

    for number in range(73):
        stream.step(["end" if number % 13 == 0 else "on"])
    written, kept = save()
    assert written == kept > 40
    for number in range(4):  # rows 33 to 36
        stream.step(["end" if number == 2 else "on"])
    written, _ = save()
    assert 5 <= written <= 3 * 5 + 2 * COUNT  # two or three parts of nine, whatever became of the frames' numbers
    assert save()[0] == 0
