"""One gradient step of Q-learning against NumPy."""

import itertools

import numpy as np
import pytest
from gradient_steps import LINEAR, RATE, SGD, heads, numeric_gradient, randomize, tensors
from gymnasium import spaces

import kagent

GENERATOR = np.random.default_rng(3)
BATCH = {
    "observation": GENERATOR.normal(size=(5, 2)),
    "next_observation": GENERATOR.normal(size=(5, 2)),
    "reward": np.array([1.0, -2.0, 0.5, 4.0, 0.1]),
    "terminated": np.array([False, True, False, False, False]),
    "truncated": np.array([False, False, True, False, True]),
}
ACTIONS = {
    "one": (spaces.Discrete(3), np.array([0, 2, 1, 1, 0], np.int32), [3]),
    "branches": (
        spaces.MultiDiscrete([2, 3]),
        np.array([[0, 2], [1, 1], [0, 0], [1, 2], [1, 0]], np.int32),
        [2, 3],
    ),
}


def agent_of(space, **objective):
    agent = kagent.DQN(
        observation_space=spaces.Box(-5, 5, (2,)), action_space=space, network=LINEAR, discount=0.9, seed=0,
        optimizer=SGD, **objective,
    )  # fmt: skip
    randomize(agent.policy, 1)
    randomize(agent.target_policy, 2)
    agent.compile(jit_compile=False)
    return agent


def target_by_hand(weights, target_weights, nvec, double):
    online = BATCH["next_observation"] @ weights[0] + weights[1]
    ahead = BATCH["next_observation"] @ target_weights[0] + target_weights[1]
    best = []
    for part in slices(nvec):
        chosen = (online if double else ahead)[:, part].argmax(1)
        best.append(ahead[:, part][np.arange(5), chosen])
    return BATCH["reward"] + 0.9 * ~BATCH["terminated"] * np.mean(best, axis=0)


def values_by_hand(weights, action, nvec):
    q = BATCH["observation"] @ weights[0] + weights[1]
    action = action.reshape(5, -1)
    return np.stack([q[:, part][np.arange(5), action[:, i]] for i, part in enumerate(slices(nvec))], axis=1)


def loss_by_hand(target, values, huber, weight):
    size = np.abs(target[:, None] - values)
    losses = size**2 / 2
    if huber is not None:
        losses = np.where(size <= huber, losses, huber * (size - huber / 2))
    return np.average(losses.mean(1), weights=weight)


def slices(nvec):
    ends = np.cumsum([0, *nvec]).tolist()
    return [slice(begin, end) for begin, end in itertools.pairwise(ends)]


@pytest.mark.parametrize("weight", [None, np.array([1.0, 1.0, 1.0, 0.0, 1.0])], ids=["whole", "padded"])
@pytest.mark.parametrize("double", [False, True], ids=["plain", "double"])
@pytest.mark.parametrize("huber", [None, 0.7])
@pytest.mark.parametrize("kind", ACTIONS)
def test_one_gradient_step(kind, huber, double, weight):
    space, action, nvec = ACTIONS[kind]
    agent = agent_of(space, huber=huber, double=double)
    before, behind = heads(agent.policy), heads(agent.target_policy)
    batch = {**BATCH, "action": action} | ({} if weight is None else {"weight": weight})
    logs = agent.train_step(tensors(batch))

    target = target_by_hand(before, behind, nvec, double)  # a constant: it does not move with the weights
    values = values_by_hand(before, action, nvec)
    np.testing.assert_allclose(logs["loss"], loss_by_hand(target, values, huber, weight), rtol=1e-5)
    np.testing.assert_allclose(logs["q_mean"], np.average(values.mean(1), weights=weight), rtol=1e-5)

    gradient = numeric_gradient(
        lambda weights: loss_by_hand(target, values_by_hand(weights, action, nvec), huber, weight), before
    )
    for variable, start, slope in zip(agent.policy.variables, before, gradient, strict=True):
        np.testing.assert_allclose(variable, start - RATE * slope, rtol=1e-4, atol=1e-6)
    for variable, start in zip(agent.target_policy.variables, behind, strict=True):
        np.testing.assert_array_equal(variable, start.astype(np.float32))


def test_gradients_longer_than_the_bound_are_scaled_to_it():
    space, action, _ = ACTIONS["one"]
    agent = agent_of(space, huber=None)
    agent.compile(optimizer={"class_name": "SGD", "config": {"learning_rate": 1.0, "global_clipnorm": 0.01}})
    before = heads(agent.policy)
    agent.train_step(tensors({**BATCH, "action": action}))
    moved = np.concatenate([np.ravel(a - b) for a, b in zip(heads(agent.policy), before)])
    assert np.linalg.norm(moved) == pytest.approx(0.01, rel=1e-3)
