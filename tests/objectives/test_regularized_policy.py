"""TD3 near recorded actions: one gradient step against NumPy."""

import numpy as np
import pytest
from gradient_steps import LINEAR, RATE, SGD, heads, randomize, tensors
from gymnasium import spaces

import kagent
from kagent.objectives import RegularizedPolicyObjective

pytestmark = pytest.mark.eager

GENERATOR = np.random.default_rng(7)
BATCH = {
    "observation": GENERATOR.normal(size=(4, 2)), "next_observation": GENERATOR.normal(size=(4, 2)),
    "action": GENERATOR.uniform(-0.9, 0.9, (4, 2)), "reward": np.array([1.0, -2.0, 0.5, 4.0]),
    "terminated": np.array([False, True, False, False]), "truncated": np.array([False, False, True, False]),
}  # fmt: skip


def agent_of(cls=kagent.TD3BC, **changes):
    agent = cls(
        observation_space=spaces.Box(-5, 5, (2,)), action_space=spaces.Box(np.float32([-3, 10]), np.float32([3, 50])),
        network=LINEAR, discount=0.9, memory=20, batch_size=4, optimizer=SGD, critic_optimizer=SGD, normalize=False, seed=4,
        **changes,
    )  # fmt: skip
    for number, role in enumerate((agent.policy, agent.critic, agent.target_policy, agent.target_critic)):
        randomize(role, number + 1, 0.5)
    agent.compile(run_eagerly=True)
    return agent


def test_the_policy_steps_on_the_new_critic_near_the_actions_taken():
    agent = agent_of(alpha=1.5, policy_delay=1)
    kernel, bias = heads(agent.policy)
    agent.train_step(tensors(BATCH))
    critic = heads(agent.critic)  # which has stepped first
    x = BATCH["observation"]
    action = np.tanh(x @ kernel + bias)
    value = (np.concatenate([x, action], 1) @ critic[0] + critic[1])[:, 0]
    factor = 1.5 / np.abs(value).mean()
    slope = 2 * (action - BATCH["action"]) / 2 / 4 - factor * critic[0][2:, 0] / 4  # of mean distance over components
    slope = slope * (1 - action**2)
    after = heads(agent.policy)
    np.testing.assert_allclose(after[0], kernel - RATE * x.T @ slope, atol=1e-5)
    np.testing.assert_allclose(after[1], bias - RATE * slope.sum(0), atol=1e-5)


def test_critics_step_as_those_of_td3():
    one, other = agent_of(), agent_of(kagent.TD3)
    for agent in (one, other):
        for _ in range(3):
            logs = agent.train_step(tensors(BATCH))
    for own, expected in zip(heads(one.critic), heads(other.critic)):
        np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-6)
    assert {"distance", "policy_loss", "critic_loss", "q_mean"} - {"distance"} <= set(logs)


def test_alpha_is_checked():
    for alpha in (0, -1.0, None, "2"):
        with pytest.raises((ValueError, TypeError), match=r"objective\.alpha"):
            RegularizedPolicyObjective(alpha=alpha)
    assert agent_of(alpha={"type": "Linear", "initial": 1.0, "final": 5.0}).alpha == kagent.schedules.Linear(1.0, 5.0)
    with pytest.raises(ValueError, match="`alpha` goes into the `objective`"):
        agent_of(alpha=2.0, objective="twin_delayed")
