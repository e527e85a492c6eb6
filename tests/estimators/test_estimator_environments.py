"""GymEnvironment: gymnasium's environment, and Polyaxon's words for it."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import kagent
import kagent.estimators.memories
from kagent import environments as kagent_environments
from kagent.estimators.environments import EnvSpec, GymEnvironment


def test_its_words():
    env = GymEnvironment("CartPole-v1")
    assert (env.env_id, env.num_states, env.num_actions, env.is_continuous) == ("CartPole-v1", 4, 2, False)
    first = env.reset(return_spec=True, seed=3)
    assert isinstance(first, EnvSpec)
    assert (first.action, first.state, first.reward, first.done) == (None, None, 0, False)
    assert first.next_state.shape == (4,)
    second = env.step([1], first.next_state)  # of a batch of one
    assert second.state is first.next_state and second.reward == 1.0 and not second.done
    assert list(second.to_dict())[:5] == ["action", "state", "reward", "done", "next_state"]
    assert dict(second.items()) == second.to_dict()
    env.close()
    env.close()
    pendulum = GymEnvironment("Pendulum-v1", max_episode_steps=2)
    assert (pendulum.num_states, pendulum.num_actions, pendulum.is_continuous) == (3, 1, True)
    state = pendulum.reset(return_spec=True, seed=0).next_state
    pendulum.step(np.zeros(1), state)
    last = pendulum.step(np.zeros(1), state)
    assert last.done and not last.terminated  # a time limit is no end of its own


def test_it_is_an_environment_of_gymnasiums():
    env, plain = GymEnvironment("CartPole-v1"), gymnasium.make("CartPole-v1")
    assert isinstance(env, gymnasium.Env)
    np.testing.assert_array_equal(env.reset(seed=5)[0], plain.reset(seed=5)[0])
    for action in (0, 1, 1, 0):
        found, expected = env.step(action), plain.step(action)
        np.testing.assert_array_equal(found[0], expected[0])
        assert found[1:4] == expected[1:4]
    assert len(env.step(0, return_spec=False)) == 5 and isinstance(env.step(0, return_spec=True), EnvSpec)


def test_what_it_gives_is_what_a_memory_stores():
    env, memory = GymEnvironment("CartPole-v1"), kagent.estimators.memories.Memory(10, 2)
    state = env.reset(return_spec=True, seed=0).next_state
    for action in (0, 1):
        spec = env.step(action, state)
        memory.step(**spec.to_dict())
        state = spec.next_state
    np.testing.assert_array_equal(memory.get_by_index(-1)["next_state"], state.astype(np.float32))
    np.testing.assert_array_equal(memory.get_by_index(0)["next_state"], memory.get_by_index(1)["state"])


def test_agents_take_it():
    env = GymEnvironment("CartPole-v1")
    made = kagent_environments.make(env)
    made.reset()
    assert made.observation[0].shape == (1, 4)
    agent = kagent.DQN(env, start=20, memory=100, batch_size=16, seed=0)
    agent.fit(env, steps=40, verbose=0)
    assert agent.timesteps == 40 and agent.updates > 0


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: GymEnvironment("CartPol-v1"), ValueError, "CartPol-v1"),
        (lambda: GymEnvironment(3), TypeError, "`env_id` must be"),
        (lambda: GymEnvironment(gymnasium.make("CartPole-v1"), render_mode=None), ValueError, "render_mode"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
