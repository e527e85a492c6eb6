"""One gradient step of the quantile critics and of the policy behind them, given what the step draws."""

import numpy as np
import pytest
import tensorflow as tf
from gradient_steps import LINEAR, RATE, SGD, heads, numeric_gradient, randomize, tensors
from gymnasium import spaces

import kagent
from kagent.objectives import TruncatedQuantilesObjective

pytestmark = pytest.mark.eager

GENERATOR = np.random.default_rng(7)
SIZE, QUANTILES = 4, 5
BATCH = {
    "observation": GENERATOR.normal(size=(SIZE, 2)),
    "next_observation": GENERATOR.normal(size=(SIZE, 2)),
    "action": GENERATOR.uniform(-0.9, 0.9, (SIZE, 1)),
    "reward": np.array([1.0, -2.0, 0.5, 4.0]),
    "terminated": np.array([False, True, False, False]),
    "truncated": np.array([False, False, True, False]),
    "weight": np.array([1.0, 2.0, 1.0, 0.0]),
}


def agent_of(**changes):
    arguments = {"temperature": 0.3, "top_quantiles_to_drop_per_net": 2}
    if "critic" not in changes:
        arguments |= {"quantiles": QUANTILES, "members": 3}
    if "reward_estimation" not in changes:
        arguments["discount"] = 0.9
    agent = kagent.TQC(
        observation_space=spaces.Box(-5, 5, (2,)), action_space=spaces.Box(-3, 3, (1,)), network=LINEAR,
        optimizer=SGD, critic_optimizer=SGD, memory=20, batch_size=4, start=4, seed=4, **{**arguments, **changes},
    )  # fmt: skip
    for number, role in enumerate((agent.policy, agent.critic, agent.target_critic)):
        randomize(role, number + 1, 0.5)
    agent.compile(run_eagerly=True)
    return agent


def atoms(critic, observation, action):
    inputs = np.concatenate([observation, action], axis=1)
    return [inputs @ critic[2 * i] + critic[2 * i + 1] for i in range(len(critic) // 2)]


@pytest.mark.parametrize("drop", [0, 2])
def test_one_gradient_step(drop):
    agent = agent_of(top_quantiles_to_drop_per_net=drop)
    seeds = tf.random.split(agent.step_seed(), 2)
    policy = agent.policy
    ahead = policy.sample_with_log_prob(policy.parameters_of(tensors(BATCH)["next_observation"]), seeds[0])
    now = policy.sample_with_log_prob(policy.parameters_of(tensors(BATCH)["observation"]), seeds[1])
    critic, behind = heads(agent.critic), heads(agent.target_critic)
    logs = agent.train_step(tensors(BATCH))

    action, log_prob = (x.numpy().astype(np.float64) for x in ahead)
    pooled = np.sort(np.concatenate(atoms(behind, BATCH["next_observation"], action), axis=1), axis=1)
    kept = pooled[:, : 3 * QUANTILES - 3 * drop]
    assert kept.shape[1] == 15 - 3 * drop
    target = BATCH["reward"][:, None] + 0.9 * ~BATCH["terminated"][:, None] * (kept - 0.3 * log_prob[:, None])
    tau = ((np.arange(QUANTILES) + 0.5) / QUANTILES)[:, None]

    def critic_loss(variables):
        total = 0.0
        for found in atoms(variables, BATCH["observation"], BATCH["action"]):
            error = target[:, None, :] - found[:, :, None]
            size = np.where(abs(error) < 1, error**2 / 2, abs(error) - 0.5)
            total += np.average((abs(tau - (error < 0)) * size).mean((1, 2)), weights=BATCH["weight"])
        return total

    assert float(logs["critic_loss"]) == pytest.approx(critic_loss(critic), rel=1e-4)
    for after, before, gradient in zip(heads(agent.critic), critic, numeric_gradient(critic_loss, critic), strict=True):
        np.testing.assert_allclose(after, before - RATE * gradient, atol=1e-5)
    # The policy climbs the mean of all quantiles of the critics of after their step, none left out.
    action, log_prob = (x.numpy().astype(np.float64) for x in now)
    value = np.mean(atoms(heads(agent.critic), BATCH["observation"], action), axis=(0, 2))
    expected = np.average(0.3 * log_prob - value, weights=BATCH["weight"])
    assert float(logs["policy_loss"]) == pytest.approx(expected, rel=1e-4)


def test_errors_are_those_of_the_means():
    agent = agent_of()
    batch = {**tensors(BATCH), "target": tf.constant([[1.0, 3.0], [0.0, 0.0], [5.0, 7.0], [-1.0, 1.0]])}
    found = agent.objective.errors(agent.critic, batch)
    means = [x.mean(1) for x in atoms(heads(agent.critic), BATCH["observation"], BATCH["action"])]
    np.testing.assert_allclose(found, np.mean([abs(np.array([2, 0, 6, 0]) - x) for x in means], axis=0), atol=1e-5)


def test_stored_estimates_are_taken_for_distributions_of_one_return():
    estimation = {"discount": 0.9, "estimate_horizon": "early"}
    agent = agent_of(reward_estimation=estimation, frequency=2)
    agent.compile(run_eagerly=True)
    for step in range(10):
        agent.act(np.float32([step / 10, 0]))
        agent.observe(1.0, False, False, np.float32([step / 10 + 0.1, 0]))
    assert agent.updates > 0 and all(np.isfinite(v.numpy()).all() for v in agent.variables)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"top_quantiles_to_drop_per_net": -1},
            r"top_quantiles_to_drop_per_net` must be an integer >= 0. Received: -1",
        ),
        ({"top_quantiles_to_drop_per_net": 5}, r"drop_per_net` must be below critic.quantiles=5. Received: 5"),
        ({"quantiles": 0}, r"`critic.quantiles` must be an integer >= 1. Received: 0"),
        ({"temperature": "auto_0"}, r"`temperature` must be 'auto', 'auto_<initial>'.*Received: 'auto_0'"),
        ({"critic": {"type": "ActionValue"}}, r"needs critic=QuantileActionValue. Received: ActionValue"),
    ],
)
def test_arguments_outside_their_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        agent_of(**arguments)


def test_the_defaults_of_the_objective():
    assert TruncatedQuantilesObjective().top_quantiles_to_drop_per_net == 2
    with pytest.raises(ValueError, match=r"`objective.subset` must be None: TQC's targets .*Received: 2"):
        TruncatedQuantilesObjective(subset=2)
