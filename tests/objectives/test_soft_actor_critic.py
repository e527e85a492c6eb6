"""One gradient step of SAC against NumPy, given the noise that the step draws."""

import numpy as np
import pytest
import tensorflow as tf
from gradient_steps import LINEAR, RATE, SGD, heads, numeric_gradient, randomize, tensors
from gymnasium import spaces

import kagent

GENERATOR = np.random.default_rng(7)
SIZE = 4
BATCH = {
    "observation": GENERATOR.normal(size=(SIZE, 2)),
    "next_observation": GENERATOR.normal(size=(SIZE, 2)),
    "action": GENERATOR.uniform(-0.9, 0.9, (SIZE, 1)),
    "reward": np.array([1.0, -2.0, 0.5, 4.0]),
    "terminated": np.array([False, True, False, False]),
    "truncated": np.array([False, False, True, False]),
}


def agent_of(**changes):
    arguments = {"optimizer": SGD, "critic_optimizer": SGD, "temperature_optimizer": SGD, "temperature": "auto_0.3"}
    agent = kagent.SAC(
        observation_space=spaces.Box(-5, 5, (2,)), action_space=spaces.Box(-3, 3, (1,)), network=LINEAR,
        discount=0.9, seed=4, **{**arguments, **changes},
    )  # fmt: skip
    for number, role in enumerate((agent.policy, agent.critic, agent.target_critic)):
        randomize(role, number + 1, 0.5)
    agent.compile(jit_compile=False)
    return agent


def policy_variables(agent):
    """In the order that `sample` reads them."""
    found = {variable.path.partition("/")[2]: variable for variable in agent.policy.variables}
    return [found[f"{name}_0/{part}"] for name in ("mean", "log_std") for part in ("kernel", "bias")]


def policy_of(agent):
    return [variable.numpy().astype(np.float64) for variable in policy_variables(agent)]


def noise_of(agent):
    """The standard normal numbers that the step at the agent's present time draws: ahead, now.

    Found by asking the policy's own sampler with mean 0 and deviation 1: tanh of the noise.
    """
    seeds = tf.random.split(agent.step_seed(), 2)
    zeros = tf.zeros((SIZE, 1))
    drawn = [agent.policy.sample_with_log_prob([zeros, zeros], seed)[0].numpy() for seed in seeds]
    return [np.arctanh(x.astype(np.float64)) for x in drawn]


def sample(policy, observation, noise):
    """Action in [-1, 1] and its log-probability (Haarnoja et al. 2018b, appendix C)."""
    mean = observation @ policy[0] + policy[1]
    log_std = np.clip(observation @ policy[2] + policy[3], -20, 2)
    action = np.tanh(mean + np.exp(log_std) * noise)
    log_prob = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi) - np.log(1 - action**2)
    return action, log_prob.sum(1)


def values(critic, observation, action):
    inputs = np.concatenate([observation, action], axis=1)
    return [(inputs @ critic[2 * i] + critic[2 * i + 1])[:, 0] for i in range(len(critic) // 2)]


@pytest.mark.parametrize("weight", [None, np.array([1.0, 0.0, 1.0, 1.0])], ids=["whole", "padded"])
def test_one_gradient_step(weight):
    agent = agent_of(target_entropy=-0.7)
    policy, critic, behind = policy_of(agent), heads(agent.critic), heads(agent.target_critic)
    ahead_noise, now_noise = noise_of(agent)
    logs = agent.train_step(tensors(BATCH | ({} if weight is None else {"weight": weight})))
    average = lambda x: np.average(x, weights=weight)  # noqa: E731

    action, log_prob = sample(policy, BATCH["next_observation"], ahead_noise)
    lowest = np.min(values(behind, BATCH["next_observation"], action), axis=0)
    target = BATCH["reward"] + 0.9 * ~BATCH["terminated"] * (lowest - 0.3 * log_prob)

    def critic_loss(weights):
        found = values(weights, BATCH["observation"], BATCH["action"])
        return sum(average(0.5 * (target - q) ** 2) for q in found)

    np.testing.assert_allclose(logs["critic_loss"], critic_loss(critic), rtol=1e-4)
    learned = [w - RATE * g for w, g in zip(critic, numeric_gradient(critic_loss, critic))]
    for variable, value in zip(agent.critic.variables, learned, strict=True):
        np.testing.assert_allclose(variable, value, rtol=1e-3, atol=1e-5)

    def policy_loss(weights):  # on the critics as they have just learned
        action, log_prob = sample(weights, BATCH["observation"], now_noise)
        return average(0.3 * log_prob - np.min(values(learned, BATCH["observation"], action), axis=0))

    np.testing.assert_allclose(logs["policy_loss"], policy_loss(policy), rtol=1e-3)
    gradient = numeric_gradient(policy_loss, policy)
    for variable, start, slope in zip(policy_variables(agent), policy, gradient, strict=True):
        np.testing.assert_allclose(variable, start - RATE * slope, rtol=1e-3, atol=1e-4)

    _, log_prob = sample(policy, BATCH["observation"], now_noise)
    np.testing.assert_allclose(logs["entropy"], -average(log_prob), rtol=1e-3)
    np.testing.assert_allclose(logs["temperature_loss"], -np.log(0.3) * average(log_prob - 0.7), rtol=1e-3)
    moved = np.log(0.3) + RATE * average(log_prob - 0.7)
    np.testing.assert_allclose(agent.temperature.logarithm, moved, rtol=1e-3)
    np.testing.assert_allclose(logs["temperature"], 0.3, rtol=1e-5)
    for variable, start in zip(agent.target_critic.variables, behind, strict=True):
        np.testing.assert_array_equal(variable, start.astype(np.float32))


def test_the_target_entropy_is_minus_the_number_of_components():
    agent = agent_of()
    _, now_noise = noise_of(agent)
    _, log_prob = sample(policy_of(agent), BATCH["observation"], now_noise)
    logs = agent.train_step(tensors(BATCH))
    np.testing.assert_allclose(logs["temperature_loss"], -np.log(0.3) * np.mean(log_prob - 1.0), rtol=1e-3)


def test_a_fixed_temperature_stays():
    agent = agent_of(temperature=0.25, temperature_optimizer=None)
    logs = agent.train_step(tensors(BATCH))
    assert "temperature_loss" not in logs
    np.testing.assert_allclose(np.exp(agent.temperature.logarithm), 0.25, rtol=1e-6)


def test_each_step_draws_its_own_noise():
    agent = agent_of(optimizer={"type": "SGD", "learning_rate": 0.0}, critic_optimizer=None, temperature_optimizer=None)
    first = float(agent.train_step(tensors(BATCH))["policy_loss"])
    assert float(agent.train_step(tensors(BATCH))["policy_loss"]) == first
    agent._clock.program = agent.clock._replace(updates=1)
    assert float(agent.train_step(tensors(BATCH))["policy_loss"]) != first


def test_a_drawn_subset_of_critics_makes_targets_and_all_of_them_lead_the_policy():
    agent = agent_of(members=3, subset=2, temperature=0.3, temperature_optimizer=None)
    pairs = set()
    for updates in range(6):
        agent._clock.program = agent.clock._replace(updates=updates)
        policy, critic, behind = policy_of(agent), heads(agent.critic), heads(agent.target_critic)
        ahead_noise, now_noise = noise_of(agent)
        logs = agent.train_step(tensors(BATCH))
        action, log_prob = sample(policy, BATCH["next_observation"], ahead_noise)
        ahead = values(behind, BATCH["next_observation"], action)
        losses = {}
        for left_out in range(3):
            lowest = np.min(ahead[:left_out] + ahead[left_out + 1 :], axis=0)
            target = BATCH["reward"] + 0.9 * ~BATCH["terminated"] * (lowest - 0.3 * log_prob)
            losses[left_out] = sum(
                np.mean(0.5 * (target - q) ** 2) for q in values(critic, BATCH["observation"], BATCH["action"])
            )
        drawn = min(losses, key=lambda each: abs(losses[each] - float(logs["critic_loss"])))
        np.testing.assert_allclose(logs["critic_loss"], losses[drawn], rtol=1e-4)
        pairs.add(drawn)
        action, log_prob = sample(policy, BATCH["observation"], now_noise)
        mean = np.mean(values(heads(agent.critic), BATCH["observation"], action), axis=0)
        np.testing.assert_allclose(logs["policy_loss"], np.mean(0.3 * log_prob - mean), rtol=1e-3)
    assert len(pairs) > 1  # another draw at another gradient step


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"subset": 3}, "`objective.subset` must be at most critic.members=2, of which it is drawn. Received: 3"),
        ({"subset": 0}, "`objective.subset` must be an integer >= 1. Received: 0"),
    ],
)
def test_a_subset_outside_its_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        agent_of(**arguments)
