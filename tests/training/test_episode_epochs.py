"""`fit` in episodes: epochs that are episodes, updates at their ends, bounds on updates, checkpoints by their number."""

import keras
import pytest
from toy_envs import Counter
from variants import with_few

import kagent
from kagent.callbacks import Callback, Checkpoint
from kagent.update import Update

pytestmark = pytest.mark.eager


class Listener(Callback):
    def __init__(self):
        super().__init__()
        self.order, self.times = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.order.append(("epoch", epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.order.append(("end of epoch", epoch))

    def on_episode_begin(self, episode, logs=None):
        self.order.append(("episode", episode))

    def on_episode_end(self, episode, logs=None):
        self.order.append(("end of episode", episode))

    def on_update_end(self, update, logs=None):
        self.order.append(("update", update))
        self.times.append(self.model.timesteps)


def trained(small, rule, heard, lengths=(5,), **bounds):
    agent = small("dqn", env=Counter(), update=rule)
    agent.fit(Counter(lengths=lengths), verbose=0, callbacks=[heard], **bounds)
    return agent


def test_an_epoch_is_an_episode(small):
    heard = Listener()
    trained(small, Update(batch_size=4, frequency=4, episode_ends=True), heard, episodes=2, steps_per_epoch="episode")
    assert heard.order == [
        ("epoch", 0), ("episode", 0), ("update", 1), ("update", 2), ("end of episode", 0), ("end of epoch", 0),
        ("epoch", 1), ("episode", 1), ("update", 3), ("update", 4), ("end of episode", 1), ("end of epoch", 1),
    ]  # fmt: skip
    assert heard.times == [4, 5, 8, 10]


@pytest.mark.parametrize(
    "rule, lengths, times",
    [
        ({"frequency": 4}, (5,), [4, 5, 8, 10, 12, 15, 16, 20]),
        ({"frequency": 4, "start": 6}, (5,), [8, 10, 12, 15, 16, 20]),
        ({"frequency": 4, "start": 10}, (5,), [10, 12, 15, 16, 20]),
        ({"frequency": "never"}, (5,), [5, 10, 15, 20]),
        ({"frequency": 5}, (5,), [5, 10, 15, 20]),
        ({"frequency": 7}, (3, 6), [7, 9, 12, 14, 18]),
    ],
)
@pytest.mark.parametrize("epochs", with_few(["episode", 6, 100], [6]))
def test_updates_at_the_ends_of_episodes(small, rule, lengths, times, epochs):
    heard = Listener()
    trained(small, Update(batch_size=4, episode_ends=True, **rule), heard, lengths, steps=20, steps_per_epoch=epochs)
    assert heard.times == times


def test_bounds_on_updates(small):
    agent, env, heard = small("dqn", env=Counter()), Counter(lengths=(5,)), Listener()
    agent.fit(env, updates=3, verbose=0, callbacks=[heard])
    assert (agent.updates, agent.timesteps) == (3, 24)
    agent.fit(env, updates=2, episodes=100, verbose=0)
    agent.fit(env, max_updates=5, verbose=0)
    assert (agent.updates, agent.timesteps) == (5, 32)
    agent.fit(env, max_updates=float("inf"), episodes=1, verbose=0)
    with pytest.raises(ValueError, match=r"`updates` .*exclude each other"):
        agent.fit(env, updates=1, max_updates=9)
    with pytest.raises(ValueError, match="`updates` must be an integer >= 0"):
        agent.fit(env, updates=1.5)


def test_open_episodes_may_be_left(small):
    class Resets(Counter):
        count = 0

        def reset(self, **arguments):
            Resets.count += 1
            self.episode = -1
            return super().reset(**arguments)

    agent, env = small("dqn", env=Counter()), Resets(lengths=(10,))
    agent.fit(env, steps=4, verbose=0)
    agent.fit(env, steps=4, verbose=0)
    assert env.time == 8
    agent._run.leave_episodes()
    agent.fit(env, steps=4, verbose=0)
    assert env.time == 4 and agent.episodes == 0


def test_another_rule_forgets_what_was_due_before(small):
    agent, env, heard = small("dqn", env=Counter()), Counter(lengths=(100,)), Listener()
    agent.fit(env, steps=20, verbose=0)
    agent.reschedule(Update(batch_size=8, frequency=3, start=10))
    agent.fit(env, steps=10, verbose=0, callbacks=[heard])
    assert heard.times == [22, 25, 28]
    with pytest.raises(ValueError, match="at most the memory's capacity"):
        agent.reschedule(Update(batch_size=10_000))


def test_checkpoints_of_episodes(small, tmp_path):
    saver = Checkpoint(tmp_path, "run", frequency=2, unit="episodes", max_checkpoints=2)
    agent = small("dqn", env=Counter())
    agent.fit(Counter(lengths=(5,)), episodes=5, steps_per_epoch="episode", verbose=0, callbacks=[saver])
    assert [path.name for path in saver.files] == ["run-4.weights.h5", "run-5.weights.h5"]
    other = Checkpoint(tmp_path, "run", frequency=2, unit="episodes")
    again = small("dqn", env=Counter())
    other.resume(again)
    assert (again.timesteps, again.episodes, again.updates) == (25, 5, agent.updates)
    again.fit(Counter(lengths=(5,)), max_episodes=6, steps_per_epoch="episode", verbose=0, callbacks=[other])
    assert other.newest.name == "run-6.weights.h5"


def test_bad_arguments(small):
    with pytest.raises(ValueError, match="`unit` must be one of"):
        Checkpoint("x", unit="days")
    with pytest.raises(ValueError, match="`frequency` must be an integer >= 1"):
        Checkpoint("x", unit="episodes", frequency=0.5)
    with pytest.raises(ValueError, match=r"`update.episode_ends` needs update.unit='timesteps'"):
        Update(unit="episodes", episode_ends=True)
    with pytest.raises(ValueError, match=r"`update.episode_ends` must be True or False"):
        Update(episode_ends=1)
    with pytest.raises(ValueError, match="`steps_per_epoch` must be an integer >= 1"):
        small("dqn").fit("CartPole-v1", steps=5, steps_per_epoch="episodes", verbose=0)


def test_a_rule_with_episode_ends_is_part_of_the_config(small):
    rule = Update(batch_size=8, frequency=4, episode_ends=True)
    agent = small("dqn", update=rule)
    assert kagent.DQN.from_config(agent.get_config()).update_rule == rule
    assert isinstance(agent, keras.Model)
