"""Memories of recent timesteps and of whole episodes: in order, kept apart, padded, and exactly restored."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_envs import Counter

import kagent
from kagent import memories
from kagent.memories import Recent, RecentEpisodes, ReplayEpisodes
from kagent.memories.episodes import padded_length

BOX, DISCRETE = spaces.Box(-np.inf, np.inf, (), np.float32), spaces.Discrete(3)


def built(kind, capacity, num_envs=1, **kwargs):
    memory = kind(capacity)
    memory.build(BOX, DISCRETE, num_envs=num_envs, **kwargs)
    return memory


class Stream:
    """Steps of several environments, each reward another number; and what they were, by environment and episode."""

    def __init__(self, num_envs=1):
        self.number, self.num_envs = 0, num_envs
        self.open = [[] for _ in range(num_envs)]
        self.steps = [[] for _ in range(num_envs)]
        self.finished = []

    def append(self, memory, ended=None, valid=None, terminated=True):
        envs = self.num_envs
        numbers = np.arange(self.number, self.number + envs, dtype=np.float64)
        self.number += envs
        ended = np.zeros(envs, bool) if ended is None else np.asarray(ended, bool)
        flags = (ended, np.zeros(envs, bool)) if terminated else (np.zeros(envs, bool), ended)
        memory.append_leaves(
            [numbers.astype(np.float32)], [np.zeros(envs, np.int32)], numbers, *flags,
            [numbers.astype(np.float32) + 0.5], None if valid is None else np.asarray(valid, bool),
        )  # fmt: skip
        for env in range(envs):
            if valid is None or valid[env]:
                self.open[env].append(numbers[env])
                self.steps[env].append(numbers[env])
                if ended[env]:
                    self.finished.append(self.open[env])
                    self.open[env] = []


def experience(memory, batch_size, seed=0):
    """What the learner would see, without the pipeline around it, which takes its time to make."""
    packed = memory._packed(memory._draw_rows(batch_size, 1, seed, 0))
    found, _ = memory.experience({name: tf.convert_to_tensor(array) for name, array in packed.items()})
    return tf.nest.map_structure(lambda x: x.numpy(), found)


def columns(found):
    """The true timesteps of each column, in order."""
    return [found["reward"][found["valid"][:, n], n].tolist() for n in range(found["reward"].shape[1])]


flags = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=3, max_size=3)


@settings(max_examples=20, deadline=None)
@given(capacity=st.integers(3, 14), batch_size=st.integers(1, 14), steps=st.lists(flags, min_size=1, max_size=25))
def test_the_newest_timesteps_of_each_environment_in_order(capacity, batch_size, steps):
    memory, stream = built(Recent, capacity, 3), Stream(3)
    for step in steps:
        stream.append(memory, [e for e, _ in step], [v for _, v in step])
    size = -(-min(batch_size, capacity) // 3)
    if not any(stream.steps):
        assert not memory.has_any
        return
    found = experience(memory, min(batch_size, capacity))
    assert found["reward"].shape == (size, 3)
    assert columns(found) == [kept[-size:] for kept in stream.steps]
    for n, kept in enumerate(stream.steps):  # what is missing of a column, is missing at its begin
        assert found["valid"][:, n].tolist() == [False] * (size - len(kept[-size:])) + [True] * len(kept[-size:])
    assert len(memory) == sum(min(len(kept), -(-capacity // 3)) for kept in stream.steps)


def test_exactly_the_last_timesteps_in_order():
    memory, stream = built(Recent, 10), Stream()
    for step in range(25):
        stream.append(memory, [step % 4 == 3])
        if step >= 6:
            found = experience(memory, 7)
            assert found["reward"][:, 0].tolist() == list(range(step - 6, step + 1)) and found["valid"].all()
            assert found["terminated"][:, 0].tolist() == [n % 4 == 3 for n in range(step - 6, step + 1)]


def test_an_interruption_truncates_the_newest_timestep():
    memory, stream = built(Recent, 6, 2), Stream(2)
    memory.cut_episodes([0, 1])
    stream.append(memory)
    stream.append(memory, [False, True])
    memory.cut_episodes([0, 1])
    stream.append(memory)
    found = experience(memory, 6)
    assert found["truncated"].tolist() == [[False, False], [True, False], [False, False]]


@settings(max_examples=20, deadline=None)
@given(capacity=st.integers(6, 30), batch_size=st.integers(1, 6), steps=st.lists(flags, min_size=1, max_size=60))
def test_the_newest_complete_episodes(capacity, batch_size, steps):
    memory, stream, kept = built(RecentEpisodes, capacity, 3), Stream(3), collections.deque()
    for step in steps:
        ended = [e or len(stream.open[n]) == 5 for n, (e, _) in enumerate(step)]
        before = len(stream.finished)
        stream.append(memory, ended, [v for _, v in step])
        for episode in stream.finished[before:]:
            kept.append(episode)
            while sum(map(len, kept)) > capacity:
                kept.popleft()
        assert len(memory) == sum(map(len, kept)) and memory.finished == len(stream.finished)
    if not kept:
        assert not memory.has_any
        return
    found = experience(memory, batch_size)
    newest = list(kept)[-batch_size:]
    assert [c for c in columns(found) if c] == newest
    assert found["reward"].shape == (padded_length(max(map(len, newest))), batch_size)
    for n, episode in enumerate(newest):
        assert found["terminated"][: len(episode), n].tolist() == [False] * (len(episode) - 1) + [True]
        assert not found["valid"][len(episode) :, n].any()
    assert np.isfinite(found["reward"]).all()


@pytest.mark.sensitive
def test_episodes_are_drawn_uniformly_and_whole(seed_shift):
    memory, stream = built(ReplayEpisodes, 60), Stream()
    for length in (3, 7, 1, 4, 20, 5):
        for step in range(length):
            stream.append(memory, [step == length - 1])
    for _ in range(9):
        stream.append(memory)  # an open episode is not drawn
    drawn = collections.Counter(tuple(column) for column in columns(experience(memory, 6, seed=1 + seed_shift)))
    assert set(drawn) <= {tuple(episode) for episode in stream.finished}
    counts = np.zeros(6)
    firsts = [episode[0] for episode in stream.finished]
    for number in range(1000):
        rows = memory._draw_rows(6, 2, 5 + seed_shift, number).rows[0]
        counts += [(memory.storage.views["reward"][rows] == first).sum() for first in firsts]
    # Chi-squared with 5 degrees of freedom: beyond 40 with probability 1e-7.
    assert counts.sum() == 12_000 and ((counts - 2000) ** 2 / 2000).sum() < 40
    assert not np.array_equal(memory._draw_rows(6, 1, 5, 0).rows, memory._draw_rows(6, 1, 5, 1).rows)
    np.testing.assert_array_equal(memory._draw_rows(6, 1, 5, 3).rows, memory._draw_rows(6, 1, 5, 3).rows)


def test_each_minibatch_has_its_own_episodes():
    memory, stream = built(ReplayEpisodes, 60), Stream()
    for length in (3, 7, 1, 4):
        for step in range(length):
            stream.append(memory, [step == length - 1])
    drawn = memory._draw_rows(2, 3, 0, 0)
    assert drawn.rows.shape == (8, 6) and drawn.indices.shape == (3, 16)
    for k in range(3):
        taken = np.sort(drawn.rows.ravel()[drawn.indices[k]])
        np.testing.assert_array_equal(taken, np.sort(drawn.rows[:, 2 * k : 2 * k + 2].ravel()))


def test_an_episode_that_is_interrupted_is_dropped():
    memory, stream = built(RecentEpisodes, 20, 2), Stream(2)
    stream.append(memory)
    memory.cut_episodes([0])
    stream.append(memory, [True, True])
    assert sorted(columns(experience(memory, 2))) == [[1.0, 3.0], [2.0]]
    memory.cut_episodes(range(2))
    memory.set_num_envs(1)
    Stream(1).append(memory, [True])
    assert columns(experience(memory, 1)) == [[0.0]]


def test_an_episode_that_does_not_fit_is_an_error():
    memory, stream = built(RecentEpisodes, 5), Stream()
    for _ in range(5):
        stream.append(memory)
    with pytest.raises(ValueError, match=r"`memory.capacity` must be at least the length of an episode. Received: 5"):
        stream.append(memory)


def test_long_episodes_make_room():
    memory, stream = built(RecentEpisodes, 1000, 2), Stream(2)
    for step in range(300):
        stream.append(memory, [step == 299] * 2)
    assert columns(experience(memory, 2)) == [list(range(0, 600, 2)), list(range(1, 600, 2))]


@pytest.mark.parametrize("kind", [Recent, RecentEpisodes, ReplayEpisodes])
@pytest.mark.parametrize("sliced", [False, True])
def test_a_restored_memory_goes_on_as_the_saved_one(kind, sliced):
    generator = np.random.default_rng(0)
    for count in (0, 3, 110):
        memory, other, stream = built(kind, 80, 2), built(kind, 80, 2), Stream(2)
        Stream(2).append(other, [True, True])
        for _ in range(count):
            stream.append(memory, generator.random(2) < 0.03, generator.random(2) < 0.9)
            for env in range(2):
                if len(stream.open[env]) > 60:
                    stream.append(memory, [True, True])
        state = {key: value.copy() for key, value in memory.state().items()}
        if sliced:
            state = {key: iter([value[:1], value[1:5], value[5:]]) for key, value in state.items()}
        other.restore(state)
        again = Stream(2)
        for step in range(25):
            for target in (memory, other):
                again.number = 1000 + 2 * step
                again.append(target, [step % 7 == 6, step % 5 == 4])
            if target.has_any:
                a, b = experience(memory, 5, seed=step), experience(other, 5, seed=step)
                for name in a:
                    np.testing.assert_array_equal(a[name], b[name])
        for name, value in memory.state().items():
            np.testing.assert_array_equal(value, other.state()[name], err_msg=name)


@pytest.mark.parametrize("kind", [Recent, RecentEpisodes])
def test_what_does_not_fit_is_refused(kind):
    memory, stream = built(kind, 20, 2), Stream(2)
    for step in range(15):
        stream.append(memory, [step % 3 == 0] * 2)
    state = memory.state()
    for other in (built(kind, 22, 2), built(kind, 20, 1)):
        with pytest.raises(ValueError, match="Saved memory"):
            other.restore(state)
    wrong = {"written": np.array([-1, 3])} if kind is Recent else {"episodes": np.array([[0, 3], [4, 2]])}
    for change in (wrong, {next(iter(wrong)): np.array([1.0])}, {"block.float32": state["block.float32"][:, :-1]}):
        with pytest.raises(ValueError, match="Saved memory"):
            built(kind, 20, 2).restore({**state, **change})


def test_names_give_the_memory_that_suits_the_unit():
    for unit, names in (("timesteps", ("Recent", "Replay")), ("episodes", ("RecentEpisodes", "ReplayEpisodes"))):
        found = [memories.get({"type": name, "capacity": 9}, unit) for name in ("recent", "replay")]
        assert tuple(type(memory).__name__ for memory in found) == names
        for memory in found:
            assert memories.get(memory.get_part(), unit).get_part() == memory.get_part()
    assert isinstance(memories.get(50, "episodes"), ReplayEpisodes)


@pytest.mark.parametrize("kind", [Recent, RecentEpisodes, ReplayEpisodes])
def test_datasets_read_the_memory_as_it_is(kind):
    memory, stream = built(kind, 40, 2, masked=True), Stream(2)
    with pytest.raises(ValueError, match="before anything is drawn"):
        memory.dataset(2)
    with pytest.raises(ValueError, match=r"`batch_size` must be at most the memory's capacity, 40. Received: 41"):
        memory.dataset(41)
    stream.append(memory, [True, True])
    dataset = memory.dataset(2, seed=3)
    elements = iter(dataset)
    for step in range(12):
        stream.append(memory, [step % 4 == 2, step % 3 == 2])
        found, expected = next(elements), memory._draw_rows(2, 1, 3, step).rows
        reward = np.where(expected >= 0, memory.storage.views["reward"][expected], 0)
        np.testing.assert_array_equal(np.where(found["valid"], found["reward"], 0), reward)
        assert found["action_mask"][0].shape == (*expected.shape, 3)
    assert dataset.element_spec["reward"].shape.as_list() == [None, expected.shape[1]]


def test_lengths_are_few():
    assert sorted({padded_length(n) for n in range(1, 501)}) == [8, 16, 32, 64, 128, 256, 512]


# In an agent -----------------------------------------------------------------------------------------------


def agent_of(env, memory, rule, **parts):
    agent = kagent.Agent(
        env,
        **{
            "policy": {"type": "StochasticPolicy", "network": {"type": "mlp", "units": [4]}},
            "objective": "policy_gradient",
            "memory": memory,
            "update": rule,
            "reward_estimation": {"horizon": "episode", "discount": 0.5},
            "exploration": "sampling",
            "seed": 0,
            **parts,
        },
    )
    agent.compile(jit_compile=False)
    return agent


def test_the_program_is_traced_once_per_padded_length():
    env = Counter(lengths=(3, 5, 8, 12, 16, 4, 30, 2), ends=("terminated", "truncated"))
    agent = agent_of(env, {"type": "recent", "capacity": 200}, {"unit": "episodes", "batch_size": 2, "frequency": 1})
    agent.fit(env, episodes=24, verbose=0)
    assert agent.updates == 23 and agent.train_function.traces == 3  # of 8, 16 and 32 timesteps
    agent.fit(env, episodes=24, verbose=0)
    assert agent.train_function.traces == 3


def test_padding_has_no_effect():
    """What is learned from episodes of 3 and 5 timesteps is what is learned from the same steps as a rollout."""
    seen = []

    class Watching(kagent.Agent):
        def train_step(self, batch):
            seen.append({name: value for name, value in batch.items() if name != "observation"})
            return super().train_step(batch)

    env = Counter(lengths=(3, 5))
    agent = Watching(
        env, policy={"type": "StochasticPolicy", "network": {"type": "mlp", "units": [4]}}, objective="policy_gradient",
        memory={"type": "recent", "capacity": 50}, update={"unit": "episodes", "batch_size": 2},
        reward_estimation={"horizon": "episode", "discount": 0.5}, exploration="sampling", seed=0,
    )  # fmt: skip
    agent.compile(run_eagerly=True)
    agent.fit(env, episodes=2, verbose=0)
    (batch,) = seen
    weight = batch["weight"].numpy().reshape(8, 2)
    assert weight.tolist() == [[1, 1]] * 3 + [[0, 1]] * 2 + [[0, 0]] * 3
    reward = np.where(weight > 0, agent.memory.storage.views["reward"][agent.memory._draw_rows(2, 1, 0, 0).rows], 0)
    expected = np.zeros((9, 2))
    for t in range(7, -1, -1):
        expected[t] = reward[t] + 0.5 * expected[t + 1]
    np.testing.assert_allclose(batch["return"].numpy().reshape(8, 2)[weight > 0], expected[:8][weight > 0], rtol=1e-6)


@pytest.mark.parametrize("memory, rule", [
    ({"type": "replay", "capacity": 60}, {"unit": "episodes", "batch_size": 3, "frequency": 1, "steps": 2}),
    ({"type": "recent", "capacity": 60}, {"unit": "timesteps", "batch_size": 8, "frequency": 4}),
])  # fmt: skip
def test_q_learning_from_sequences(memory, rule):
    seen = []

    class Watching(kagent.DQN):
        def train_step(self, batch):
            seen.append(tf.nest.map_structure(lambda x: x.numpy(), batch))
            return super().train_step(batch)

    env = Counter(lengths=(3, 5), ends=("terminated", "truncated"))
    agent = Watching(
        env, network={"type": "mlp", "units": []}, memory=memory, update=rule, seed=0, double=True,
        reward_estimation={"horizon": 1, "discount": 0.5},
    )  # fmt: skip
    agent.compile(run_eagerly=True)
    agent.fit(env, steps=30, verbose=0)
    assert len(seen) > 4
    for batch in seen:
        real = batch["weight"] > 0
        assert real.any()
        if memory["type"] == "recent":
            real[-1] = False  # cut there: a window of one timestep
        observation, following = batch["observation"][real], batch["next_observation"][real]
        _, episode, time = observation.T
        length = np.where(episode % 2 == 0, 3, 5)
        m = np.minimum(2, length - time)
        np.testing.assert_array_equal(following[:, 1], episode)
        np.testing.assert_array_equal(following[:, 2], time + m)
        np.testing.assert_allclose(batch["discount"][real], np.where(batch["terminated"][real], 0.0, 0.5**m))
        np.testing.assert_array_equal(batch["terminated"][real], (time + m == length) & (episode % 2 == 0))
        base = 100 * episode + time
        rest = batch["reward"][real] - base - np.where(m == 2, 0.5 * (base + 1), 0)
        assert ((rest >= 0) & (rest <= 0.375)).all()  # the actions' part, up to 2/8 each
