"""`fit` of compiled environments with recurrent networks: their states go through the program."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_compiled_fit import Cycle

import kagent
from kagent.environments import compiled
from kagent.training.compiled.rollout import RolloutCollector

SMALL = {
    "network": {"units": [4], "rnn": 3}, "n_steps": 6, "batch_size": 9, "epochs": 2, "sequence_length": 3,
    "max_episode_timesteps": 4, "seed": 3,
}  # fmt: skip


def recurrent(env, preset=kagent.RecurrentPPO, **changes):
    agent = preset(env, **{**SMALL, **changes})
    agent.compile(run_eagerly=True)
    return agent


def rollout_of(agent, env):
    """The experience of the agent's first rollout."""
    collector = RolloutCollector(agent, env)
    collector.start(agent.next_seed)

    def time(carried):
        return agent._clock.host()._replace(timesteps=carried.row * env.num_envs)

    seeds = tf.constant([agent._random.sample_seed, 0], tf.int64)
    _, found = collector.collect(collector.begin(), None, seeds, time)
    return tf.nest.map_structure(np.asarray, found["experience"])


def weights_of(agent):
    return np.concatenate([np.ravel(weight) for weight in agent.get_weights()])


@pytest.mark.parametrize("critic", [None, pytest.param("shared", marks=pytest.mark.thorough)])
def test_states_are_those_of_the_actor(critic):
    """Each timestep is acted from the state that the NumPy actor has there; behind an end it is 0."""
    env = compiled.CartPole(num_envs=3)
    agent = recurrent(env, **({} if critic is None else {"critic": critic}))
    found = rollout_of(agent, env)
    ended = (found["terminated"] | found["truncated"])[..., np.newaxis]
    state = agent.actor.initial_state(3)
    assert len(found["actor_state"]) == len(state) == (4 if critic is None else 2) and ended.sum() == 3
    for t in range(6):
        for part, expected in zip(found["actor_state"], state):
            np.testing.assert_allclose(part[t], expected, atol=1e-6)
        _, after = agent.actor.decide_from([found["observation"][t]], state, None, True, np.random.default_rng(0))
        state = tuple(np.where(ended[t], 0.0, part) for part in after)
    assert all((np.abs(part[3]) > 0).any() for part in found["actor_state"])


def test_an_update_is_that_of_the_same_transitions_elsewhere():
    """Two gradient steps on whole rollouts: in which order sequences lie in a minibatch is left to chance."""
    env = compiled.CartPole(num_envs=3)
    inside, outside = (recurrent(env, batch_size=18, optimizer=keras.optimizers.SGD(0.1)) for _ in range(2))
    before = weights_of(inside)
    inside.fit(env, steps=18, verbose=0)
    found, memory = rollout_of(outside, env), outside.memory
    memory.build(outside._observation, outside._action, num_envs=3)
    for t in range(6):
        observation, action, following = (found[name][t] for name in ("observation", "action", "next_observation"))
        flags = (found[name][t] for name in ("reward", "terminated", "truncated"))
        memory.append_leaves(
            [observation], [action], *flags, [following], actor_state=[part[t] for part in found["actor_state"]]
        )
    outside.update()
    assert inside.gradient_steps == outside.gradient_steps == 2
    np.testing.assert_allclose(weights_of(inside), weights_of(outside), rtol=1e-5, atol=1e-6)
    assert np.abs(weights_of(inside) - before).max() > 1e-4


@pytest.mark.thorough
def test_a_resumed_run_is_the_run(tmp_path):
    """With all that a timestep carries: states of networks, and of preprocessing observations, statistics and sums."""
    env = compiled.CartPole(num_envs=3)
    whole, half = (recurrent(env, batch_size=18, epochs=1, normalize=True) for _ in range(2))
    whole.fit(env, max_steps=36, verbose=0)
    half.fit(env, max_steps=18, verbose=0)
    half.save(tmp_path / "half.keras")
    rest = kagent.load(tmp_path / "half.keras")
    assert [part.shape for part in rest._run.open_episodes["actor"]] == [(3, 3)] * 4
    rest.fit(compiled.CartPole(num_envs=3), max_steps=36, verbose=0)
    np.testing.assert_array_equal(weights_of(rest), weights_of(whole))
    for one, other in zip(*(tf.nest.flatten(agent.preprocessing.statistics()) for agent in (rest, whole))):
        np.testing.assert_array_equal(one, other)
    # Returns are of the environment's own rewards: 1 in each timestep.
    assert set(np.unique(whole._run.open_episodes["returns"])) <= set(range(5))
    # Without these states episodes begin anew.
    state = whole._run.open_episodes
    collector = RolloutCollector(whole, env)
    assert collector.start(whole.next_seed, state) == []
    assert collector.start(whole.next_seed, {name: state[name] for name in state if name != "actor"}) == [0, 1, 2]


@pytest.mark.thorough
def test_a2c_learns_from_whole_sequences():
    env = compiled.CartPole(num_envs=2)
    agent = kagent.A2C(env, batch_size=8, horizon=2, network={"units": [4], "rnn": 3}, seed=0)
    agent.compile(run_eagerly=True)
    agent.fit(env, steps=16, verbose=0)
    assert (agent.timesteps, agent.gradient_steps) == (16, 2)


@pytest.mark.thorough
def test_a_compiled_program_is_that_of_nothing_compiled():
    """One program of XLA with two rollouts in a call, with preprocessing. No state is drawn: XLA draws others."""
    env = Cycle(num_envs=3)
    settings = {"epochs": 1, "normalize": True, "batch_size": 18}
    one, two = (recurrent(env, optimizer=keras.optimizers.SGD(0.01), **settings) for _ in range(2))
    two.compile(steps_per_execution=2, jit_compile=True)
    one.fit(env, steps=36, verbose=0)
    two.fit(env, steps=36, verbose=0)
    assert two._run.program.learner.traces == 1 and two.gradient_steps == one.gradient_steps == 2
    np.testing.assert_allclose(weights_of(two), weights_of(one), rtol=1e-4, atol=1e-5)
    for a, b in zip(*(tf.nest.flatten(agent.preprocessing.statistics()) for agent in (one, two))):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    two.fit(env, steps=36, verbose=0)
    assert two._run.program.learner.traces == 1
