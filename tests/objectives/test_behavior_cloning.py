"""One gradient step of behaviour cloning against NumPy."""

import numpy as np
import pytest
from gradient_steps import LINEAR, RATE, SGD, heads, numeric_gradient, randomize, tensors
from gymnasium import spaces

import kagent
from kagent.objectives import BehaviorCloningObjective

GENERATOR = np.random.default_rng(7)
OBSERVATION = GENERATOR.normal(size=(5, 2))
PARTS = (slice(0, 2), slice(2, 5))
CHOICES = np.array([[0, 2], [1, 1], [0, 0], [1, 2], [1, 0]], np.int32)
MASK = np.array([[1, 1, 1, 0, 1], [0, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 0, 0, 1], [1, 1, 1, 1, 0]], bool)
BOXES = GENERATOR.uniform(-0.9, 0.9, (5, 2))
BOXES[1], BOXES[3, 0] = (1.0, -1.0), -0.9999  # the bounds are at infinity before they are squashed


def agent_of(kind, space):
    agent = getattr(kagent, kind)(
        observation_space=spaces.Box(-5, 5, (2,)), action_space=space, network=LINEAR, seed=0, optimizer=SGD
    )
    randomize(agent.policy, 1, 0.5)
    agent.compile(jit_compile=False)
    return agent


def of_choices(weights, mask):
    table = OBSERVATION @ weights[0] + weights[1]
    if mask is not None:
        table = np.where(mask, table, -np.inf)
    chosen = 0.0
    for i, part in enumerate(PARTS):
        log_probs = table[:, part] - np.log(np.exp(table[:, part]).sum(1, keepdims=True))
        chosen = chosen + log_probs[np.arange(5), CHOICES[:, i]]
    return -chosen


def of_boxes(mean, log_std, action):
    return (0.5 * ((action - mean) / np.exp(log_std)) ** 2 + log_std + 0.5 * np.log(2 * np.pi)).sum(1)


def of_gaussian(weights, mask):
    kernel, bias, log_std = weights
    return of_boxes(OBSERVATION @ kernel + bias, log_std, BOXES)


def of_squashed(weights, mask):
    mean, log_std = (OBSERVATION @ weights[i] + weights[i + 1] for i in (2, 0))
    action = np.clip(BOXES, -0.999, 0.999)
    return of_boxes(mean, log_std, np.arctanh(action)) + np.log(1 - action**2).sum(1)


CHOICE, BOX = spaces.MultiDiscrete([2, 3]), spaces.Box(-3, 3, (2,))
CASES = {
    "values": ("DQN", CHOICE, CHOICES, None, of_choices),
    "masked values": ("DQN", CHOICE, CHOICES, MASK, of_choices),
    "logits": ("PPO", CHOICE, CHOICES, None, of_choices),
    "masked logits": ("PPO", CHOICE, CHOICES, MASK, of_choices),
    "gaussian": ("PPO", BOX, BOXES, None, of_gaussian),
    "squashed": ("SAC", BOX, BOXES, None, of_squashed),
}


@pytest.mark.parametrize("weight", [None, np.array([1.0, 1.0, 1.0, 0.0, 1.0])], ids=["whole", "padded"])
@pytest.mark.parametrize("case", sorted(CASES))
def test_one_step(case, weight):
    kind, space, action, mask, by_hand = CASES[case]
    agent = agent_of(kind, space)
    before = heads(agent.policy)
    others = [v.numpy() for v in agent.critic.variables] if agent.critic is not None else []
    batch = {"observation": OBSERVATION, "action": action, "reward": np.zeros(5)}
    if mask is not None:
        batch["action_mask"] = (mask,)
    elif weight is not None:
        batch["action_mask"] = (np.ones((5, 0), bool),)  # how a dataset says that a leaf has none
    if weight is not None:
        batch["weight"] = weight

    def loss(weights):
        return np.average(by_hand(weights, mask), weights=weight)

    logs = BehaviorCloningObjective().update(agent, tensors(batch))
    assert list(logs) == ["loss"]
    np.testing.assert_allclose(logs["loss"], loss(before), rtol=2e-4)
    gradient = numeric_gradient(loss, before)
    assert max(np.abs(part).max() for part in gradient) > 0.05
    for old, new, slope in zip(before, heads(agent.policy), gradient):
        np.testing.assert_allclose(new, old - RATE * slope, rtol=2e-4, atol=2e-4)
    assert all((v.numpy() == old).all() for v, old in zip(agent.critic.variables if others else [], others))


def test_it_is_a_part_as_any_objective():
    agent = kagent.DQN(observation_space=BOX, action_space=CHOICE, network=LINEAR, objective="behavior_cloning", seed=0)
    assert agent.get_config()["objective"] == {"type": "BehaviorCloningObjective"}
    assert isinstance(kagent.DQN.from_config(agent.get_config()).objective, BehaviorCloningObjective)
