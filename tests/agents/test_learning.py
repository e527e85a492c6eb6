"""Whole learning runs with the settings that kagent ships. `python -m benchmarks.learning` does them over seeds."""

import pytest

import kagent
from kagent import tuned

pytestmark = pytest.mark.sensitive


def trained(algorithm, environment, seed=0, **changes):
    arguments = tuned.load(algorithm, environment)
    fit = arguments.pop("fit") | changes
    agent = getattr(kagent, algorithm.upper())(environment, seed=seed, **arguments)
    agent.fit(environment, verbose=0, **fit)
    return agent


@pytest.mark.slow
@pytest.mark.learning  # so `.ci/run` has it
def test_ppo_learns_cartpole():
    agent = trained("ppo", "CartPole-v1")
    assert agent.evaluate("CartPole-v1", 20, seed=1)["episode_return"] >= 400


@pytest.mark.slow
def test_dqn_learns_cartpole():
    agent = trained("dqn", "CartPole-v1")
    assert agent.evaluate("CartPole-v1", 20, seed=1)["episode_return"] >= 400


@pytest.mark.slow
def test_sac_learns_pendulum():
    agent = trained("sac", "Pendulum-v1")
    assert agent.evaluate("Pendulum-v1", 20, seed=1)["episode_return"] >= -220


@pytest.mark.slow
def test_ppo_learns_pendulum():
    agent = trained("ppo", "Pendulum-v1")
    assert agent.evaluate("Pendulum-v1", 20, seed=1)["episode_return"] >= -400
