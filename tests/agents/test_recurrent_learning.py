"""Recurrent agents learn what needs memory: minutes."""

import pytest

import kagent
from examples import recurrent
from kagent import tuned

pytestmark = [pytest.mark.slow]


def score(agent, env, episodes):
    return agent.evaluate(env, episodes=episodes)["episode_return"]


def test_a_sign_is_remembered_to_the_end_of_the_corridor():
    """A corridor of 10. All of ten seeds turn the right way."""
    scores = []
    for seed in range(10):
        agent = recurrent.make({"units": [32], "rnn": 32}, seed)
        agent.fit(recurrent.TMaze, steps=120_000, verbose=0)
        scores.append(score(agent, recurrent.TMaze, 100))
    assert min(scores) >= 0.95, scores


def test_without_memory_half_of_the_turns_are_right():
    """Of a feed-forward network the turn at the end is the same in every episode: of many, half are right at best."""
    for seed in range(3):
        agent = recurrent.make({"units": [32]}, seed)
        agent.fit(recurrent.TMaze, steps=120_000, verbose=0)
        assert score(agent, recurrent.TMaze, 400) <= 0.6


def test_velocities_are_found_from_places():
    """With the shipped settings, all of three seeds stay up for long; their scores are in the learning table."""
    env, scores = "kagent.environments.partial:CartPoleWithoutVelocities-v1", []
    for seed in range(3):
        arguments = tuned.load("recurrentppo", env)
        fit = arguments.pop("fit")
        agent = kagent.RecurrentPPO(env, **arguments, n_envs=fit["n_envs"], seed=seed)
        agent.fit(env, steps=fit["steps"], verbose=0)
        scores.append(score(agent, env, 100))
    assert min(scores) >= 300, scores


def test_dqn_remembers_the_sign_from_sequences():
    """All of five seeds turn the right way."""
    scores = []
    for seed in range(5):
        agent = kagent.DQN(
            recurrent.TMaze, network={"units": [32], "rnn": 32}, batch_size=512, start=2000, frequency=64, gradient_steps=2,
            memory=kagent.memories.ReplaySequences(50_000, sequence_length=16, burn_in=4), horizon=2, double=True, discount=0.95,
            learning_rate=1e-3, target_update_period=1000, exploration={"type": "EpsilonGreedy", "fraction": 0.5, "final": 0.02},
            n_envs=16, seed=seed,
        )  # fmt: skip
        agent.fit(recurrent.TMaze, steps=60_000, verbose=0)
        scores.append(score(agent, recurrent.TMaze, 100))
    assert min(scores) >= 0.95, scores
