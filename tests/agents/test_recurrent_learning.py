"""Recurrent agents learn what needs memory: minutes."""

import gymnasium
import numpy as np
import pytest

from examples import recurrent

pytestmark = [pytest.mark.slow]


def score(agent, env, episodes):
    return agent.evaluate(env, episodes=episodes)["episode_return"]


def test_a_sign_is_remembered_to_the_end_of_the_corridor():
    """A corridor of 10. All of ten seeds turn the right way."""
    scores = []
    for seed in range(10):
        agent = recurrent.make({"units": [32], "rnn": 32}, seed)
        agent.fit(recurrent.TMaze, steps=80_000, verbose=0)
        scores.append(score(agent, recurrent.TMaze, 100))
    assert min(scores) >= 0.95, scores


def test_without_memory_half_of_the_turns_are_right():
    """Of a feed-forward network the turn at the end is the same in every episode: of many, half are right at best."""
    for seed in range(3):
        agent = recurrent.make({"units": [32]}, seed)
        agent.fit(recurrent.TMaze, steps=80_000, verbose=0)
        assert score(agent, recurrent.TMaze, 400) <= 0.6


def without_velocities():
    box = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    return gymnasium.wrappers.TransformObservation(gymnasium.make("CartPole-v1"), lambda x: x[[0, 2]], box)
