"""The loss of implicit quantiles against NumPy, and its fractions."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from gradient_steps import LINEAR, RATE, SGD, numeric_gradient, tensors
from gymnasium import spaces

import kagent
from kagent.distributions.distribution import uniform
from kagent.objectives import LearningContext

pytestmark = pytest.mark.eager

SIZE, COSINES, KAPPA, NVEC = 4, 5, 0.7, (2, 3)
SPACES = {"discrete": spaces.Discrete(3), "branches": spaces.MultiDiscrete(NVEC)}


def agent_of(space, **changes):
    agent = kagent.IQN(
        observation_space=spaces.Box(-5, 5, (2,)), action_space=space, network=LINEAR, discount=0.9, memory=40, optimizer=SGD,
        policy_samples=3, samples=4, target_samples=2, cosines=COSINES, head_units=[3], kappa=KAPPA, seed=0, **changes,
    )  # fmt: skip
    for number, role in enumerate((agent.policy, agent.target_policy)):
        generator = np.random.default_rng(number)
        for variable in weights(role).values():
            variable.assign(generator.normal(size=variable.shape))
    agent.compile(run_eagerly=True)
    return agent


def weights(role):
    named = {v.path.partition("/")[2]: v for v in role.variables}
    return {name: v for name, v in sorted(named.items()) if "even" not in name and "value" not in name}


def quantiles(w, observation, fractions):
    """Of all choices, `(B, choices, fractions)`, of weights in the order of their names."""
    embed_bias, embed, hidden_bias, hidden, last_bias, last = w
    features = np.maximum(np.cos(np.pi * fractions[..., None] * np.arange(COSINES)) @ embed + embed_bias, 0)
    x = np.maximum((observation[:, None] * features) @ hidden + hidden_bias, 0)
    return (x @ last + last_bias).transpose(0, 2, 1)


def values(w, observation):
    return quantiles(w, observation, np.tile([1 / 6, 1 / 2, 5 / 6], (len(observation), 1))).mean(-1)


def chosen(rows, index):
    starts = [0] if index.shape[1] == 1 else [0, NVEC[0]]
    return np.stack([rows[np.arange(SIZE), start + index[:, c]] for c, start in enumerate(starts)], 1)


def best(means, mask):
    means = np.where(mask, means, -np.inf)
    parts = [means] if means.shape[1] == 3 else [means[:, :2], means[:, 2:]]
    return np.stack([part.argmax(1) for part in parts], 1)


@pytest.mark.parametrize(("kind", "double"), [("discrete", False), ("branches", True)])
def test_one_gradient_step(kind, double):
    generator, choices = np.random.default_rng(5), (3,) if kind == "discrete" else NVEC
    action = np.stack([generator.integers(0, n, SIZE) for n in choices], -1)
    mask = np.ones((SIZE, sum(choices)), bool)
    mask[0, 0] = mask[1, 1] = False
    batch = {
        "observation": generator.normal(size=(SIZE, 2)),
        "next_observation": generator.normal(size=(SIZE, 2)),
        "action": (action[:, 0] if kind == "discrete" else action).astype(np.int32),
        "reward": np.array([1.0, -2.0, 0.5, 0.25]),
        "terminated": np.array([False, True, False, False]),
        "truncated": np.array([False, False, True, False]),
        "next_action_mask": [mask],
        "weight": np.array([1.0, 2.0, 0.0, 1.0]),
    }
    agent = agent_of(SPACES[kind], double=double)
    names = list(weights(agent.policy))
    assert names == [
        *("fraction/bias", "fraction/kernel", "quantile_dense_0/bias", "quantile_dense_0/kernel"),
        *("quantiles_0/bias", "quantiles_0/kernel"),
    ]
    policy, behind = (
        [v.numpy().astype(float) for v in weights(r).values()] for r in (agent.policy, agent.target_policy)
    )
    seeds = tf.random.split(agent.step_seed(), 2, alg="philox")
    fractions, ahead = (uniform((SIZE, n), seed).numpy().astype(float) for n, seed in zip((4, 2), seeds))
    judge = values(policy if double else behind, batch["next_observation"])
    following = chosen(quantiles(behind, batch["next_observation"], ahead), best(judge, mask)).mean(1)
    target = batch["reward"][:, None] + 0.9 * ~batch["terminated"][:, None] * following

    def loss(w):
        found = chosen(quantiles(w, batch["observation"], fractions), action)
        error = target[:, None, None, :] - found[..., None]
        size = np.where(abs(error) < KAPPA, error**2 / 2, KAPPA * (abs(error) - KAPPA / 2))
        per_sample = (abs(fractions[:, None, :, None] - (error < 0)) * size).mean(-1).sum(-1).mean(1)
        return np.average(per_sample, weights=batch["weight"])

    logs = agent.train_step(tensors(batch))
    assert float(logs["loss"]) == pytest.approx(loss(policy), rel=1e-4)
    mean = chosen(quantiles(policy, batch["observation"], fractions), action).mean((1, 2))
    assert float(logs["q_mean"]) == pytest.approx(np.average(mean, weights=batch["weight"]), rel=1e-4)
    for now, then, gradient in zip(weights(agent.policy).values(), policy, numeric_gradient(loss, policy), strict=True):
        np.testing.assert_allclose(now, then - RATE * gradient, atol=1e-4)


def test_fractions_are_drawn_anew_for_each_sample_and_gradient_step():
    agent = agent_of(SPACES["discrete"])
    batch = tensors({
        "observation": np.zeros((3, 2)), "next_observation": np.zeros((3, 2)), "action": np.zeros(3, np.int32),
        "reward": np.zeros(3), "discount": np.zeros(3),
    })  # fmt: skip
    context, drawn = LearningContext.of(agent), []
    for step in range(2):
        now = dataclasses.replace(context, step_seed=lambda step=step: tf.constant([7, step]))
        (term,) = agent.objective.terms(now, batch)
        drawn.append(term.batch["fraction"].numpy())
        assert term.errors(term.batch).shape == (3,) and (term.errors(term.batch) >= 0).numpy().all()
    every = np.stack(drawn)
    assert every.shape == (2, 3, 4) and len(np.unique(every)) == every.size and 0 < every.min() < every.max() < 1


@pytest.mark.parametrize("name", ["samples", "target_samples"])
def test_fractions_are_counted_from_one(name):
    with pytest.raises(ValueError, match=rf"`objective.{name}` must be an integer >= 1. Received: 0"):
        kagent.IQN("CartPole-v1", **{name: 0})
