"""One gradient step of soft actor-critic of discrete actions against NumPy: nothing is drawn in it."""

import numpy as np
import pytest
from gradient_steps import LINEAR, RATE, SGD, heads, numeric_gradient, randomize, tensors
from gymnasium import spaces

import kagent

pytestmark = pytest.mark.eager

GENERATOR = np.random.default_rng(7)
SIZE, ACTIONS = 4, 3
BATCH = {
    "observation": GENERATOR.normal(size=(SIZE, 2)),
    "next_observation": GENERATOR.normal(size=(SIZE, 2)),
    "action": np.array([0, 2, 1, 1], np.int32),
    "reward": np.array([1.0, -2.0, 0.5, 4.0]),
    "terminated": np.array([False, True, False, False]),
    "truncated": np.array([False, False, True, False]),
    "weight": np.array([1.0, 2.0, 1.0, 0.0]),
}
ALL = np.ones((SIZE, ACTIONS), bool)
NOW = np.array([[1, 1, 0], [0, 0, 1], [1, 1, 1], [1, 1, 1]], bool)
AHEAD = np.array([[0, 1, 1], [1, 1, 1], [1, 0, 0], [1, 1, 1]], bool)


def agent_of(**changes):
    agent = kagent.DiscreteSAC(
        observation_space=spaces.Box(-5, 5, (2,)), action_space=spaces.Discrete(ACTIONS, start=5), network=LINEAR,
        discount=0.9, memory=20, batch_size=4, seed=4, temperature="auto_0.3", optimizer=SGD, critic_optimizer=SGD,
        temperature_optimizer=SGD, **changes,
    )  # fmt: skip
    for number, role in enumerate((agent.policy, agent.critic, agent.target_critic)):
        randomize(role, number + 1, 0.5)
    agent.compile(run_eagerly=True)
    return agent


def log_softmax(policy, observation, mask):
    logits = np.where(mask, observation @ policy[0] + policy[1], -np.inf)
    logits = logits - logits.max(1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def summed(log_prob, x):
    """Expectation of `x`, which may be infinite where the probability is 0."""
    return np.sum(np.where(np.isfinite(log_prob), np.exp(log_prob) * x, 0), axis=1)


def tables(critic, observation):
    return [observation @ critic[2 * i] + critic[2 * i + 1] for i in range(len(critic) // 2)]


@pytest.mark.parametrize("masked", [False, True])
def test_one_gradient_step(masked):
    agent = agent_of(target_entropy="auto_0.5")
    now, ahead = (NOW, AHEAD) if masked else (ALL, ALL)
    policy, critic, behind = heads(agent.policy), heads(agent.critic), heads(agent.target_critic)
    masks = {"action_mask": [now], "next_action_mask": [ahead]} if masked else {}
    logs = agent.train_step(tensors({**BATCH, **masks}))
    average = lambda x: np.average(x, weights=BATCH["weight"])  # noqa: E731

    log_prob = log_softmax(policy, BATCH["next_observation"], ahead)
    lowest = np.min(tables(behind, BATCH["next_observation"]), axis=0)
    value = summed(log_prob, lowest - 0.3 * log_prob)
    target = BATCH["reward"] + 0.9 * ~BATCH["terminated"] * value

    def critic_loss(variables):
        taken = [x[np.arange(SIZE), BATCH["action"]] for x in tables(variables, BATCH["observation"])]
        return sum(average(0.5 * (target - x) ** 2) for x in taken)

    assert float(logs["critic_loss"]) == pytest.approx(critic_loss(critic), rel=1e-4)
    for after, before, gradient in zip(heads(agent.critic), critic, numeric_gradient(critic_loss, critic), strict=True):
        np.testing.assert_allclose(after, before - RATE * gradient, atol=1e-5)
    judged = np.min(tables(heads(agent.critic), BATCH["observation"]), axis=0)  # after their step

    def policy_loss(variables):
        log_prob = log_softmax(variables, BATCH["observation"], now)
        return average(summed(log_prob, 0.3 * log_prob - judged))

    assert float(logs["policy_loss"]) == pytest.approx(policy_loss(policy), rel=1e-4)
    for after, before, gradient in zip(heads(agent.policy), policy, numeric_gradient(policy_loss, policy), strict=True):
        np.testing.assert_allclose(after, before - RATE * gradient, atol=1e-5)
    log_prob = log_softmax(policy, BATCH["observation"], now)
    entropy = -summed(log_prob, log_prob)
    assert float(logs["entropy"]) == pytest.approx(average(entropy), rel=1e-4)
    # Where one action is allowed, its entropy and the target are 0.
    goal = 0.5 * np.log(now.sum(1))
    moved = np.log(0.3) - RATE * average(entropy - goal)
    assert float(agent.temperature.logarithm) == pytest.approx(moved, rel=1e-4)


@pytest.mark.parametrize(
    ("given", "share"), [("auto", 0.98 * np.log(3)), ("auto_0.25", 0.25 * np.log(3)), (0.5, 0.5), (-1, -1)]
)
def test_the_target_entropy(given, share):
    objective = kagent.objectives.DiscreteSoftActorCriticObjective(target_entropy=given)
    assert objective._goal(None, ACTIONS) == pytest.approx(share)


@pytest.mark.parametrize("wrong", ["auto_0", "auto_2", "auto_", "automatic", "auto_x", None, True, float("inf")])
def test_other_target_entropies_are_refused(wrong):
    with pytest.raises(ValueError, match=r"`objective.target_entropy` must be 'auto', 'auto_<share>'.*Received"):
        agent_of(target_entropy=wrong)


@pytest.mark.parametrize("space", [spaces.MultiDiscrete([3]), spaces.MultiBinary(2), spaces.Box(-1, 1, (1,))])
def test_other_action_spaces_are_refused(space):
    with pytest.raises(ValueError, match=r"needs a Discrete action space.*Received: .*Allowed for others"):
        kagent.DiscreteSAC(observation_space=spaces.Discrete(2), action_space=space)
    with pytest.raises(ValueError, match=r"needs a temperature. Received: None"):
        kagent.DiscreteSAC("CartPole-v1", temperature=None, memory=300)
