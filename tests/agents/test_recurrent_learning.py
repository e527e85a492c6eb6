"""Recurrent agents learn what needs memory: minutes."""

import gymnasium
import numpy as np
import pytest

import kagent
from examples import recurrent

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


class WithoutVelocities(gymnasium.ObservationWrapper):
    """CartPole whose observation has the cart's place and the pole's angle alone."""

    def __init__(self):
        super().__init__(gymnasium.make("CartPole-v1"))
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def observation(self, observation):
        return observation[[0, 2]]


def test_velocities_are_found_from_places():
    """With the settings of rl-baselines3-zoo for RecurrentPPO; all of three seeds stay up."""
    rate, clip = ({"type": "linear", "initial": initial, "final": 0.0} for initial in (1e-3, 0.2))
    network = [{"type": "internal_lstm", "size": 64}, {"type": "dense", "size": 64}]
    scores = []
    for seed in range(3):
        agent = kagent.RecurrentPPO(
            WithoutVelocities, network=network, n_envs=8, n_steps=32, batch_size=256, epochs=20, learning_rate=rate,
            clip_range=clip, gae_lambda=0.8, discount=0.98, normalize=True, seed=seed,
        )  # fmt: skip
        agent.fit(WithoutVelocities, steps=100_000, verbose=0)
        scores.append(score(agent, WithoutVelocities, 100))
    assert min(scores) >= 475, scores


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
