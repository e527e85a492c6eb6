"""Traces of training: whole episodes, exactly what happened, in files that NumPy alone reads."""

import os

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from toy_envs import Counter, Identity, NativeCounter

import kagent
from kagent.callbacks import Callback, Recorder
from kagent.config.run_length import ENDLESS
from kagent.traces import array_name, load_trace, successors, trace_files
from kagent.training.random_streams import RandomStreams
from kagent.training.run import Run

pytestmark = pytest.mark.eager

DTYPES = {
    "observation": "float32", "final_observation": "float32", "action": "int64", "reward": "float64",
    "terminated": "bool", "truncated": "bool", "episode_length": "int64",
}  # fmt: skip


PLAYERS = {}


class Alike(Counter):
    """A Counter whose episodes are alike, so that an open one can be brought back."""

    def reset(self, **arguments):
        self.episode = -1
        return super().reset(**arguments)


def train(small, env, steps, *callbacks, agent=None, **arguments):
    if agent is None:
        observed = env() if callable(env) else env
        given = {"observation_space": observed.observation_space, "action_space": observed.action_space}
        if isinstance(observed, gymnasium.vector.VectorEnv):
            given = {name: getattr(observed, f"single_{name}") for name in given}
        agent = player(small, **given)
    agent.fit(env, steps=steps, verbose=0, callbacks=list(callbacks), **arguments)
    return agent


def player(small, **spaces):
    """An agent that plays at random and never learns, as good as new: making one takes longer than most tests here."""
    key = repr(spaces)
    if key not in PLAYERS:
        PLAYERS[key] = small("dqn", env=None, start=10_000, exploration=1.0, **spaces)
    agent = PLAYERS[key]
    agent._random = RandomStreams(agent.seed)
    for name in agent.counters.__slots__:
        setattr(agent.counters, name, 0)
    agent._clock.bounds = ENDLESS
    agent._run = Run()
    if agent.memory.built:
        agent.memory.clear()
    return agent


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def read(path):
    """With NumPy alone; what kagent reads must be the same."""
    with np.load(path, allow_pickle=False) as file:
        trace = {name: file[name] for name in file.files}
    again = load_trace(path)
    assert again.keys() == trace.keys()
    for name, array in trace.items():
        np.testing.assert_array_equal(array, again[name], strict=True)
    return trace


def check(trace, *episodes):
    """Each episode is (offset, number, length, end), as `Counter` plays them."""
    assert {name: array.dtype.name for name, array in trace.items()} == DTYPES
    assert trace["episode_length"].tolist() == [length for _, _, length, _ in episodes]
    offset, number, time, terminated, truncated = [], [], [], [], []
    for at, episode, length, end in episodes:
        offset += [at] * length
        number += [episode] * length
        time += range(length)
        terminated += [False] * (length - 1) + [end != "truncated"]
        truncated += [False] * (length - 1) + [end != "terminated"]
    np.testing.assert_array_equal(trace["observation"], np.stack([offset, number, time], 1))
    np.testing.assert_array_equal(trace["final_observation"], [(at, e, length) for at, e, length, _ in episodes])
    np.testing.assert_array_equal(trace["reward"], 100.0 * np.array(number) + time + trace["action"] / 8)
    np.testing.assert_array_equal(trace["terminated"], terminated)
    np.testing.assert_array_equal(trace["truncated"], truncated)
    assert trace["action"].min() >= 0 and trace["action"].max() <= 2


# What is in a file -----------------------------------------------------------------------------------------


def test_six_episodes_start_2_frequency_2_one_trace(small, tmp_path):
    env = Counter(lengths=(2, 3), ends=("terminated", "truncated", "both"))
    recorder = Recorder(tmp_path / "made" / "here", frequency=2, start=2, max_traces=1)
    train(small, env, 15, recorder)
    assert names(recorder.directory) == ["trace-000000005.npz"]
    trace = read(recorder.directory / "trace-000000005.npz")
    check(trace, (0, 4, 2, "truncated"), (0, 5, 3, "both"))
    assert len(set(trace["action"])) > 1  # or the rewards above say little


@pytest.mark.parametrize("reuse", [False, True])
def test_every_episode_and_none_that_is_open(small, tmp_path, reuse):
    train(small, Counter(lengths=(2, 3), reuse=reuse), 11, Recorder(tmp_path))
    assert names(tmp_path) == [f"trace-00000000{i}.npz" for i in range(4)]
    for i, path in enumerate(trace_files(tmp_path)):
        check(read(path), (0, i, (2, 3)[i % 2], "terminated"))


def test_several_environments_are_told_apart(small, tmp_path):
    made = iter(range(3))

    def env():
        i = next(made)
        return Counter(lengths=((1, 2, 3)[i],), offset=i, ends=("truncated",))

    agent = player(small, observation_space=Counter().observation_space, action_space=Counter().action_space)
    train(small, env, 18, Recorder(tmp_path, frequency=4), agent=agent, n_envs=3)
    # Episodes in the order of their ends: 1 | 1 2 | 1 3 | 1 2 | 1 | 1 2 3, by length.
    first, second = (read(path) for path in trace_files(tmp_path))
    check(first, *((i, e, i + 1, "truncated") for i, e in ((0, 0), (0, 1), (1, 0), (0, 2))))
    check(second, *((i, e, i + 1, "truncated") for i, e in ((2, 0), (0, 3), (1, 1), (0, 4))))
    assert names(tmp_path) == ["trace-000000003.npz", "trace-000000007.npz"]


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_every_autoreset_mode(small, tmp_path, mode):
    lengths = ({"lengths": (2,), "offset": 1, "ends": ("truncated",)}, {"lengths": (3,), "offset": 2})
    train(small, NativeCounter(mode, lengths), 20, Recorder(tmp_path))
    first = int(mode is AutoresetMode.NEXT_STEP)  # the reset before it is found out what is pending
    counts = {1: first, 2: first}
    for path in trace_files(tmp_path):
        trace = read(path)
        offset = int(trace["observation"][0, 0])
        check(trace, (offset, counts[offset], *((2, "truncated"), (3, "terminated"))[offset - 1]))
        counts[offset] += 1
    assert counts == {1: 5, 2: 3} if mode is not AutoresetMode.NEXT_STEP else min(counts.values()) >= 2


def test_steps_that_only_reset_are_not_recorded(small, tmp_path):
    agent = train(small, SyncVectorEnv([lambda: Counter(lengths=(2,))] * 2), 8, Recorder(tmp_path))
    assert agent.episodes == 4
    for i, path in enumerate(trace_files(tmp_path)):
        check(read(path), (0, i // 2, 2, "terminated"))


def test_names_and_values_of_nested_spaces(small, tmp_path):
    train(small, Counter(lengths=(3,), nested=True, ends=("truncated",)), 6, Recorder(tmp_path, frequency=2))
    trace = read(tmp_path / "trace-000000001.npz")
    leaves = {"box": ("float32", (3,)), "pair/0": ("int64", ()), "pair/1": ("int8", (2,))}
    for leaf, (dtype, shape) in leaves.items():
        for name, count in ((f"observation/{leaf}", 6), (f"final_observation/{leaf}", 2)):
            assert (trace[name].dtype.name, trace[name].shape) == (dtype, (count, *shape))
    assert {name.partition("/")[0] for name in trace} == DTYPES.keys() and len(trace) == len(DTYPES) + 4
    np.testing.assert_array_equal(trace["observation/box"][:, 2], [0, 1, 2] * 2)
    np.testing.assert_array_equal(trace["observation/pair/0"], [3, 4, 5] * 2)  # a Discrete that starts at 3
    np.testing.assert_array_equal(trace["final_observation/pair/0"], [6, 6])
    np.testing.assert_array_equal(trace["observation/pair/1"][:, 1], [0, 1, 0] * 2)
    np.testing.assert_array_equal(trace["final_observation/pair/1"], [[0, 1], [1, 1]])


def test_masks_are_recorded_and_obeyed(small, tmp_path):
    env = Counter(lengths=(3, 2), ends=("truncated", "terminated"), masked=True)
    train(small, env, 10, Recorder(tmp_path, frequency=4))
    trace = read(tmp_path / "trace-000000003.npz")
    states = [(e, t) for e, length in enumerate((3, 2, 3, 2)) for t in range(length)]

    def masks(pairs):
        return [[(e + t) % 3 == i or (e + t + 1) % 3 == i for i in range(3)] for e, t in pairs]

    assert trace["action_mask"].dtype == trace["final_action_mask"].dtype == bool
    np.testing.assert_array_equal(trace["action_mask"], masks(states))
    np.testing.assert_array_equal(trace["final_action_mask"], masks([(0, 3), (1, 2), (2, 3), (3, 2)]))
    assert trace["action_mask"][np.arange(10), trace["action"]].all()
    load_trace(tmp_path / "trace-000000003.npz", env.observation_space, env.action_space)


def test_episodes_with_and_without_masks_share_a_file(small, tmp_path):
    recorder = Recorder(tmp_path, frequency=2)
    agent = train(small, Counter(lengths=(2,), masked=True), 2, recorder)
    agent.memory.clear()
    train(small, Counter(lengths=(3,)), 3, recorder, agent=agent)
    trace = read(tmp_path / "trace-000000001.npz")
    np.testing.assert_array_equal(trace["action_mask"].sum(1), [2, 2, 3, 3, 3])
    np.testing.assert_array_equal(trace["final_action_mask"].sum(1), [2, 3])


class Log(gymnasium.Wrapper):
    """Keeps what goes in and out, episode by episode."""

    def __init__(self, env):
        super().__init__(env)
        self.observations, self.actions = [], []

    def reset(self, **arguments):
        observation, info = self.env.reset(**arguments)
        self.observations.append([observation])
        self.actions.append([])
        return observation, info

    def step(self, action):
        self.actions[-1].append(action)
        observation, *rest = self.env.step(action)
        self.observations[-1].append(observation)
        return observation, *rest


BOX = spaces.Box(np.float32([-2, 1]), np.float32([2, 1.5]))
SPACES = {
    "dqn": spaces.MultiDiscrete([3, 4], start=[7, 0]),
    "ppo": spaces.Dict(a=spaces.Discrete(3, start=5), b=spaces.Tuple((BOX,))),
    "sac": BOX,
}


@pytest.mark.parametrize("kind", sorted(SPACES))
def test_values_are_those_of_the_environment(small, tmp_path, kind):
    env = Log(Identity(SPACES[kind], length=6))
    changes = {"n_steps": 64, "batch_size": 64} if kind == "ppo" else {"start": 1000}
    small(kind, env=env, **changes).fit(env, steps=15, verbose=0, callbacks=[Recorder(tmp_path, frequency=2)])
    trace = load_trace(tmp_path / "trace-000000001.npz", env.observation_space, env.action_space)
    structure = kagent.spaces.Structure(env.action_space)
    actions = [structure.flatten(action) for episode in env.actions[:2] for action in episode]
    before = [structure.flatten(o) for episode in env.observations[:2] for o in episode[:-1]]
    after = [structure.flatten(o) for episode in env.observations[:2] for o in episode[1:]]
    trace |= successors(trace)
    for group, values in (("action", actions), ("observation", before), ("next_observation", after)):
        for leaf, column in zip(structure.leaves, zip(*values)):
            np.testing.assert_array_equal(trace[array_name(group, leaf)], np.stack(column), strict=True)


# Which episodes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frequency", "start", "expected"),
    [(1, 0, [0, 1, 2, 3, 4, 5]), (2, 1, [2, 4]), (3, 0, [2, 5]), (1, 4, [4, 5]), (4, 3, []), (6, 0, [5])],
)
def test_frequency_and_start_count_episodes(small, tmp_path, frequency, start, expected):
    train(small, Counter(lengths=(1,)), 6, Recorder(tmp_path, frequency=frequency, start=start))
    assert names(tmp_path) == [f"trace-{i:09d}.npz" for i in expected]
    for last in expected:
        check(
            read(tmp_path / f"trace-{last:09d}.npz"),
            *((0, e, 1, "terminated") for e in range(last - frequency + 1, last + 1)),
        )


def test_one_recorder_goes_on_where_episodes_go_on(small, tmp_path):
    recorder, env = Recorder(tmp_path, frequency=2), Alike(lengths=(4,))
    agent = train(small, env, 6, recorder)
    assert names(tmp_path) == []
    train(small, env, 3, recorder, agent=agent)
    assert read(tmp_path / "trace-000000001.npz")["episode_length"].tolist() == [4, 4]
    check(read(tmp_path / "trace-000000001.npz"), *[(0, 0, 4, "terminated")] * 2)


def test_an_episode_that_went_on_without_the_recorder_is_left_out(small, tmp_path):
    recorder, env = Recorder(tmp_path), Alike(lengths=(4,))
    agent = train(small, env, 2, recorder)
    train(small, env, 4, agent=agent)  # here the first one ends, and the second comes to the same place
    train(small, env, 6, recorder, agent=agent)
    assert names(tmp_path) == ["trace-000000002.npz"]
    check(read(tmp_path / "trace-000000002.npz"), (0, 0, 4, "terminated"))


def test_an_episode_of_another_agent_is_not_continued(small, tmp_path):
    """Both are two timesteps into an episode, after six."""
    recorder, env = Recorder(tmp_path), Alike(lengths=(4,))
    train(small, env, 6, recorder)
    other = small("dqn", env=env, start=10_000)
    train(small, env, 6, agent=other)
    with pytest.warns(UserWarning, match=r"wrote nothing into .* the beginning of any of the 1 episodes that ended"):
        train(small, env, 2, recorder, agent=other)
    assert names(tmp_path) == ["trace-000000000.npz"] and other.episodes == 2


def test_an_episode_that_was_longer_is_left_out(small, tmp_path):
    recorder, env = Recorder(tmp_path), Alike(lengths=(4,))
    agent = train(small, env, 6)
    agent.save_weights(tmp_path / "a.weights.h5")

    class Load(Callback):
        def on_train_begin(self, logs=None):
            self.model.load_weights(tmp_path / "a.weights.h5")

    agent = train(small, env, 1, recorder)
    train(small, env, 11, recorder, Load(), agent=agent)
    assert agent.timesteps == 12 and names(tmp_path) == ["a.weights.h5", "trace-000000002.npz"]


def test_one_recorder_for_two_agents(small, tmp_path):
    recorder = Recorder(tmp_path, frequency=2)
    for nested in (False, True, True):
        env = Alike(lengths=(2,), nested=nested)
        agent = small("dqn", env=env, start=10_000) if nested else None
        train(small, env, 3, recorder, agent=agent)  # leaves one finished and one open
    assert names(tmp_path) == ["trace-000000000.npz"]
    trace = read(tmp_path / "trace-000000000.npz")
    assert "observation/box" in trace and "observation" not in trace


def test_more_and_fewer_environments(small, tmp_path):
    recorder = Recorder(tmp_path)
    agent = train(small, lambda: Alike(lengths=(2,)), 9, recorder, n_envs=3)
    train(small, lambda: Alike(lengths=(2,)), 4, recorder, agent=agent, n_envs=1)
    assert agent.episodes == len(names(tmp_path)) == 3 + 2


# How many files --------------------------------------------------------------------------------------------


def test_the_oldest_go_whatever_their_numbers(small, tmp_path):
    """Another run in the same folder had more episodes; what is not a trace is not touched."""
    for age, name in enumerate(["trace-000005001.npz", "trace-000005000.npz", "trace-mine.npz", "notes.txt"]):
        (tmp_path / name).write_bytes(b"old")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    seen = []

    class Watch(Callback):
        def on_episode_end(self, episode, logs=None):
            seen.append([name for name in names(tmp_path) if name[6:15].isdigit()])

    train(small, Counter(lengths=(1,)), 4, Recorder(tmp_path, max_traces=2), Watch())
    assert seen == [
        ["trace-000000000.npz", "trace-000005001.npz"], *([f"trace-{i:09d}.npz" for i in (e - 1, e)] for e in (1, 2, 3))
    ]  # fmt: skip
    assert names(tmp_path) == ["notes.txt", "trace-000000002.npz", "trace-000000003.npz", "trace-mine.npz"]


def test_a_file_that_cannot_be_written_is_not_half_there(small, tmp_path, monkeypatch):
    def fail(*arguments, **named):
        raise OSError("disk full")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(OSError, match="disk full"):
        train(small, Counter(lengths=(1,)), 4, Recorder(tmp_path))
    assert names(tmp_path) == []


# Arguments -------------------------------------------------------------------------------------------------


def test_from_spec(tmp_path):
    for spec in (str(tmp_path), tmp_path, {"directory": tmp_path}):
        recorder = Recorder.from_spec(spec)
        assert (recorder.directory, recorder.frequency, recorder.start, recorder.max_traces) == (tmp_path, 1, 0, None)
    for key in ("max-traces", "max_traces"):
        recorder = Recorder.from_spec({"directory": "a", "frequency": 2, "start": 3, key: 4})
        assert (recorder.frequency, recorder.start, recorder.max_traces) == (2, 3, 4)
    assert Recorder.from_spec(recorder) is recorder


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ({"directory": "a", "frequncy": 2}, ValueError, r"'directory', 'frequency', 'start', 'max_traces'.*'frequncy'"),
        ({"directory": "a", "max-traces": 1, "max_traces": 2}, ValueError, "each once"),
        ({"frequency": 2}, ValueError, "needs a 'directory'"),
        ({"directory": 3}, TypeError, r"`recorder.directory` must be a path. Received: 3"),
        ({"directory": "a", "frequency": 0}, ValueError, r"`recorder.frequency` must be an integer >= 1. Received: 0"),
        ({"directory": "a", "start": -1}, ValueError, r"`recorder.start` must be an integer >= 0. Received: -1"),
        ({"directory": "a", "start": True}, ValueError, r"`recorder.start`"),
        (
            {"directory": "a", "max-traces": 0},
            ValueError,
            r"`recorder.max_traces` must be an integer >= 1. Received: 0",
        ),
        (7, TypeError, "`recorder` must be a path, a dict or a Recorder"),
    ],
)
def test_what_a_spec_may_not_be(spec, error, message):
    with pytest.raises(error, match=message):
        Recorder.from_spec(spec)


def test_leaves_of_one_name_are_refused_before_training(small, tmp_path):
    class Same(Counter):
        def __init__(self):
            super().__init__()
            box = self.observation_space
            self.observation_space = spaces.Dict({"a/b": box, "a": spaces.Dict(b=box)})

    agent = small("dqn", env=Same(), start=1000)
    with pytest.raises(ValueError, match=r"`observation_space` has leaves.*\['observation/a/b'\]"):
        agent.fit(Same(), steps=1, verbose=0, callbacks=[Recorder(tmp_path / "none")])
    assert agent.timesteps == 0 and not (tmp_path / "none").exists()
