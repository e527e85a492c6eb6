"""Progress of schedules under every bound of a run."""

import math
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy_envs import Counter
from variants import thorough

import kagent
from kagent.config.run_length import Bounds
from kagent.schedules import Clock, Linear
from kagent.training.counters import Counters, TrainingClock
from kagent.training.random_streams import RandomStreams

pytestmark = pytest.mark.eager


class Idle(kagent.DQN):
    """Counts updates, and learns nothing."""

    def train_step(self, batch):
        return {"loss": tf.constant(0.0)}


EPSILON = {"type": "EpsilonGreedy", "initial": 1.0, "final": 0.0, "fraction": 1.0}


def looking(agent, seen):
    return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(agent.clock.progress))


@pytest.mark.parametrize(
    ("bounds", "seen"),
    [
        ({"steps": 40}, [0.25, 0.5, 0.75, 1.0]),
        thorough(({"max_steps": 40}, [0.25, 0.5, 0.75, 1.0])),
        ({"episodes": 8}, [0.25, 0.5, 0.75, 1.0]),  # of 5 timesteps each
        thorough(({"max_episodes": 8}, [0.25, 0.5, 0.75, 1.0])),
        ({"updates": 26}, [1 / 26, 11 / 26, 21 / 26, 1.0]),  # at timesteps 10, 11 ...
        thorough(({"max_updates": 26}, [1 / 26, 11 / 26, 21 / 26, 1.0])),
        thorough(({"epochs": 4}, [0.25, 0.5, 0.75, 1.0])),
        thorough(({"steps": 40, "updates": 13}, [0.25, 11 / 13, 1.0])),  # the one that is used up most
        ({"steps": 40, "max_episodes": 4, "updates": 1000}, [0.5, 1.0]),
    ],
)
def test_progress_is_the_largest_part_used_of_any_bound(small, bounds, seen):
    found = []
    agent = small(Idle, env=Counter((5,)), start=10, frequency=1)
    agent.fit(Counter((5,)), steps_per_epoch=10, verbose=0, callbacks=[looking(agent, found)], **bounds)
    assert found == pytest.approx(seen)


@pytest.mark.parametrize(("size", "first"), [("known", 0.25), ("unknown", 0.0)])
def test_progress_of_epochs_of_a_dataset(small, size, first):
    rates = []

    class Times(kagent.DQN):
        def train_step(self, batch):
            rates.append(float(self.clock.progress))
            return {"loss": tf.constant(0.0)}

    agent = small(Times, env=Counter((5,)))
    count = {"observation": np.zeros((4, 3), np.float32), "action": np.zeros(4, np.int64), "reward": np.zeros(4),
             "terminated": np.zeros(4, bool), "truncated": np.zeros(4, bool),
             "next_observation": np.zeros((4, 3), np.float32)}  # fmt: skip
    data = tf.data.Dataset.from_tensor_slices(count).batch(2)  # two elements
    data = data if size == "known" else data.filter(lambda element: True)
    agent.fit(data, epochs=2, verbose=0)
    assert rates == pytest.approx([0.0, first, 0.5, 0.75])


@pytest.mark.parametrize(
    ("given", "progress"), [({"steps": 20}, 0.5), ({"episodes": 4}, 0.5), ({"max_updates": 8}, 5 / 8)]
)
def test_begin_says_how_long_an_own_loop_is(small, given, progress):
    agent, env = small(Idle, env=Counter((5,)), start=6, batch_size=4, frequency=1, exploration=EPSILON), Counter((5,))
    agent.begin(**given)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            observation, _ = env.reset()
            for _ in range(5):
                observation, reward, terminated, truncated, _ = env.step(agent.act(observation))
                agent.observe(reward, terminated, truncated, observation)
    assert agent.updates == 5 and agent.clock.progress == progress
    assert agent.exploration.epsilon(agent.clock) == 1 - progress


def own_loop(agent):
    for _ in range(12):
        agent.act(np.zeros(3, np.float32))
        agent.observe(0.0, False, False, np.ones(3, np.float32))


@pytest.mark.parametrize(
    ("changes", "warns"),
    [
        ({}, True),
        ({"exploration": 0.1}, False),
        thorough(({"exploration": {"type": "EpsilonGreedy", "initial": 0.2, "final": 0.2}}, False)),
        thorough(({"exploration": {"type": "EpsilonGreedy", "steps": 10}}, False)),
        ({"exploration": 0.1, "learning_rate": Linear(1e-3, 0.0)}, True),  # read in the learner
        ({"exploration": 0.1, "learning_rate": Linear(1e-3, 0.0, steps=5, unit="updates")}, False),
        thorough(({"exploration": 0.1, "variable_noise": Linear(1.0, 0.0)}, True)),
        ({"exploration": 0.1, "memory": {"type": "prioritized_replay", "capacity": 50}}, True),  # its beta
        thorough(({"exploration": 0.1, "memory": {"type": "prioritized_replay", "capacity": 50, "beta": 0.5}}, False)),
        ({"exploration": 0.1, "frequency": Linear(2, 8)}, True),
        thorough(({"exploration": 0.1, "target_update_period": Linear(2, 8)}, True)),
    ],
)
def test_a_schedule_by_progress_that_never_moves_warns_once(small, changes, warns):
    agent = small("dqn", env=Counter((5,)), start=6, batch_size=4, **changes)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        own_loop(agent)
        own_loop(agent)
        agent.evaluate(Counter((5,)), 1)
    assert [str(w.message)[:44] for w in caught] == ["A schedule measures the progress of a run th"] * warns


def test_training_without_a_bound_warns_too(small):
    agent = small("dqn")
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(agent, "stop_training", True))
    with pytest.warns(UserWarning, match="no bound"):
        agent.fit("CartPole-v1", max_updates=float("inf"), steps_per_epoch=10, verbose=0, callbacks=[stop])


def test_the_time_of_a_program_is_watched_where_it_is_compiled(small):
    agent = small("dqn", env=Counter((5,)), start=6, batch_size=4, exploration=0.1, learning_rate=Linear(1e-3, 0.0))
    agent.compile(jit_compile=False)
    with pytest.warns(UserWarning, match="no bound"):
        own_loop(agent)


@pytest.mark.parametrize(
    "given", [{}, {"steps": 1, "max_steps": 2}, {"steps": -1}, {"episodes": 1.5}, {"updates": "many"}, {"steps": True}]
)
def test_begin_refuses_bounds_that_are_none(small, given):
    with pytest.raises(ValueError, match=r"begin|steps|episodes|updates"):
        small("dqn").begin(**given)


def test_all_bounds_are_saved(small, tmp_path):
    agent = small("dqn")
    agent.begin(episodes=30, updates=40)
    agent.save_weights(tmp_path / "a.weights.h5")
    other = small("dqn")
    other.load_weights(tmp_path / "a.weights.h5")
    assert other._clock.bounds == Bounds(float("inf"), 30, 40)


def test_pretraining_goes_over_its_own_updates(small, tmp_path):
    seen = []

    class Times(kagent.DQN):
        def train_step(self, batch):
            seen.append(float(self.clock.progress))
            return {"loss": tf.constant(0.0)}

    agent = small("dqn", env=Counter((5,)))
    agent.fit(Counter((5,)), steps=20, verbose=0, callbacks=[kagent.callbacks.Recorder(tmp_path)])
    other = small(Times, env=Counter((5,)), batch_size=2)
    other.pretrain(tmp_path, num_iterations=2, num_traces=1, num_updates=2)
    assert seen == [0.0, 0.25, 0.5, 0.75] and other.clock.progress == 0.0


def test_a_clock_reads_counters_and_bounds():
    counters, streams = Counters(), RandomStreams(0)
    clock, seed = TrainingClock(counters, streams), streams.graph_seed
    counters.timesteps, counters.episodes, counters.gradient_steps = 30, 2, 6
    assert clock.host() == Clock(30, 2, 6, 0.0, seed)
    clock.bounds = Bounds(40, math.inf, 12)
    assert clock.host() == Clock(30, 2, 6, 0.75, seed)  # the larger of 30 of 40 and 6 of 12
    assert clock.at(10) == Clock(10, 2, 6, 0.5, seed) and clock.training() == clock.host()
    clock.enter(Clock(1, 1, 1, 0.1))
    assert clock.program == Clock(1, 1, 1, 0.1) and clock.host().timesteps == 30
    clock.leave()
    assert clock.program is None


def test_counts_of_an_agent_are_read(small):
    agent = small("dqn", env=Counter((5,)))
    agent.counters.timesteps, agent.counters.episodes, agent.counters.gradient_steps = 3, 2, 1
    assert (agent.timesteps, agent.episodes, agent.gradient_steps, agent.updates) == (3, 2, 1, 1)
    for name in ("timesteps", "episodes", "gradient_steps", "updates"):
        with pytest.raises(AttributeError):
            setattr(agent, name, 0)
