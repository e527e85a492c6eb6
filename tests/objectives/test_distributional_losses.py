"""The losses of distributions of returns, of linear networks against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from gradient_steps import LINEAR, RATE, SGD, heads, numeric_gradient, tensors
from gymnasium import spaces

import kagent

pytestmark = pytest.mark.eager

GENERATOR = np.random.default_rng(5)
SIZE, ATOMS, NVEC = 4, 5, (2, 3)
SPACES = {"discrete": spaces.Discrete(3), "branches": spaces.MultiDiscrete(NVEC)}
LOW, HIGH = -2.0, 2.0


def batch_of(kind):
    choices = (3,) if kind == "discrete" else NVEC
    action = np.stack([GENERATOR.integers(0, n, SIZE) for n in choices], -1)
    mask = np.ones((SIZE, sum(choices)), bool)
    mask[0, 0] = mask[1, 1] = False
    return {
        "observation": GENERATOR.normal(size=(SIZE, 2)),
        "next_observation": GENERATOR.normal(size=(SIZE, 2)),
        "action": (action[:, 0] if kind == "discrete" else action).astype(np.int32),
        "reward": np.array([1.0, -2.0, 0.5, 0.25]),
        "terminated": np.array([False, True, False, False]),
        "truncated": np.array([False, False, True, False]),
        "next_action_mask": [mask],
        "weight": np.array([1.0, 2.0, 0.0, 1.0]),
    }


def table(policy, observation):
    return (observation @ policy[0] + policy[1]).reshape(len(observation), -1, ATOMS)


def chosen(rows, index):
    """Rows of the components' choices, `(B, components, atoms)`."""
    starts = [0] if index.shape[1] == 1 else [0, NVEC[0]]
    return np.stack([rows[np.arange(SIZE), start + index[:, c]] for c, start in enumerate(starts)], 1)


def best(means, mask):
    means = np.where(mask, means, -np.inf)
    parts = [means] if means.shape[1] == 3 else [means[:, :2], means[:, 2:]]
    return np.stack([part.argmax(1) for part in parts], 1)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def projected(returns, probabilities):
    support = np.linspace(LOW, HIGH, ATOMS)
    width = support[1] - support[0]
    out = np.zeros((SIZE, ATOMS))
    for b in range(SIZE):
        for value, share in zip(np.clip(returns[b], LOW, HIGH), probabilities[b]):
            out[b] += share * np.clip(1 - abs(support - value) / width, 0, 1)
    return out


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("preset", ["QRDQN", "C51"])
def test_one_gradient_step(preset, kind, double):
    own = {"quantiles": ATOMS, "kappa": 0.7} if preset == "QRDQN" else {"atoms": ATOMS, "low": LOW, "high": HIGH}
    agent = getattr(kagent, preset)(
        observation_space=spaces.Box(-5, 5, (2,)), action_space=SPACES[kind], network=LINEAR, discount=0.9, memory=40,
        optimizer=SGD, double=double, seed=0, **own,
    )  # fmt: skip
    for number, role in enumerate((agent.policy, agent.target_policy)):
        for variable, seed in zip(role.trainable_variables or role.variables[:2], (number, number + 7)):
            variable.assign(np.random.default_rng(seed).normal(size=variable.shape))
    agent.compile(run_eagerly=True)
    batch = batch_of(kind)
    policy, behind = heads(agent.policy)[:2], heads(agent.target_policy)[:2]
    support = np.linspace(LOW, HIGH, ATOMS)

    def means(rows):
        return rows.mean(-1) if preset == "QRDQN" else softmax(rows) @ support

    ahead, mask = table(behind, batch["next_observation"]), batch["next_action_mask"][0]
    judge = table(policy, batch["next_observation"]) if double else ahead
    following = chosen(ahead, best(means(judge), mask))
    discount = 0.9 * ~batch["terminated"]
    index = batch["action"].reshape(SIZE, -1)
    if preset == "QRDQN":
        target = batch["reward"][:, None] + discount[:, None] * following.mean(1)
    else:
        returns = batch["reward"][:, None] + discount[:, None] * support
        target = projected(returns, softmax(following).mean(1))

    def loss(variables):
        found = chosen(table(variables, batch["observation"]), index)
        if preset == "C51":
            per_sample = -(target[:, None] * np.log(softmax(found))).sum(-1).mean(1)
        else:
            error = target[:, None, None, :] - found[..., None]
            size = np.where(abs(error) < 0.7, error**2 / 2, 0.7 * (abs(error) - 0.35))
            tau = ((np.arange(ATOMS) + 0.5) / ATOMS)[:, None]
            per_sample = (abs(tau - (error < 0)) * size).mean(-1).sum(-1).mean(1)
        return np.average(per_sample, weights=batch["weight"])

    logs = agent.train_step(tensors(batch))
    assert float(logs["loss"]) == pytest.approx(loss(policy), rel=1e-4)
    mean = means(chosen(table(policy, batch["observation"]), index)).mean(1)
    assert float(logs["q_mean"]) == pytest.approx(np.average(mean, weights=batch["weight"]), rel=1e-4)
    for now, then, gradient in zip(heads(agent.policy), policy, numeric_gradient(loss, policy)):
        np.testing.assert_allclose(now, then - RATE * gradient, atol=1e-4)


def test_what_is_learned_has_no_distance():
    """The divergence of categorical distributions is 0 where they agree, and the cross-entropy is not."""
    objective = kagent.objectives.CategoricalReturnObjective()
    target = tf.constant([[0.25, 0.75, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    found = tf.math.log(tf.constant([[[0.25, 0.75, 1e-30]], [[0.5, 0.25, 0.25]]]))
    expected = [0, (np.log(2 / 3) + 2 * np.log(4 / 3)) / 3]
    np.testing.assert_allclose(objective.distances(found, target)[:, 0], expected, atol=1e-6)
    assert objective.losses(found, target).numpy().min() > 0.5


@pytest.mark.parametrize("preset", ["QRDQN", "C51"])
def test_prioritized_replay_draws_by_it(preset):
    agent = getattr(kagent, preset)(
        observation_space=spaces.Box(-5, 5, (2,)), action_space=spaces.Discrete(3), network=LINEAR, batch_size=4, start=4,
        frequency=1, memory={"type": "prioritized", "capacity": 32}, seed=0,
    )  # fmt: skip
    agent.compile(run_eagerly=True)
    for step in range(12):
        agent.act(np.float32([step, 1.0]))
        agent.observe(float(step == 3), False, False, np.float32([step + 1, 1.0]))
    assert agent.updates > 0 and len(set(agent.memory.priorities.tolist())) > 2
