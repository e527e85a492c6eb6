"""A policy and its loss from a function, in an agent that is composed of parts."""

import keras
import numpy as np
import pytest
from gymnasium import spaces
from toy_envs import Identity

import kagent
from kagent.estimators.function_objective import ModelObjective, ModelReturnsObjective
from kagent.estimators.function_policy import ModelPolicy
from kagent.estimators.tracing import Described, trace
from kagent.spaces import Structure


def of_values(features, columns):
    q = keras.layers.Dense(3)(keras.layers.Flatten()(features["observation"]))
    taken = keras.ops.sum(q * keras.ops.one_hot(columns["action"], 3), axis=-1)
    loss = keras.ops.mean(keras.ops.square(columns["target"] - taken))
    return Described({"results": keras.ops.argmax(q, axis=-1), "q": q}, loss, {"q_mean": keras.ops.mean(q)})


def of_logits(features, columns):
    logits = keras.layers.Dense(3)(keras.layers.Flatten()(features["observation"]))
    chosen = keras.ops.sum(keras.ops.log_softmax(logits) * keras.ops.one_hot(columns["action"], 3), axis=-1)
    ratio = keras.ops.exp(chosen - columns["old_log_prob"])
    results = keras.ops.argmax(logits, axis=-1)
    return Described({"results": results, "logits": logits}, -keras.ops.mean(ratio * columns["return"]))


def traced(env, function, columns):
    spaces_ = Structure(env.observation_space, "observation_space"), Structure(env.action_space, "action_space")
    return trace(function, *spaces_, columns, 0)


@pytest.mark.sensitive
@pytest.mark.parametrize("valued", [True, False])
def test_agents_learn_by_them(valued):
    env = Identity(spaces.Discrete(3))
    if valued:
        parts = {
            "policy": ModelPolicy(traced(env, of_values, ("target",))),
            "objective": ModelObjective("q"),
            "memory": 500,
            "update": {"unit": "timesteps", "batch_size": 32, "frequency": 2},
            "reward_estimation": {"discount": 0.0},
            "exploration": 0.3,
        }
    else:
        parts = {
            "policy": ModelPolicy(traced(env, of_logits, ("return", "old_log_prob")), sampled=True),
            "objective": ModelReturnsObjective(),
            "memory": {"type": "RecentRecords", "batch_size": 32, "at_episode_ends": False},
            "update": {"unit": "timesteps", "batch_size": 32, "epochs": 1},
            "reward_estimation": {"horizon": "episode", "discount": 0.0},
            "exploration": "sampling",
        }
    agent = kagent.Agent(env, **parts, optimizer={"type": "Adam", "learning_rate": 0.05}, seed=0)
    agent.compile(jit_compile=False)
    history = agent.fit(env, steps=1600, verbose=0)
    assert np.isfinite(history.history["loss"][-1])
    assert agent.evaluate(Identity(spaces.Discrete(3)), 3)["episode_return"] == agent.evaluate(env, 3)["episode_return"]
    assert agent.evaluate(env, 5)["episode_return"] >= 0.9 * history.history["episode_length"][-1]


def test_what_does_not_suit():
    env = Identity(spaces.Discrete(3))
    with pytest.raises(ValueError, match=r"`objective.value` must be one of \['q', 'results'\]. Received: 'v'"):
        kagent.Agent(
            env, policy=ModelPolicy(traced(env, of_values, ("target",))), objective=ModelObjective("v"), memory=100,
            update={"unit": "timesteps", "batch_size": 32}, reward_estimation={"discount": 0.9}, optimizer="adam",
        )  # fmt: skip
    with pytest.raises(TypeError, match=r"`policy\.trace` must be what"):
        ModelPolicy(of_values)
    with pytest.raises(ValueError, match="the action space must be Discrete or Box"):
        traced(Identity(spaces.MultiDiscrete([2, 2])), of_values, ("target",))
