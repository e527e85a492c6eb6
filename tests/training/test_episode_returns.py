"""Returns of episodes, as `fit`, `evaluate` and callbacks report them: of valid steps alone, and as recorded where they are."""

import functools

import gymnasium
import keras
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit, TransformReward
from toy_envs import Counter

import kagent

pytestmark = pytest.mark.eager


class Steady(Counter):
    """Pays 1 a step."""

    def step(self, action):
        observation, _, *rest = super().step(action)
        return observation, 1.0, *rest


class Heard(kagent.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.ends, self.rewards, self.invalid = [], [], 0

    def on_timestep_end(self, timestep, logs=None):
        self.rewards += logs["raw_reward"][logs["valid"]].tolist()
        assert (logs["reward"][~logs["valid"]] == 0).all() and (logs["raw_reward"][~logs["valid"]] == 0).all()
        self.invalid += int((~logs["valid"]).sum())

    def on_episode_end(self, episode, logs=None):
        self.ends.append({key: value for key, value in logs.items() if key != "env"})


def idle(small, **changes):
    return small("dqn", env=Counter(), start=10_000, **changes)


def raised(lengths=((5, 3),), count=1):
    """Every reward is 11, those of resets are 10."""
    functions = [functools.partial(Steady, each) for each in lengths for _ in range(count)]
    return gymnasium.wrappers.vector.TransformReward(SyncVectorEnv(functions), lambda reward: reward + 10)


@pytest.mark.parametrize("preprocessing", [None, {"reward": {"type": "rescaling", "scale": 0.5}}])
def test_resets_of_a_vector_env_pay_nothing(small, preprocessing):
    """Episodes of 5 and 3 steps at 1 + 10: returns 55 and 33."""
    agent, heard = idle(small, preprocessing=preprocessing), Heard()
    history = agent.fit(
        raised(), episodes=4, steps_per_epoch="episode", verbose=0, callbacks=[heard],
        validation_env=raised(), validation_episodes=2,
    ).history  # fmt: skip
    expected = [(55.0, 5), (33.0, 3), (55.0, 5), (33.0, 3)]
    assert [(each["episode_return"], each["episode_length"]) for each in heard.ends] == expected
    assert history["episode_return"] == [55, 33, 55, 33] and history["val_episode_return"] == [44] * 4
    assert heard.rewards == [11.0] * 16 and heard.invalid == 3 and agent.timesteps == 16
    found = agent.evaluate(raised(((5,), (3,))), episodes=4)
    assert sorted(found["episode_returns"]) == [33, 33, 55, 55] and found["episode_length"] == 4
    assert "episode_wrapped_return" not in history and "episode_wrapped_return" not in heard.ends[0]


def test_what_a_reset_pays_is_not_learned_from(small):
    agent = small("dqn", env=Counter(), start=4, frequency=4)
    agent.fit(raised(((2,), (3,))), steps=40, verbose=0)
    views = agent.memory.storage.views
    assert (views["reward"][: len(agent.memory)] == 11).all()


def recording(lengths=(5, 3)):
    """Raw rewards of 1, recorded; rewards of 0.5 for the agent."""
    return TransformReward(RecordEpisodeStatistics(Steady(lengths)), lambda reward: reward / 2)


@pytest.mark.parametrize("build", [recording, lambda: SyncVectorEnv([recording])])
def test_recorded_returns_come_first_and_the_changed_ones_beside(small, build):
    agent, heard = idle(small), Heard()
    history = agent.fit(
        build(), episodes=2, steps_per_epoch="episode", verbose=0, callbacks=[heard],
        validation_env=build(), validation_episodes=2,
    ).history  # fmt: skip
    assert history["episode_return"] == [5, 3] and history["episode_wrapped_return"] == [2.5, 1.5]
    assert history["val_episode_return"] == [4, 4] and history["val_episode_wrapped_return"] == [2, 2]
    ends = [{"episode_return": n, "episode_wrapped_return": n / 2, "episode_length": n} for n in (5, 3)]
    assert heard.ends == ends and set(heard.rewards) == {0.5}
    found = agent.evaluate(build(), episodes=2)
    assert (found["episode_return"], found["episode_return_std"], found["episode_wrapped_return"]) == (4, 1, 2)
    assert found["episode_returns"] == [5, 3] and found["episode_wrapped_returns"] == [2.5, 1.5]


def test_the_column_of_changed_returns_is_there_from_the_first_epoch(small, tmp_path):
    """With the first episode ending after 5 steps, there is no value in epochs of 2 before the third; a file keeps it."""
    agent, path = idle(small), tmp_path / "log.csv"
    logged = agent.fit(recording(), steps=6, steps_per_epoch=2, verbose=0, callbacks=[keras.callbacks.CSVLogger(path)])
    np.testing.assert_equal(logged.history["episode_wrapped_return"], [np.nan, np.nan, 2.5])
    assert "episode_wrapped_return" in path.read_text().splitlines()[0]
    agent.save_weights(tmp_path / "a.weights.h5")
    other = idle(small)
    other.load_weights(tmp_path / "a.weights.h5")
    assert other._run.known["episode"] == (5, 5, 2.5)
    plain = idle(small).fit(Steady((5, 3)), steps=2, steps_per_epoch=2, verbose=0)
    assert "episode_wrapped_return" not in plain.history


def test_episodes_that_were_cut_off_before_they_were_recorded_do_not_enter_the_mean(small):
    """Of 5, 3, 5 and 3 steps those of 5 are cut off after 4, outside of what records."""
    env = TimeLimit(recording(), 4)
    agent = idle(small)
    history = agent.fit(env, episodes=4, steps_per_epoch="episode", verbose=0).history
    # Before anything is recorded the sum is all that is known; then 3 stays where nothing was recorded.
    assert history["episode_return"] == [2, 3, 3, 3] and history["episode_length"] == [4, 3, 4, 3]
    found = agent.evaluate(TimeLimit(recording(), 4), episodes=4)
    assert (found["episode_return"], found["episode_wrapped_return"], found["episode_length"]) == (3, 1.5, 3.5)
    assert found["episode_wrapped_returns"] == [None, 1.5, None, 1.5]


@pytest.mark.parametrize("wrap", [lambda env: env, gymnasium.wrappers.vector.RecordEpisodeStatistics])
def test_an_async_env_in_several_uses_gives_true_transitions(small, wrap):
    """gymnasium's workers without shared memory keep a pending reset: their next step would be a reset."""
    lengths = ((2,), (1, 3), (4,))
    functions = [functools.partial(Counter, each, offset=offset) for offset, each in enumerate(lengths)]
    env = wrap(AsyncVectorEnv(functions, shared_memory=False, context="forkserver"))
    agent = idle(small)
    try:
        for steps in (9, 6, 7, 12, 5):
            agent.fit(env, steps=steps, verbose=0)
            env.reset()
            env.step(np.zeros(3, np.int64))  # its owner goes on with it
            returns = agent.evaluate(env, episodes=3)["episode_returns"]
            assert len(returns) == 3
    finally:
        env.close()
    views = agent.memory.storage.views
    count = len(agent.memory)
    before, after = (views[name][:count].reshape(count, 3) for name in ("observation.0", "next_observation.0"))
    valid = views["valid"][:count].reshape(-1).astype(bool) if "valid" in views else np.ones(count, bool)
    assert agent.timesteps >= 39 and valid.any()
    np.testing.assert_array_equal(after[valid], before[valid] + [0, 0, 1])


class Level(Steady):
    """Episodes of `options["length"]` steps."""

    given = ()

    def reset(self, *, seed=None, options=None):
        self.given = (*self.given, options)
        self.lengths = (options["length"],)
        return super().reset(seed=seed)


class Alike(Level):
    def reset(self, *, seed=None, options=None):
        self.episode = -1
        return super().reset(seed=seed, options=options)


def test_reset_options_reach_every_reset_of_fit_and_evaluate(small):
    agent, env, other = idle(small), Level(), Level()
    options = {"length": 4}
    history = agent.fit(
        env, steps=8, steps_per_epoch=4, verbose=0, reset_options=options, validation_env=other, validation_episodes=1
    ).history
    assert env.given == (options,) * 3 and set(map(str, other.given)) == {str(options)}
    assert history["episode_return"] == [4, 4] and history["val_episode_return"] == [4, 4]
    env = Level()
    assert agent.evaluate(env, episodes=2, reset_options={"length": 7})["episode_lengths"] == [7, 7]
    assert {str(each) for each in env.given} == {str({"length": 7})}
    for wrong, error in (([4], TypeError), ({"length": print}, ValueError), ({"reset_mask": 1}, ValueError)):
        for call in (functools.partial(agent.fit, Level(), steps=5), functools.partial(agent.evaluate, Level())):
            with pytest.raises(error, match="`reset_options"):
                call(reset_options=wrong, verbose=0)


def test_an_open_episode_is_replayed_with_the_options_that_it_began_with(small, tmp_path):
    agent = idle(small)
    agent.fit(Alike(), steps=3, verbose=0, reset_options={"length": 5})
    agent.save_weights(tmp_path / "a.weights.h5")
    other, env = idle(small), Alike()
    other.load_weights(tmp_path / "a.weights.h5")
    history = other.fit(env, episodes=2, steps_per_epoch="episode", verbose=0, reset_options={"length": 2}).history
    assert history["episode_length"] == [5, 2]
    assert env.given == ({"length": 5}, {"length": 2}, {"length": 2})


def test_a_hanging_validation_env_ends_fit(small):
    import threading

    gate = threading.Event()

    class Hanging(Steady):
        def step(self, action):
            gate.wait()
            return super().step(action)

    agent = idle(small)
    try:
        with pytest.raises(TimeoutError, match=r"env 0, <Hanging.*step_timeout=0.3 seconds"):
            agent.fit(Steady(), steps=4, verbose=0, step_timeout=0.3, validation_env=Hanging())
        with pytest.raises(TimeoutError, match="env 0"):
            agent.evaluate(Hanging(), episodes=1, step_timeout=0.3)
    finally:
        gate.set()
    with pytest.raises(ValueError, match="`step_timeout` must be"):
        agent.fit(Steady(), steps=4, verbose=0, step_timeout=0)


def test_a_vector_env_with_a_spec_of_its_own_kind(small):
    """As EnvPool's, which has no `max_episode_steps`."""
    env = SyncVectorEnv([Steady] * 2)
    env.spec = object()
    agent = small("dqn", env=env, start=4, frequency=4)
    agent.fit(env, steps=20, verbose=0)
    assert agent.timesteps >= 20 and agent.updates > 0
