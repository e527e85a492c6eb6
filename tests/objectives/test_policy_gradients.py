"""The policy gradient against NumPy: one step, with and without a critic."""

import numpy as np
import pytest
from gradient_steps import LINEAR, RATE, SGD, heads, numeric_gradient, randomize, tensors
from gymnasium import spaces
from toy_envs import Identity

import kagent

GENERATOR = np.random.default_rng(7)
OBSERVATION = GENERATOR.normal(size=(6, 2))
ACTION = GENERATOR.integers(0, 3, 6).astype(np.int32)
RETURN = np.array([1.0, -0.5, 2.0, 0.3, -2.0, -1.0])


def agent_of(critic=None, estimation=None, **objective):
    agent = kagent.Agent(
        observation_space=spaces.Box(-5, 5, (2,)),
        action_space=spaces.Discrete(3),
        policy={"type": "StochasticPolicy", "network": LINEAR},
        critic=critic,
        objective={"type": "policy_gradient", **objective},
        memory={"type": "Rollout", "steps": 6},
        update={"unit": "timesteps", "batch_size": 6, "epochs": 1},
        reward_estimation={"horizon": "episode", "discount": 0.5, **(estimation or {})},
        exploration="sampling",
        optimizer=SGD,
        seed=0,
    )
    randomize(agent.policy, 1, 0.7)
    agent.compile(jit_compile=False)
    return agent


def log_probs(weights):
    logits = OBSERVATION @ weights[0] + weights[1]
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def loss_by_hand(weights, old, sampling, clipping):
    log_prob = log_probs(weights)[np.arange(6), ACTION]
    x = np.exp(log_prob - old) if sampling else log_prob
    if clipping is None:
        return -(x * RETURN).mean()
    if sampling:
        clipped = np.clip(x, 1 / (1 + clipping), 1 + clipping)
    else:
        clipped = np.clip(x, old - np.log(1 + clipping), old + np.log(1 + clipping))
    return -np.minimum(x * RETURN, clipped * RETURN).mean()


@pytest.mark.parametrize("clipping", [None, 0.25])
@pytest.mark.parametrize("sampling", [False, True])
def test_one_gradient_step(sampling, clipping):
    agent = agent_of(importance_sampling=sampling, clipping_value=clipping)
    policy = heads(agent.policy)
    old = log_probs(policy)[np.arange(6), ACTION] + np.array([0.1, 0.9, -0.5, -0.9, 0.05, 0.6])
    batch = {"observation": OBSERVATION, "action": ACTION, "advantage": RETURN, "return": RETURN, "old_log_prob": old}
    logs = agent.train_step(tensors({**batch, "weight": np.ones(6)}))
    np.testing.assert_allclose(logs["loss"], loss_by_hand(policy, old, sampling, clipping), rtol=1e-5)
    slopes = numeric_gradient(lambda weights: loss_by_hand(weights, old, sampling, clipping), policy)
    for variable, start, slope in zip(agent.policy.variables, policy, slopes, strict=True):
        np.testing.assert_allclose(variable, start - RATE * slope, rtol=1e-3, atol=1e-5)
    assert "critic_loss" not in logs


def test_without_a_critic_returns_weigh_the_actions():
    agent = agent_of()
    flags = np.zeros((6, 1), bool)
    ends = flags.copy()
    ends[2] = True
    rollout = {
        "observation": OBSERVATION[:, None], "next_observation": OBSERVATION[:, None], "action": ACTION[:, None],
        "reward": np.array([[1.0], [2.0], [4.0], [1.0], [1.0], [1.0]]), "terminated": ends, "truncated": flags,
        "valid": ~flags,
    }  # fmt: skip
    prepared = agent.prepare(tensors(rollout))
    np.testing.assert_allclose(prepared["advantage"], [3, 4, 4, 1.75, 1.5, 1])
    np.testing.assert_allclose(prepared["return"], prepared["advantage"])


def test_with_a_critic_advantages_or_bootstrapped_returns():
    flags = np.zeros((6, 1), bool)
    rollout = {
        "observation": OBSERVATION[:, None], "next_observation": OBSERVATION[::-1, None], "action": ACTION[:, None],
        "reward": np.ones((6, 1)), "terminated": flags, "truncated": flags, "valid": ~flags,
    }  # fmt: skip
    for estimation, subtract in (({"horizon": 0}, 0.0), ({"horizon": 0, "estimate_advantage": True}, 1.0)):
        agent = agent_of({"type": "StateValue", "network": LINEAR}, estimation)
        randomize(agent.critic, 2)
        kernel, bias = heads(agent.critic)
        value = (OBSERVATION @ kernel + bias)[:, 0]
        prepared = agent.prepare(tensors(rollout))
        np.testing.assert_allclose(prepared["return"], 1 + 0.5 * value[::-1], rtol=1e-5)
        np.testing.assert_allclose(
            prepared["advantage"], 1 + 0.5 * value[::-1] - subtract * value, rtol=1e-4, atol=1e-6
        )


@pytest.mark.sensitive
def test_it_learns_the_identity():
    env = Identity(spaces.Discrete(3))
    agent = kagent.Agent(
        env,
        policy={"type": "StochasticPolicy", "network": {"type": "mlp", "units": [32]}},
        objective={"type": "policy_gradient", "normalize_advantage": True},
        memory={"type": "Rollout", "steps": 50},
        update={"unit": "timesteps", "batch_size": 50, "epochs": 1},
        reward_estimation={"horizon": 0, "discount": 0.0},
        exploration="sampling",
        optimizer=0.02,
        seed=0,
    )
    agent.compile(jit_compile=False)
    agent.fit(env, steps=4000, verbose=0)
    assert agent.evaluate(env, episodes=10)["episode_return"] >= 9.5
