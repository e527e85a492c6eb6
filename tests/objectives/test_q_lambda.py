"""PQN: returns worked out by hand, one gradient step, normalized layers, and what is refused."""

import numpy as np
import pytest
from gradient_steps import LINEAR, RATE, SGD, heads, tensors
from gymnasium import spaces

import kagent

pytestmark = pytest.mark.eager

OBSERVATION = spaces.Box(-5, 5, (2,))
FALSE = [False] * 4


def agent_of(action=None, **changes):
    """An agent whose values of two actions are the two numbers that it observes."""
    given = {"network": LINEAR, "n_steps": 4, "batch_size": 8, "discount": 0.5, "return_lambda": 0.5, "optimizer": SGD}
    action = spaces.Discrete(2) if action is None else action
    agent = kagent.PQN(observation_space=OBSERVATION, action_space=action, n_envs=2, seed=0, **{**given, **changes})
    if agent.network.units == ():
        kernel, bias = agent.policy.variables
        kernel.assign(np.eye(2))
        bias.assign([0.0, 0.0])
    agent.compile(run_eagerly=True)
    return agent


def side_by_side(one, other):
    return np.stack([np.asarray(one), np.asarray(other)], axis=1)


# One environment that is cut off and then terminates, and one that goes on.
ROLLOUT = {
    "observation": side_by_side([[1.0, 0.0]] * 4, [[0.0, 2.0]] * 4),
    "next_observation": side_by_side(
        [[4.0, 2.0], [0.0, 8.0], [6.0, 6.0], [99.0, 99.0]], [[2.0, 1.0]] * 3 + [[3.0, 4.0]]
    ),
    "action": np.tile(np.int32([0, 1]), (4, 1)),
    "reward": side_by_side([1.0, 2.0, -1.0, 10.0], [0.0, 0.0, 0.0, 2.0]),
    "terminated": side_by_side([False, False, False, True], FALSE),
    "truncated": side_by_side([False, True, False, False], FALSE),
    "valid": np.full((4, 2), True),
}
# Of the first: 1 + (4 + 6) / 4, 2 + 8 / 2, -1 + (6 + 10) / 4, 10.
# Of the second, from the end: 2 + 4 / 2, (2 + 4) / 4, (2 + 1.5) / 4, (2 + 0.875) / 4.
RETURNS = side_by_side([3.5, 6.0, 3.0, 10.0], [0.71875, 0.875, 1.5, 4.0])


def test_returns_by_hand():
    agent = agent_of()
    rows = agent.objective.prepare(agent.learning_context, tensors(ROLLOUT))
    np.testing.assert_allclose(rows["return"], RETURNS.ravel(), rtol=1e-6)
    np.testing.assert_array_equal(rows["weight"], np.ones(8))


def test_forbidden_actions_are_worth_nothing_in_returns():
    agent = agent_of(return_lambda=0.0)
    allowed = np.full((4, 2, 2), True)
    allowed[0, 0], allowed[3, 1], allowed[3, 0] = [False, True], [True, False], [False, False]
    rows = agent.objective.prepare(
        agent.learning_context,
        tensors({**ROLLOUT, "action_mask": [np.full((4, 2, 2), True)], "next_action_mask": [allowed]}),
    )
    expected = side_by_side([1 + 2 / 2, 6.0, -1 + 6 / 2, 10.0], [1.0, 1.0, 1.0, 2 + 3 / 2])
    np.testing.assert_allclose(rows["return"], expected.ravel(), rtol=1e-6)


@pytest.mark.parametrize("huber", [None, 2.0])
def test_one_gradient_step(huber):
    agent = agent_of(huber=huber)
    rows = agent.prepare(tensors(ROLLOUT))
    logs = agent.train_step(agent.reward_estimation.completed(rows, agent.clock))
    values = side_by_side([1.0] * 4, [2.0] * 4)
    error = RETURNS - values
    losses = 0.5 * error**2 if huber is None else np.where(abs(error) <= 2, 0.5 * error**2, 2 * (abs(error) - 1))
    slope = error if huber is None else np.clip(error, -2, 2)
    assert float(logs["loss"]) == pytest.approx(losses.mean(), rel=1e-5)
    assert float(logs["q_mean"]) == pytest.approx(1.5)
    kernel, bias = heads(agent.policy)
    np.testing.assert_allclose(bias, RATE * slope.sum(0) / 8, rtol=1e-5)
    # The first environment saw (1, 0) and took 0, the second saw (0, 2) and took 1.
    np.testing.assert_allclose(kernel, np.eye(2) + np.diag(RATE * slope.sum(0) / 8 * [1, 2]), rtol=1e-5)


def test_components_share_the_return():
    agent = agent_of(spaces.MultiDiscrete([2, 2]), network={"type": "mlp", "units": [3]})
    rollout = {**ROLLOUT, "action": np.zeros((4, 2, 2), np.int32)}
    rows = agent.objective.prepare(agent.learning_context, tensors(rollout))
    values = agent.policy.values(ROLLOUT["next_observation"][3, 1:].astype(np.float32)).numpy()
    assert float(rows["return"][-1]) == pytest.approx(
        2 + 0.5 * (values[0, :2].max() + values[0, 2:].max()) / 2, rel=1e-5
    )


def test_its_network_has_normalized_layers_and_acts_by_numpy():
    agent = agent_of(network="auto")
    kinds = [type(layer).__name__ for layer in agent.policy.model.layers[1:]]
    assert kinds == ["Dense", "LayerNormalization", "Activation"] * 2 + ["Dense"]
    assert agent_of(network={"units": [5]}).network.normalization == "layer_normalization"
    seen = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    assert agent.actor.is_numpy
    np.testing.assert_allclose(agent.actor.forward([seen])[0], agent.policy.values(seen), atol=1e-5)


def test_convolutions_are_normalized_too():
    image = spaces.Box(0, 255, (8, 8, 1), np.uint8)
    agent = kagent.PQN(observation_space=image, action_space=spaces.Discrete(2), seed=0)
    layers = {layer.name: layer for layer in agent.policy.model.layers}
    assert tuple(layers["conv_0_0_normalization"].axis) == (1, 2, 3) and "normalization_0" in layers


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action_space": spaces.Box(-1, 1, (2,))}, "discrete action space"),
        ({"memory": 200}, "QLambdaObjective needs a memory of consecutive timesteps. Received: Replay"),
        ({"return_lambda": 1.5}, "return_lambda.*1.5"),
        ({"reward_estimation": {"gae_lambda": 0.5}}, "needs reward_estimation.gae_lambda=None.*Received: 0.5"),
        ({"reward_estimation": {"estimate_advantage": True}}, "needs reward_estimation.estimate_advantage=False"),
        ({"huber": 0.0}, "`objective.huber`"),
        ({"network": {"normalization": "batch"}}, "`network.normalization` must be.*Received: 'batch'"),
    ],
)
def test_what_is_refused(changes, message):
    given = {"action_space": spaces.Discrete(2), "seed": 0, **changes}
    with pytest.raises(ValueError, match=message):
        kagent.PQN(observation_space=OBSERVATION, **given)
