"""The policy of implicit quantiles: its quantiles at any fraction, the mean by which it acts, and what is refused."""

import json

import numpy as np
import pytest
from gymnasium import spaces

import kagent
from kagent import policies
from kagent.networks.layers import FractionFeatures

pytestmark = pytest.mark.eager

NESTED = spaces.Dict(a=spaces.Discrete(4), b=spaces.MultiDiscrete([2, 3]), c=spaces.MultiBinary(2))


def agent_of(space=NESTED, **changes):
    settings = {"network": {"type": "mlp", "units": [5]}, "memory": 50, "policy_samples": 4, "cosines": 3, "seed": 1}
    return kagent.IQN(observation_space=spaces.Box(-1.0, 1.0, (3,)), action_space=space, **{**settings, **changes})


@pytest.mark.parametrize("units", [[], [6]])
def test_its_values_are_the_means_of_quantiles_at_even_fractions(units):
    agent = agent_of(head_units=units)
    observation = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    quantiles = agent.policy.quantiles(observation, np.tile(np.float32([1, 3, 5, 7]) / 8, (6, 1))).numpy()
    assert quantiles.shape == (6, 13, 4) and np.ptp(quantiles, axis=-1).min() > 0
    np.testing.assert_allclose(agent.policy.values(observation), quantiles.mean(-1), atol=1e-6)
    heads = agent.actor.forward([observation])
    assert agent.actor.is_numpy
    np.testing.assert_allclose(np.concatenate(heads, axis=1), quantiles.mean(-1), atol=1e-6)


def test_features_of_fractions_by_hand():
    # Even are 1/4 and 3/4, of which the cosines of 0, of pi and of 2 pi, times them, are 1, +-0.7071 and 0.
    layer = FractionFeatures.from_config(FractionFeatures(1, 2, 3).get_config())
    rows = layer(np.zeros((2, 7), np.float32))
    layer.set_weights([np.float32([[0.5], [1.0], [9.0]]), np.float32([0.25]), layer.even.numpy()])
    rows = layer(np.zeros((2, 7), np.float32))
    np.testing.assert_allclose(rows, [[[0.75 + 0.5**0.5], [0.75 - 0.5**0.5]]] * 2, rtol=1e-6)
    given = layer(np.float32([[[1, 1, 1]], [[1, -1, 0]]]))
    np.testing.assert_allclose(given, [[[0.5 + 1 + 9 + 0.25]], [[0]]], rtol=1e-6)
    assert [v.name for v in layer.trainable_variables] == ["kernel", "bias"]
    assert layer.compute_output_shape((None, 7)) == (None, 2, 1) == layer.compute_output_shape((None, 2, 3))


def test_a_quantile_is_of_its_own_row_and_fraction():
    policy = agent_of(spaces.Discrete(3)).policy
    observation = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    fractions = np.float32([[0.1, 0.9], [0.5, 0.2], [0.3, 0.3]])
    together = policy.quantiles(observation, fractions).numpy()
    for row in range(3):
        for column in range(2):
            alone = policy.quantiles(observation[row : row + 1], fractions[row : row + 1, column : column + 1])
            np.testing.assert_allclose(alone[0, :, 0], together[row, :, column], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: policies.ImplicitQuantilePolicy(samples=0), r"`policy.samples` must be an integer >= 1. Received: 0"),
        (lambda: policies.ImplicitQuantilePolicy(cosines=0), r"`policy.cosines` must be an integer >= 1. Received: 0"),
        (lambda: policies.ImplicitQuantilePolicy(head_units=[0]), r"`policy.head_units`.*Received: \[?0"),
        (lambda: kagent.IQN("Pendulum-v1"), r"ImplicitQuantilePolicy needs a discrete action space.*Received: Box"),
        (lambda: FractionFeatures(4, 0, 1), r"from 1 to 65536. Received: 4, 0, 1"),
        (
            lambda: agent_of(reward_estimation={"discount": 0.9, "estimate_horizon": "early"}),
            r"needs reward_estimation.estimate_horizon='late'. Received: 'early'",
        ),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("argument", ["dueling", "noisy", "stream_units"])
def test_streams_and_noise_are_refused_by_name(argument):
    with pytest.raises(TypeError, match=argument):
        policies.ImplicitQuantilePolicy(**{argument: True})


def test_it_goes_through_json():
    policy = agent_of(head_units=[3, 2]).policy
    part = policies.ROLES.serialize(policy)
    again = policies.ROLES.get(json.loads(json.dumps(part)))
    assert type(again) is type(policy) and policies.ROLES.serialize(again) == part
    assert part == {
        "type": "ImplicitQuantilePolicy", "network": part["network"], "samples": 4, "cosines": 3, "head_units": [3, 2],
    }  # fmt: skip
