"""Policies of distributions of returns: the mean's layer, the streams, and what is refused."""

import functools
import itertools
import json

import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces

import kagent
from kagent import policies
from kagent.networks.layers import Dueling, Expectation

pytestmark = pytest.mark.eager

OBSERVATION = spaces.Box(-1.0, 1.0, (3,))
NESTED = spaces.Dict(a=spaces.Discrete(4), b=spaces.MultiDiscrete([2, 3]), c=spaces.MultiBinary(2))
KINDS = {
    "quantile": (kagent.QRDQN, {"quantiles": 4}),
    "categorical": (kagent.C51, {"atoms": 4, "low": -2.0, "high": 1.0}),
}
SMALL = {"network": {"type": "mlp", "units": [5]}, "memory": 50, "seed": 1}


def agent_of(kind, space=NESTED, **changes):
    preset, arguments = KINDS[kind]
    return preset(observation_space=OBSERVATION, action_space=space, **{**SMALL, **arguments, **changes})


def test_the_mean_by_hand():
    found = Expectation(2, [1.0, 3.0])(np.float32([[1, 2, 0, 5]]))
    np.testing.assert_array_equal(found, [[7, 15]])
    logits = np.log(np.float32([[0.25, 0.75, 0.5, 0.5]]))
    layer = Expectation.from_config(Expectation(2, [1.0, 3.0], softmax=True).get_config())
    np.testing.assert_allclose(layer(logits), [[2.5, 2.0]], rtol=1e-6)
    assert not layer.trainable_variables


@pytest.mark.parametrize("arguments", [(0, [1.0]), (2, [])])
def test_a_mean_of_nothing_is_refused(arguments):
    with pytest.raises(ValueError, match="must not be empty"):
        Expectation(*arguments)


def test_streams_of_several_numbers_by_hand():
    # Two numbers per distribution, three choices: each number has a mean over the choices of its own.
    advantage = tf.constant([[[1.0, 2.0, 6.0], [0.0, 3.0, 3.0]]])
    found = Dueling([3])([tf.constant([[[10.0], [20.0]]]), advantage])
    np.testing.assert_array_equal(found, [[[8, 9, 13], [18, 21, 21]]])


@pytest.mark.parametrize("kind, dueling", [*itertools.product(KINDS, [False, True])])
def test_the_values_are_the_means_of_the_tables(kind, dueling):
    agent = agent_of(kind, dueling=dueling)
    observation = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    policy = agent.policy
    tables = policy.tables(observation).numpy().astype(np.float64)
    assert tables.shape == (6, 13, 4)
    weights = np.exp(tables) / np.exp(tables).sum(-1, keepdims=True) if kind == "categorical" else tables
    expected = weights @ (np.float64([-2, -1, 0, 1]) if kind == "categorical" else np.full(4, 0.25))
    for found in (policy.values(observation), policy.means(tf.constant(tables, tf.float32))):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    heads = agent.actor.forward([observation])
    assert agent.actor.is_numpy
    np.testing.assert_allclose(np.concatenate(heads, axis=1), expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_streams_of_the_policy(kind):
    """The table of a choice is the state's plus the advantages, minus their mean over the choices of its component."""
    policy = agent_of(kind, spaces.MultiDiscrete([2, 3]), dueling=True).policy
    observation = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    weights = {v.path.partition("/")[2]: v.numpy() for v in policy.variables}
    hidden = np.maximum(observation @ weights["dense_0/kernel"] + weights["dense_0/bias"], 0)
    state, advantage = (hidden @ weights[f"{x}/kernel"] + weights[f"{x}/bias"] for x in ("state_value", "advantage_0"))
    advantage = advantage.reshape(5, 4, 5).transpose(0, 2, 1)
    for start, stop in ((0, 2), (2, 5)):
        advantage[:, start:stop] -= advantage[:, start:stop].mean(1, keepdims=True)
    np.testing.assert_allclose(policy.tables(observation), state[:, None, :] + advantage, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_support_never_moves(kind):
    agent = agent_of(kind, spaces.Discrete(3), batch_size=4, start=4, frequency=1, learning_rate=0.1)
    agent.policy.trainable = True  # which Keras hands to all layers
    agent.compile(run_eagerly=True)
    kept = [v.numpy() for v in agent.policy.non_trainable_variables]
    for step in range(12):
        agent.act(np.float32([0.1, 0.2, step / 12]))
        agent.observe(1.0, False, False, np.float32([0.1, 0.2, 0.3]))
    assert agent.updates > 0 and len(kept) == 1
    np.testing.assert_array_equal(agent.policy.non_trainable_variables[0], kept[0])


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (lambda: policies.QuantilePolicy(quantiles=0), r"`policy.quantiles` must be an integer >= 1. Received: 0"),
        (lambda: policies.CategoricalReturnPolicy(atoms=1), r"`policy.atoms` must be an integer >= 2. Received: 1"),
        (
            lambda: policies.CategoricalReturnPolicy(low=1, high=1),
            r"`policy.low` must be below `policy.high`. Received",
        ),
        # Infinite, or one number, once they are float32: 1e8 and 1e8 + 8 are the next ones there.
        *(
            (
                functools.partial(policies.CategoricalReturnPolicy, low=low, high=high),
                r"distinct, as float32 numbers.*Received",
            )
            for low, high in ((-1e300, 1e300), (-3e38, 3e38), (0, 1e-45), (1e8, 1e8 + 64), (-1.7e308, 1.7e308))
        ),
        (lambda: policies.CategoricalReturnPolicy(low="a"), r"`policy.low` must be a finite number. Received: 'a'"),
        (lambda: kagent.QRDQN("CartPole-v1", kappa=-1.0), r"`objective.kappa` must be a number >= 0. Received: -1.0"),
        (lambda: kagent.QRDQN("Pendulum-v1"), r"QuantilePolicy needs a discrete action space.*Received: Box"),
        (lambda: kagent.C51("Pendulum-v1"), r"CategoricalReturnPolicy needs a discrete action space.*Received: Box"),
        (
            lambda: agent_of("categorical", reward_estimation={"discount": 0.9, "estimate_horizon": "early"}),
            r"needs reward_estimation.estimate_horizon='late'. Received: 'early'",
        ),
        (
            lambda: agent_of("quantile", reward_estimation={"discount": 0.9, "estimate_horizon": False}),
            r"needs reward_estimation.estimate_horizon='late'. Received: False",
        ),
    ],
)
def test_what_is_refused(policy, message):
    with pytest.raises(ValueError, match=message):
        policy()


@pytest.mark.parametrize("kind", KINDS)
def test_they_go_through_json(kind):
    policy = agent_of(kind, dueling=True).policy
    part = policies.ROLES.serialize(policy)
    again = policies.ROLES.get(json.loads(json.dumps(part)))
    assert type(again) is type(policy) and policies.ROLES.serialize(again) == part
    assert again.support == policy.support
