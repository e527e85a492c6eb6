"""Log-probabilities in functional graphs, and a role's variables as one vector."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

import kagent
from kagent.distributions import Categorical, Gaussian
from kagent.estimators.log_prob import LogProb

CASES = {
    # log(1/4) and log(3/4)
    "categorical": (
        Categorical([2], shape=()),
        [np.asarray([[0.0, math.log(3.0)]] * 2, np.float32)],
        np.asarray([0, 1]),
        [math.log(0.25), math.log(0.75)],
    ),
    # one standard deviation of 2 above the mean, in two components
    "gaussian": (
        Gaussian((2,)),
        [np.asarray([[1.0, -1.0]], np.float32), np.full((1, 2), math.log(2.0), np.float32)],
        np.asarray([[3.0, 1.0]], np.float32),
        [2 * (-0.5 - math.log(2.0) - 0.5 * math.log(2 * math.pi))],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_by_hand(name):
    distribution, parameters, action, expected = CASES[name]
    found = LogProb(distribution)([*parameters, action])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    inputs = [keras.Input(x.shape[1:], dtype=x.dtype.name) for x in (*parameters, action)]
    model = keras.Model(inputs, LogProb(distribution)(inputs))
    assert model.output.shape == (None,) and model.output.dtype == "float32"
    np.testing.assert_allclose(model([*parameters, action]), expected, rtol=1e-6)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(LogProb(distribution)))
    np.testing.assert_allclose(again([*parameters, action]), expected, rtol=1e-6)


def test_it_is_of_a_distribution():
    with pytest.raises(TypeError, match=r"`distribution` must be a Distribution. Received: 'normal'"):
        LogProb("normal")


def test_theta():
    policy = kagent.PPO("CartPole-v1", policy={"network": {"units": [3]}}, seed=0).policy
    theta = policy.get_theta()
    assert theta.dtype == np.float32 and theta.shape == (4 * 3 + 3 + 3 * 2 + 2,)
    np.testing.assert_array_equal(theta[:12], np.ravel(policy.trainable_variables[0]))
    policy.set_theta(np.arange(23.0))
    np.testing.assert_array_equal(policy.trainable_variables[0], np.arange(12.0).reshape(4, 3))
    np.testing.assert_array_equal(policy.get_theta(), np.arange(23.0))
    for wrong in (np.arange(22.0), np.full(23, np.nan), np.zeros((23, 1))):
        with pytest.raises(ValueError, match=r"`theta` must be 23 finite numbers. Received: shape"):
            policy.set_theta(wrong)
    np.testing.assert_array_equal(policy.get_theta(), np.arange(23.0))
