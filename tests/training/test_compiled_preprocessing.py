"""Preprocessing of observations and rewards in the program of a compiled environment."""

import numpy as np
import pytest
import tensorflow as tf
from test_compiled_replay import Line, dqn

import kagent
from kagent import schedules
from kagent.environments import compiled
from kagent.training.compiled.preprocessing import CompiledPreprocessing

DECAY = {"type": "linear", "initial_value": 0.9, "final_value": 0.5}
SPECS = [
    {"float": "running_normalization", "reward": "return_normalization"},
    {
        "float": [{"type": "rescaling", "scale": 0.5}, {"type": "exponential_normalization", "decay": 0.9}],
        "reward": [{"type": "running_normalization"}, {"type": "clipping", "upper": 1.0}],
    },
]  # fmt: skip


def ppo(env, **changes):
    agent = kagent.PPO(
        env, **{"n_steps": 6, "batch_size": 18, "epochs": 1, "network": {"units": [4]}, "seed": 3, **changes}
    )
    agent.compile(run_eagerly=True)
    return agent


@pytest.mark.parametrize("spec", [SPECS[0], pytest.param(SPECS[1], marks=pytest.mark.thorough)])
def test_values_and_statistics_are_those_of_the_host(spec):
    """Actions are drawn by time alone, so that an agent without preprocessing sees the same. What it has stored goes through the layers
    in the order in which it came: where a timestep led, its reward, and what new episodes begin with."""
    env = Line(num_envs=2)
    raw, processed, host = (
        dqn(env, exploration=1.0, start=40, **changes)
        for changes in ({}, {"preprocessing": spec}, {"preprocessing": spec})
    )
    for agent in (raw, processed):
        agent.fit(env, steps=20, verbose=0)
    rows, found, made = raw.memory.storage.views, processed.memory.storage.views, host.preprocessing
    past, every, fresh = made.begin(2), np.ones(2, bool), np.ones(2, bool)
    start = [np.array([[1, 0, 1]] * 2, np.int8), np.zeros((2, 1), np.float32)]
    now = made.stored(made.observation(start, past, slice(None), every, True))
    for begin in range(0, 20, 2):
        at = slice(begin, begin + 2)
        ended = (rows["terminated"][at] + rows["truncated"][at]) != 0
        then = [rows["next_observation.0"][at].astype(np.int8), rows["next_observation.1"][at].astype(np.float32)]
        later = made.stored(made.observation(then, past, slice(None), ~every, True))
        reward = made.reward(rows["reward"][at].astype(np.float64), past, slice(None), fresh, True, later)
        np.testing.assert_allclose(found["observation.1"][at], now[1], atol=1e-5)
        np.testing.assert_allclose(found["next_observation.1"][at], later[1], atol=1e-5)
        np.testing.assert_allclose(found["reward"][at], reward, atol=1e-5)
        now, fresh = [x.copy() for x in later], ended
        if ended.any():
            index = np.flatnonzero(ended)
            begun = made.stored(
                made.observation([x[ended] for x in start], past, index, np.ones(len(index), bool), True)
            )
            for into, x in zip(now, begun):
                into[ended] = x
    np.testing.assert_array_equal(found["observation.0"][:20], rows["observation.0"][:20])  # masks stay
    assert found["reward"][:20].std() != rows["reward"][:20].std()
    expected = tf.nest.flatten(made.statistics())
    for one, other in zip(tf.nest.flatten(processed.preprocessing.statistics()), expected):
        np.testing.assert_allclose(one, other, rtol=1e-9)
    assert len(expected) == 6


def test_decay_by_time():
    """Decay 0.9 at first, 0.7 after half of the run: a value that two environments have together counts 1 - decay**2."""
    agent = kagent.PPO(
        "CartPole-v1", preprocessing={"reward": {"type": "exponential_normalization", "decay": DECAY}}, seed=0
    )
    made = CompiledPreprocessing(agent.preprocessing)
    made.load()
    clock = schedules.Clock(*(tf.constant(x, tf.float64) for x in (0.0, 0.0, 0.0, 0.5)))
    statistics, _, reward = made.reward(made.begin(), [], tf.constant([1.0, 3.0]), tf.constant([True, True]), clock)
    assert statistics[0].weight.numpy() == pytest.approx(1 - 0.7**2)
    assert (statistics[0].mean.numpy(), statistics[0].variance.numpy()) == pytest.approx((2.0, 1.0))
    np.testing.assert_allclose(reward, [-1.0, 1.0])


def test_statistics_are_frozen_in_evaluation():
    env = compiled.CartPole(num_envs=3)
    agent = ppo(env, normalize=True)
    agent.fit(env, steps=18, verbose=0, validation_env=env, validation_episodes=1)
    # First observations, those of 18 timesteps, and those that new episodes began with.
    weight = agent.preprocessing.statistics()[0][0]["weight"]
    assert weight == 3 + 18 + agent.episodes
    agent.evaluate(env, episodes=1)
    assert agent.preprocessing.statistics()[0][0]["weight"] == weight
    agent.fit("CartPole-v1", steps=18, n_envs=3, verbose=0)  # an ordinary fit goes on with them
    assert agent.preprocessing.statistics()[0][0]["weight"] > weight
