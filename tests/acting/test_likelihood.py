"""Log-probabilities in NumPy are those of the distributions in TensorFlow, and of the actions that are drawn."""

import numpy as np
import pytest
from gymnasium import spaces

import kagent
from kagent import testing
from kagent.acting import distributions
from kagent.spaces import Structure

BOX = spaces.Box(-1, 2, (2,), np.float32)
SPACES = {**testing.ACTIONS, "uneven": spaces.MultiDiscrete([[2, 4], [3, 1]], start=[[1, 0], [5, 2]])}
POLICIES = {
    **{name: (space, {}) for name, space in SPACES.items()},
    "beta": (BOX, {"distribution": "beta"}),
    "squashed": (BOX, {"distribution": "squashed_gaussian"}),
    "bernoulli": (spaces.MultiBinary((2, 2)), {"distribution": "bernoulli"}),
    "noise": (BOX, {"state_dependent_noise": {"period": 3}}),
    "squashed noise": (
        BOX,
        {"distribution": "squashed_gaussian", "state_dependent_noise": {"period": 3, "expln": True}},
    ),
}


@pytest.mark.parametrize("name", POLICIES)
def test_it_is_that_of_the_policy(name):
    space, options = POLICIES[name]
    policy = {"type": "StochasticPolicy", "network": {"type": "mlp", "units": [3]}, "head_gain": 2.0, **options}
    agent = kagent.IMPALA(observation_space=testing.OBSERVATIONS["Box"], action_space=space, policy=policy, seed=0)
    rng, parts = np.random.default_rng(1), Structure(space).leaves
    leaves = [rng.normal(size=(20, 3)).astype(np.float32)]
    masks = None
    if not any(leaf.nvec is None for leaf in parts):
        masks = [np.ones((20, leaf.num_values), bool) for leaf in parts]
        for mask in masks:
            mask[:10, 0] = False
    actions = agent.actor.decide(leaves, masks, False, rng)
    found = agent.actor.log_prob(leaves, actions, masks)
    parameters = agent.policy.parameters_of(leaves[0], masks)
    expected = agent.policy.log_prob(parameters, agent.policy.action.unflatten(actions))
    assert found.dtype == np.float32 and found.shape == (20,)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_by_hand():
    decision = distributions.make("categorical", Structure(spaces.Discrete(2)).leaves[0])
    logits = [np.log(np.float32([[1.0, 3.0], [1.0, 3.0]]))]
    np.testing.assert_allclose(decision.log_prob(logits, np.int32([0, 1])), np.log([0.25, 0.75]), rtol=1e-6)
    mask = np.array([[True, False], [True, True]])
    np.testing.assert_allclose(decision.log_prob(logits, np.int32([0, 1]), mask), np.log([1.0, 0.75]), rtol=1e-6)
    gaussian = distributions.make("gaussian", Structure(BOX).leaves[0])
    heads = [np.float32([[0.0, 1.0]]), np.log(np.float32([[1.0, 2.0]]))]
    # Standard deviations 1 and 2, distances 1 and 4: -1/2 - 2 - log(2) - log(2 pi).
    expected = -2.5 - np.log(2.0) - np.log(2.0 * np.pi)
    np.testing.assert_allclose(gaussian.log_prob(heads, np.float32([[1.0, 5.0]])), [expected], rtol=1e-6)


def test_of_a_recurrent_network_it_depends_on_the_state():
    space = testing.OBSERVATIONS["Box"]
    agent = kagent.IMPALA(
        observation_space=space, action_space=spaces.Discrete(3), network={"units": [4], "rnn": 3}, seed=0
    )
    leaves, rng = [np.ones((2, 3), np.float32)], np.random.default_rng(0)
    state = agent.actor.initial_state(2)
    _, after = agent.actor.decide_from(leaves, state, None, False, rng)
    actions = [np.int32([1, 1])]
    one, other = (agent.actor.log_prob(leaves, actions, None, part) for part in (state, after))
    assert (one != other).all() and np.exp(one[0]) < 1.0
    every = [agent.actor.log_prob(leaves, [np.int32([i, i])], None, after) for i in range(3)]
    np.testing.assert_allclose(np.exp(every).sum(0), 1.0, rtol=1e-5)
