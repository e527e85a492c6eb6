"""A network that policy and critic share runs once for both."""

import contextlib
import json

import keras
import numpy as np
import pytest
from gymnasium import spaces

import kagent
from kagent.policies import SharedStateValue, StateValue, one_pass

PIXELS = spaces.Box(0, 255, (6, 6, 3), np.uint8)
VECTOR = spaces.Box(-1, 1, (3,))
SMALL = {"type": "cnn", "filters": [2], "kernels": [3], "strides": [1], "units": [4]}


def agent(preset=kagent.PPO, space=PIXELS, network=None, **changes):
    changes = {"n_steps": 4, "batch_size": 4, "epochs": 2, **changes} if preset is kagent.PPO else changes
    made = preset(
        observation_space=space,
        action_space=spaces.Discrete(2),
        seed=3,
        network=SMALL if network is None else network,
        **changes,
    )
    made.compile(run_eagerly=True)
    return made


def learn(made):
    """One rollout and its update, of observations drawn by a seed."""
    drawn = np.random.default_rng(0)
    low, high = made.observation_space.low, made.observation_space.high
    for number in range(4):
        made.act(drawn.uniform(low, high).astype(made.observation_space.dtype))
        made.observe(
            float(number % 2), False, next_observation=drawn.uniform(low, high).astype(made.observation_space.dtype)
        )
    assert made.gradient_steps == 2
    return made


@pytest.mark.parametrize(
    "network, kind",
    [
        ("auto", SharedStateValue),
        (SMALL, SharedStateValue),
        ({"type": "impala", "filters": [2], "units": [4]}, SharedStateValue),
        (keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)]), SharedStateValue),
        (
            [{"type": "conv2d", "size": 2, "window": 3}, {"type": "flatten"}, {"type": "dense", "size": 4}],
            SharedStateValue,
        ),
        ([{"type": "flatten"}, {"type": "dense", "size": 4}], StateValue),
        ({"type": "mlp", "units": [4]}, StateValue),
    ],
    ids=["auto", "cnn", "impala", "keras", "convolutions", "flattened", "mlp"],
)
def test_it_is_shared_where_it_sees_images(network, kind):
    made = agent(network=network)
    assert type(made.critic) is kind
    assert type(kagent.Agent.create(json.loads(json.dumps(made.get_config()))).critic) is kind


def test_who_shares_and_who_does_not():
    assert type(agent(kagent.A2C).critic) is type(agent(kagent.AC).critic) is SharedStateValue
    # The critic's steps would move a policy out of its trust region.
    assert type(agent(kagent.TRPO).critic) is StateValue
    assert type(agent(space=VECTOR, network="auto").critic) is StateValue
    own = agent(critic="StateValue")
    assert type(own.critic) is StateValue and own.critic.one_pass is None
    assert {id(v) for v in own.policy.variables}.isdisjoint({id(v) for v in own.critic.variables})


@pytest.mark.parametrize(
    "space, network", [(PIXELS, SMALL), (VECTOR, {"type": "mlp", "units": [4]})], ids=["image", "vector"]
)
def test_weights_become_those_of_two_passes(monkeypatch, space, network):
    def learned():
        return learn(agent(space=space, network=network, critic="SharedStateValue")).get_weights()

    once = learned()
    monkeypatch.setattr(one_pass.OnePass, "once", lambda self: contextlib.nullcontext())
    for one, two in zip(once, learned()):
        np.testing.assert_allclose(one, two, atol=2e-6)


def test_how_often_the_network_runs(monkeypatch):
    made, calls = agent(), []
    joint, alone = made.critic.one_pass._joint, made.policy.model
    for model in (joint, alone, made.critic.model):
        monkeypatch.setattr(model, "call", lambda *a, run=model.call, of=model, **k: calls.append(of) or run(*a, **k))
    learn(made)
    # The rollout and its successors, then 2 gradient steps; nothing runs for one role alone.
    assert calls.count(joint) == 2 + 2 and calls.count(made.critic.model) == 0


def test_batches_after_a_step_are_new():
    """Nothing is kept from one gradient step to the next, even of the same tensor."""
    made = agent()
    x = np.zeros((1, 6, 6, 3), np.uint8)
    with made.critic.one_pass.once():
        before = made.critic.values([x]).numpy()
    for variable in made.critic.trainable_variables:
        variable.assign_add(np.ones(variable.shape, np.float32))
    with made.critic.one_pass.once():
        assert not np.allclose(made.critic.values([x]).numpy(), before)
