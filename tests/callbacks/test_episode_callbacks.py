"""Callbacks of episodes, and the guard against losses that are not finite, with kagent's own agents."""

import logging
import math

import gymnasium
import keras
import numpy as np
import pytest
from event_files import curves
from variants import with_few

import kagent
from kagent.callbacks import Callback, EpisodeLog, EpisodeStatistics
from kagent.callbacks.callback import listed
from kagent.callbacks.summaries.gradients import Probe
from kagent.estimators.episode_summaries import EpisodeSummaries


def test_statistics_are_of_the_last_episode(small):
    statistics, told = EpisodeStatistics(), []

    class Told(Callback):
        def on_episode_end(self, episode, logs=None):
            told.append((logs["episode_return"], logs["episode_length"]))

    small("dqn").fit("CartPole-v1", episodes=3, callbacks=[statistics, Told()], verbose=0)
    last = statistics.last
    assert (last["total_reward"], last["length"]) == told[-1]
    assert last["max_reward"] == last["min_reward"] == last["avg_reward"] == 1.0
    assert math.isnan(last["loss"]) == (last["updates"] == 0)


def test_the_log(small, caplog):
    with caplog.at_level(logging.INFO, logger="kagent"):
        small("dqn").fit("CartPole-v1", episodes=4, callbacks=[EpisodeLog(2)], verbose=0)
    lines = [record.getMessage().split(":")[0] for record in caplog.records if record.name == "kagent"]
    assert lines == ["episode 2", "episode 4"]


@pytest.mark.eager(seldom=True)
@pytest.mark.parametrize("kind", with_few(["dqn", "ppo", "sac"], ["dqn"]))
def test_summaries_of_any_agent(small, tmp_path, kind):
    env = "Pendulum-v1" if kind == "sac" else "CartPole-v1"
    few = {"frequency": 100} if kind == "sac" else {}  # updates, of 400 timesteps
    plain, watched = small(kind, **few), small(kind, **few)
    plain.fit(env, episodes=2, verbose=0)
    watched.fit(env, episodes=2, callbacks=[EpisodeSummaries(tmp_path)], verbose=0)
    for one, other in zip(plain.variables, watched.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    found = curves(tmp_path)
    assert found["total_reward"][0] == [1, 2]
    assert {v.path for v in watched.trainable_variables} <= set(found)
    assert any(tag.endswith("learning_rate") for tag in found) and any(tag.endswith("/activation") for tag in found)
    assert any(tag.endswith("/GradientsNorm") for tag in found)
    assert ("exploration_rate" in found) == (kind == "dqn")


def test_gradients_are_those_of_the_next_update(small):
    agent = small("dqn", optimizer=keras.optimizers.SGD(0.5))
    found = []

    class Probing(Callback):
        def on_update_begin(self, update, logs=None):
            self.gradients, _ = Probe(self.model).read(activations=False)
            self.before = {v.path: v.numpy() for v in self.model.policy.trainable_variables}

        def on_update_end(self, update, logs=None):
            for variable in self.model.policy.trainable_variables:
                expected = self.before[variable.path] - 0.5 * self.gradients[variable.path]
                np.testing.assert_allclose(variable.numpy(), expected, atol=1e-6)
            found.append(update)

    agent.fit("CartPole-v1", updates=2, callbacks=[Probing()], verbose=0)
    assert found == [1, 2]


def test_bad_arguments(tmp_path):
    for make in (lambda: EpisodeLog(0), lambda: EpisodeSummaries(tmp_path, frequency=0)):
        with pytest.raises(ValueError, match="`frequency` must be an integer >= 1"):
            make()
    with pytest.raises(ValueError, match=r"`labels` has no \['nope'\]. Known"):
        EpisodeSummaries(tmp_path, "nope")
    with pytest.raises(TypeError, match="`labels` must be"):
        EpisodeSummaries(tmp_path, 3)


def test_what_is_no_callback_is_refused_before_a_step(monkeypatch):
    env = gymnasium.make("CartPole-v1")
    monkeypatch.setattr(env, "step", None)
    agent = kagent.DQN(env, network={"units": [8]}, seed=0)
    for wrong in ([object()], print, [keras.callbacks.Callback]):
        with pytest.raises(TypeError, match=r"`callbacks` must be keras.callbacks.Callback objects. Received: <"):
            agent.fit(env, steps=10, callbacks=wrong, verbose=0)
    assert agent.timesteps == 0
    one = keras.callbacks.Callback()
    assert listed(None) == [] and listed(one) == listed([one]) == listed((one,)) == [one]


class Told(Callback):
    """Writes down how training went, and breaks it off where it is asked to."""

    def __init__(self, breaks=None):
        super().__init__()
        self.heard, self.breaks = [], breaks

    def on_train_begin(self, logs=None):
        self._hear("begin")

    def on_update_begin(self, update, logs=None):
        if "update" not in self.heard:
            self._hear("update")

    def on_train_batch_end(self, batch, logs=None):
        if "batch" not in self.heard:
            self._hear("batch")

    def on_train_end(self, logs=None):
        self._hear("end")

    def on_train_abort(self):
        self._hear("abort")

    def _hear(self, event):
        self.heard.append(event)
        if event == self.breaks:
            raise KeyboardInterrupt if event == "update" else KeyError("mine")


@pytest.mark.parametrize("breaks", [None, "begin", "update", "batch"])
def test_who_is_told_that_an_error_ended_training(small, breaks):
    """Every callback, in place of the end; one that was not reached has heard nothing else."""
    first, second = Told(breaks), Told()
    agent = small("dqn")
    if breaks is None:
        agent.fit("CartPole-v1", steps=60, callbacks=[first, second], verbose=0)
    else:
        with pytest.raises(KeyboardInterrupt if breaks == "update" else KeyError):
            agent.fit("CartPole-v1", steps=60, callbacks=[first, second], verbose=0)
    expected = {
        None: (["begin", "update", "batch", "end"],) * 2,
        "begin": (["begin", "abort"], ["abort"]),
        "update": (["begin", "update", "abort"], ["begin", "abort"]),
        "batch": (["begin", "update", "batch", "abort"], ["begin", "update", "abort"]),
    }[breaks]
    assert (first.heard, second.heard) == expected


@pytest.mark.thorough
def test_an_error_in_offline_training(small):
    agent = small("dqn")
    agent.fit("CartPole-v1", steps=60, verbose=0)
    told = Told("batch")
    with pytest.raises(KeyError):
        agent.fit(agent.memory.dataset(8), epochs=1, steps_per_epoch=2, callbacks=told, verbose=0)
    assert told.heard == ["begin", "batch", "abort"]


def test_summaries_are_closed_by_an_error(small, tmp_path):
    """What was written can be read, and a further fit goes on."""
    summaries, told, agent = EpisodeSummaries(tmp_path, "reward"), Told(), small("dqn")

    class Breaks(Callback):
        def on_episode_end(self, episode, logs=None):
            if episode == 2:
                raise KeyError("mine")

    with pytest.raises(KeyError):
        agent.fit("CartPole-v1", episodes=5, callbacks=[summaries, Breaks(), told], verbose=0)
    assert curves(tmp_path)["total_reward"][0][:2] == [1, 2] and told.heard[-1] == "abort"
    agent.fit("CartPole-v1", episodes=1, callbacks=[summaries], verbose=0)
    assert curves(tmp_path)["total_reward"][0][-1] == agent.episodes
