"""Implicit Q-learning: one gradient step against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from gradient_steps import LINEAR, RATE, SGD, heads, randomize, tensors
from gymnasium import spaces

import kagent
from kagent.objectives import ImplicitQLearningObjective

pytestmark = pytest.mark.eager

GENERATOR = np.random.default_rng(7)
BATCH = {
    "observation": GENERATOR.normal(size=(4, 2)), "next_observation": GENERATOR.normal(size=(4, 2)),
    "action": GENERATOR.uniform(-0.9, 0.9, (4, 2)), "reward": np.array([1.0, -2.0, 0.5, 4.0]),
    "terminated": np.array([False, True, False, False]), "truncated": np.array([False, False, True, False]),
}  # fmt: skip


def agent_of(**changes):
    agent = kagent.IQL(
        observation_space=spaces.Box(-5, 5, (2,)), action_space=spaces.Box(-1, 1, (2,)), network=LINEAR, discount=0.9, memory=20,
        batch_size=4, optimizer=SGD, critic_optimizer=SGD, seed=4, **changes,
    )  # fmt: skip
    for number, role in enumerate((agent.policy, agent.critic, agent.target_critic)):
        randomize(role, number + 1, 0.5)
    agent.compile(run_eagerly=True)
    return agent


def test_one_gradient_step():
    agent = agent_of(expectile=0.8, inverse_temperature=2.0, max_weight=3.0)
    x, after, action = BATCH["observation"], BATCH["next_observation"], BATCH["action"]
    inputs = np.concatenate([x, action], 1)
    critic, target = heads(agent.critic), heads(agent.target_critic)  # two critics, then V: a kernel and a bias each
    assert len(critic) == 6
    taken = np.min([(inputs @ target[2 * i] + target[2 * i + 1])[:, 0] for i in range(2)], axis=0)
    state = (x @ critic[4] + critic[5])[:, 0]
    advantage = taken - state
    assert (advantage > 0).any() and (advantage < 0).any()
    goal = BATCH["reward"] + 0.9 * ~BATCH["terminated"] * (after @ critic[4] + critic[5])[:, 0]
    policy = heads(agent.policy)
    mean = x @ policy[0] + policy[1]
    weights = np.minimum(np.exp(2 * advantage), 3.0)
    assert (weights == 3.0).any() and (weights < 1).any()

    logs = agent.train_step(tensors(BATCH))
    side = np.where(advantage < 0, 0.2, 0.8)
    slope = -2 * side * advantage / 4
    now = heads(agent.critic)
    np.testing.assert_allclose(now[4], critic[4] - RATE * x.T @ slope[:, None], atol=1e-5)
    np.testing.assert_allclose(now[5], critic[5] - RATE * slope.sum(), atol=1e-5)
    for i in range(2):
        error = (inputs @ critic[2 * i] + critic[2 * i + 1])[:, 0] - goal
        np.testing.assert_allclose(now[2 * i], critic[2 * i] - RATE * inputs.T @ (2 * error / 4)[:, None], atol=1e-5)
    # Of a Gaussian: the slope of log pi by the mean is (action - mean) / variance.
    variance = np.exp(2 * np.ravel(policy[2]))
    moved = policy[0] + RATE * x.T @ (weights[:, None] * (action - mean) / variance / 4)
    np.testing.assert_allclose(heads(agent.policy)[0], moved, atol=1e-5)
    assert float(logs["v_mean"]) == pytest.approx(state.mean(), rel=1e-4)
    assert float(logs["advantage"]) == pytest.approx(advantage.mean(), rel=1e-4)


def test_values_of_states_follow_in_the_target_and_come_back_from_files(tmp_path):
    agent = agent_of(tau=0.25)
    before = heads(agent.target_critic)
    agent.target_networks.move_now(agent._clock.training(), False, True)
    for old, new, online in zip(before, heads(agent.target_critic), heads(agent.critic)):
        np.testing.assert_allclose(new, 0.75 * old + 0.25 * online, atol=1e-6)
    agent.save(tmp_path / "a.keras")
    other = kagent.load(tmp_path / "a.keras")
    x = tf.constant(BATCH["observation"], tf.float32)
    np.testing.assert_array_equal(other.critic.states(x), agent.critic.states(x))


def test_arguments_are_checked():
    for words, message in (
        ({"expectile": 1.0}, r"`objective\.expectile` must be a number in \(0, 1\). Received: 1\.0"),
        ({"expectile": None}, r"objective\.expectile"), ({"inverse_temperature": -1.0}, r"objective\.inverse_temperature"),
        ({"max_weight": 0}, r"objective\.max_weight"), ({"max_weight": None}, r"objective\.max_weight"),
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError), match=message):
            ImplicitQLearningObjective(**words)
    with pytest.raises(ValueError, match="needs critic=ActionAndStateValue"):
        agent_of(critic="action_value")


@pytest.mark.parametrize(
    "network", [[keras.layers.Dense(3)], keras.Sequential([keras.layers.Dense(3)])], ids=["list", "model"]
)
def test_networks_of_layers_are_for_states_and_for_actions(network, tmp_path):
    # The critics' layers are built for 2 numbers of the observation and 2 of the action, those of V for the observation's.
    space = {"observation_space": spaces.Box(-5, 5, (2,)), "action_space": spaces.Box(-1, 1, (2,))}
    agent = kagent.IQL(**space, network=network, memory=20, batch_size=4, seed=4)
    for role in (agent.critic, agent.target_critic):
        assert [kernel.shape for kernel in heads(role)[::4]] == [(4, 3), (4, 3), (2, 3)]
    agent.save(tmp_path / "a.keras")
    other = kagent.load(tmp_path / "a.keras")
    x = tf.constant(BATCH["observation"], tf.float32)
    for role in ("critic", "target_critic"):
        np.testing.assert_array_equal(getattr(other, role).states(x), getattr(agent, role).states(x))
    np.testing.assert_array_equal(agent.target_critic.states(x), agent.critic.states(x))


def test_the_state_may_have_a_network_of_its_own():
    critic = {"type": "ActionAndStateValue", "network": LINEAR, "state_network": [{"type": "dense", "size": 5}]}
    agent = agent_of(critic=critic)
    assert [w.shape for w in heads(agent.critic)[4:]] == [(2, 5), (5,), (5, 1), (1,)]
    again = kagent.Agent.create(agent.get_config())
    assert [w.shape for w in heads(again.target_critic)[4:]] == [(2, 5), (5,), (5, 1), (1,)]
