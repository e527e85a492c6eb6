"""The gallery of callbacks: each file alone, as a user would copy it."""

import doctest
import importlib.util
import math
import pathlib
import re
import sys
import time

import gymnasium
import keras
import numpy as np
import pytest
from runs import equal
from test_keras_logging import scalars
from toy_envs import Counter
from variants import thorough

import kagent

GALLERY = pathlib.Path(__file__).parent.parent / "callbacks"
FILES = sorted(GALLERY.glob("*.py"))


def load(name):
    """The callback class of a file; its name is the file's in camel case."""
    spec = importlib.util.spec_from_file_location(f"gallery_{name}", GALLERY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, keras.callbacks.Callback)
             and v.__module__ == module.__name__]  # fmt: skip
    assert len(found) == 1
    return found[0]


@pytest.fixture
def agent(small):
    return small("dqn", env=Counter(), start=10_000, exploration=0.0)


@pytest.mark.eager(as_users=True, seldom=True)  # as users have the names of logs
@pytest.mark.parametrize("path", [*FILES[:2], *map(thorough, FILES[2:])], ids=lambda path: path.stem)
def test_each_is_one_documented_file_that_stands_alone(path, small, tmp_path, monkeypatch):
    text = path.read_text()
    assert len(text.splitlines()) < 100 and f"`{path.name}`" in (GALLERY / "README.md").read_text()
    imported = set(re.findall(r"^\s*(?:from|import) (\w+)", text, re.MULTILINE))
    assert imported <= {*sys.stdlib_module_names, "kagent", "keras", "numpy", "tensorflow", "matplotlib"}
    callback = load(path.stem)
    assert callback.__doc__ and "Args:" in callback.__doc__
    # The example runs, in fewer steps.
    examples = doctest.DocTestParser().get_examples(callback.__doc__)
    assert "agent.fit(" in examples[0].source
    examples[0].source = "_ = " + re.sub(r"steps=[\d_]+", "steps=96, verbose=0", examples[0].source)
    monkeypatch.chdir(tmp_path)
    agent = small("ppo" if path.stem == "entropy_guard" else "dqn")
    scope = {"agent": agent, callback.__name__: callback}
    test = doctest.DocTest(examples, scope, path.stem, str(path), 0, callback.__doc__)
    assert doctest.DocTestRunner().run(test).failed == 0 and agent.timesteps == 96


def test_the_readme_lists_nothing_else():
    listed = re.findall(r"^\| `(\w+\.py)`", (GALLERY / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == [path.name for path in FILES]


@pytest.mark.filterwarnings("ignore:The open episodes")
def test_stop_on_return(agent):
    # Returns of a Counter rise by about 100 * length an episode: 3, 303, 603, 903 ... with action 0 or 1.
    env = Counter(lengths=(3,))
    stop = load("stop_on_return")(threshold=600, window=2)
    agent.fit(env, steps=100, verbose=0, callbacks=[stop])
    assert (agent.episodes, stop.stopped_at) == (4, 12)  # (603 + 903) / 2; (303 + 603) / 2 was too little
    stop = load("stop_on_return")(threshold=-1, window=5)
    agent.fit(Counter(lengths=(3,)), steps=30, verbose=0, callbacks=[stop])
    assert stop.stopped_at == 12 + 15  # not before the window is full


def test_save_best(small, tmp_path):
    class Rewarded(Counter):
        """Pays, in each of its one-step episodes, what it is told to."""

        pays = (1, 2, 9, 8, 3, 9, 10, 11, 0, 0)

        def step(self, action):
            observation, _, *rest = super().step(action)
            return observation, float(self.pays[self.episode % 10]), *rest

    agent, saved = small("dqn", env=Counter(), start=10_000), []
    agent.save = lambda path: saved.append((agent.episodes, path))
    best = load("save_best")(tmp_path / "best.keras", window=2, patience=1)
    agent.fit(Rewarded(lengths=(1,)), steps=10, verbose=0, callbacks=[best])
    # Means of two from the second episode on: 1.5, 5.5, 8.5, 5.5, 6, 9.5, 10.5, 5.5, 0; one or more lie between saves.
    assert saved == [(2, tmp_path / "best.keras"), (4, tmp_path / "best.keras"), (7, tmp_path / "best.keras")]
    assert best.best == 9.5


@pytest.mark.thorough
def test_save_best_saves_a_whole_agent_in_mid_epoch(small, tmp_path):
    """The callback hears of the first of two ends at one timestep: both must be in the file."""
    agent = small("dqn", start=8)
    best = load("save_best")(tmp_path / "best.keras", window=1, patience=0)
    agent.fit("CartPole-v1", steps=60, n_envs=2, verbose=0, callbacks=[best])
    loaded = kagent.load(tmp_path / "best.keras")
    assert 0 < loaded.timesteps <= agent.timesteps and best.best > 0
    loaded.fit("CartPole-v1", steps=20, n_envs=2, verbose=0)
    assert not equal(loaded.get_weights(), agent.get_weights())


def test_wall_clock_limit(agent):
    begin = time.monotonic()
    agent.fit(Counter(lengths=(1000,)), steps=10**8, verbose=0, callbacks=[load("wall_clock_limit")(0.2)])
    assert 0.2 <= time.monotonic() - begin < 5
    taken = agent.timesteps
    assert 0 < taken < 10**6
    agent.fit(Counter(lengths=(1000,)), steps=3, verbose=0)
    assert agent.timesteps == taken + 3


@pytest.mark.parametrize("vector", [False, True])
def test_trajectory_recorder(small, tmp_path, vector):
    agent = small("ppo", env=Counter(), n_steps=64)
    lengths = (2, 3, 1)
    if vector:  # it resets in steps of their own, which belong to no episode
        env = gymnasium.vector.SyncVectorEnv([lambda: Counter(lengths=lengths)])
    else:
        env = Counter(lengths=lengths, reuse=True)
    recorder = load("trajectory_recorder")(tmp_path / "seen", every=2)
    agent.fit(env, steps=11, verbose=0, callbacks=[recorder])
    assert sorted(p.name for p in (tmp_path / "seen").iterdir()) == [f"episode_{n:06d}.npz" for n in (0, 2, 4)]
    for number, length in ((0, 2), (2, 1), (4, 3)):
        with np.load(tmp_path / "seen" / f"episode_{number:06d}.npz", allow_pickle=False) as episode:
            assert sorted(episode) == ["action.0", "observation.0", "reward", "terminated", "truncated"]
            observation = episode["observation.0"]
            np.testing.assert_array_equal(observation[:, 2], np.arange(length + 1))
            assert (observation[:, 1] == number).all()
            rewards = 100 * number + np.arange(length) + episode["action.0"] / 8
            np.testing.assert_allclose(episode["reward"], rewards)
            assert episode["terminated"].tolist() == [False] * (length - 1) + [True]


def test_tensorboard_episodes(agent, tmp_path):
    agent.fit(Counter(lengths=(2, 3)), steps=10, verbose=0, callbacks=[load("tensorboard_episodes")(tmp_path, every=2)])
    found = scalars(tmp_path / "episodes")
    assert [step for step, _ in found["episode_return"]] == [2, 7]  # the first and the third episode
    assert found["episode_length"] == [(2, 2.0), (7, 2.0)]


@pytest.mark.thorough
def test_entropy_guard(small):
    class Collapsing(keras.callbacks.Callback):
        values = (math.nan, 0.6, 0.1, 0.6, 0.1, 0.1, 0.1)

        def on_epoch_end(self, epoch, logs=None):
            logs["entropy"] = self.values[epoch]

    guard = load("entropy_guard")(minimum=0.2, patience=1)
    with pytest.warns(UserWarning, match="collapsed"):
        history = small("ppo").fit(
            "CartPole-v1", steps=70, verbose=0, callbacks=[Collapsing(), guard], steps_per_epoch=10
        )
    assert history.epoch == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="entropy"):
        small("dqn").fit("CartPole-v1", steps=20, verbose=0, callbacks=[guard])


@pytest.mark.thorough
def test_return_plot(agent, tmp_path, monkeypatch):
    import matplotlib.image

    path = tmp_path / "returns.png"
    agent.fit(Counter(lengths=(2, 3)), steps=40, verbose=0, callbacks=[load("return_plot")(path, window=3)])
    picture = matplotlib.image.imread(path)
    assert picture.shape[0] > 100 and len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 10
    plot = load("return_plot")(path, window=3)
    plot.on_train_begin()
    plot.timesteps, plot.returns = [1, 2, 3, 4], [0.0, 3.0, 6.0, 9.0]
    plot.set_model(agent)
    plot.on_epoch_end(0)
    assert plot.figure.axes[0].lines[1].get_ydata().tolist() == [0.0, 1.5, 3.0, 6.0]
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'kagent[plots]'")):
        load("return_plot")(path)
