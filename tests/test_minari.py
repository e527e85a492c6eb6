"""Minari data sets, written by Minari's own collector and by kagent. Run where Minari is installed: `pip install 'kagent[minari]'`."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from recorded_episodes import balance, recorded
from toy_envs import Counter

import kagent
from kagent import datasets

ABSENT = "import sys; sys.modules['minari'] = None\nfrom kagent import datasets\n"


def test_without_minari_the_extra_is_named():
    for call in ("datasets.as_episodes('minari:some/set-v0')", "datasets.from_minari('some/set-v0')"):
        found = subprocess.run([sys.executable, "-c", ABSENT + call], capture_output=True, text=True, check=False)
        assert "pip install 'kagent[minari]'" in found.stderr and found.returncode == 1


@pytest.fixture
def minari(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return pytest.importorskip("minari")


@pytest.mark.slow
def test_what_minaris_collector_wrote_is_learned_from(minari, small):
    collector = minari.DataCollector(gymnasium.make("CartPole-v1"))
    random, lengths = np.random.default_rng(0), []
    for episode in range(3):
        observation, _ = collector.reset(seed=episode)
        over, steps = False, 0
        while not over:
            action = balance(observation, random) if episode else int(random.integers(2))
            observation, _, terminated, truncated, _ = collector.step(action)
            over, steps = terminated or truncated, steps + 1
        lengths.append(steps)
    dataset = collector.create_dataset("cartpole/test-v0")
    collector.close()
    episodes = datasets.from_minari("cartpole/test-v0")
    assert [len(trace["reward"]) for trace in episodes] == lengths
    assert episodes[0]["terminated"][-1] and episodes[1]["truncated"][-1] and not episodes[1]["terminated"].any()
    for data in ("minari:cartpole/test-v0", dataset):
        agent = small("dqn", memory=2000)
        agent.fit(data, updates=2, verbose=0)
        assert len(agent.memory) == sum(lengths)


@pytest.mark.slow
def test_there_and_back(minari):
    episodes, _ = recorded("CartPole-v1", balance, 2, 0.9)
    env = gymnasium.make("CartPole-v1")
    datasets.to_minari(episodes, "cartpole/back-v0", env.observation_space, env.action_space, author="kagent")
    for one, other in zip(episodes, datasets.from_minari("cartpole/back-v0"), strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
            assert np.asarray(one[name]).dtype == other[name].dtype


@pytest.mark.slow
def test_nested_observations(minari, tmp_path):
    env = Counter(lengths=(3, 2), ends=("terminated", "truncated"), nested=True)
    agent = kagent.Random(env, seed=0)
    agent.fit(env, episodes=4, verbose=0, callbacks=[kagent.callbacks.Recorder(tmp_path / "traces")])
    episodes = datasets.from_traces(tmp_path / "traces")
    datasets.to_minari(episodes, "counter/nested-v0", env.observation_space, env.action_space)
    for one, other in zip(episodes, datasets.from_minari("counter/nested-v0"), strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
