"""`Agent.create(json.loads(json.dumps(agent.get_config())))` is the same agent."""

import json

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import kagent
from kagent import Agent

STATES = {
    "eye": {"shape": 3, "min_value": -1.0, "max_value": 1.0},
    "gear": {"type": "int", "shape": (), "num_values": 4},
}
DISCRETE = {"go": {"type": "int", "num_values": 3}, "lamps": {"type": "bool", "shape": (2,)}}
CONTINUOUS = {"steer": {"type": "float", "shape": (2,), "min_value": -1.0, "max_value": 2.0}}
UNBOUNDED = {"push": {"type": "float"}}

networks = st.sampled_from(
    [
        "auto",
        {"type": "MLP", "units": [4], "activation": "tanh"},
        [{"type": "dense", "size": 4}, {"type": "dropout", "rate": 0.1}],
        [{"type": "retrieve", "tensors": ["eye"]}, {"type": "linear", "size": 3}],
    ]
)
numbers = st.floats(1e-5, 0.1) | st.sampled_from(
    [
        {"type": "linear", "unit": "timesteps", "num_steps": 10, "initial_value": 0.1, "final_value": 0.01},
        {"type": "exponential", "unit": "updates", "num_steps": 5, "initial_value": 0.1, "decay_rate": 0.5},
        {"type": "piecewise_constant", "unit": "episodes", "boundaries": [3], "values": [0.1, 0.05]},
    ]
)
optimizers = st.sampled_from(["adam", "sgd", 0.01]) | st.fixed_dictionaries(
    {"type": st.sampled_from(["adam", "rmsprop"]), "learning_rate": numbers},
    optional={
        "multi_step": st.integers(1, 3),
        "subsampling_fraction": st.sampled_from([0.5, 1.0]),
        "global_clipnorm": st.floats(0.1, 2.0),
    },
)
regularization = {
    "l2_regularization": numbers,
    "variable_noise": numbers,
    "max_episode_timesteps": st.integers(10, 20),
    "parallel_interactions": st.integers(1, 3),
    "seed": st.integers(0, 2**31),
    "device": st.sampled_from([None, "CPU:0"]),
    "execution": st.sampled_from([None, {"jit_compile": False}, {"steps_per_execution": 2}]),
    "name": st.sampled_from(["agent", "bob"]),
}


@st.composite
def configurations(draw):
    """Arguments of valid agents in Tensorforce's words."""
    common = draw(st.fixed_dictionaries({}, optional=regularization))
    common["optimizer"] = draw(optimizers)
    kind = draw(st.sampled_from(["policy_gradient", "action_value"]))
    unit = draw(st.sampled_from(["timesteps", "episodes"]))
    size = draw(st.integers(1, 8))
    update = {"unit": unit, "batch_size": size, **draw(st.fixed_dictionaries({}, optional={
        "frequency": st.sampled_from([1, 0.5, "never"]), "start": st.integers(0, 20),
    }))}  # fmt: skip
    common |= {"states": STATES, "update": update, "policy": {"network": draw(networks)}}
    discount = draw(st.floats(0.5, 1.0))
    if kind == "action_value":
        baseline = {"type": "synchronization", "update_weight": draw(st.floats(0.1, 1.0))}
        return common | {
            "actions": DISCRETE,
            "objective": {"type": "action_value", "huber": draw(st.sampled_from([None, 1.0]))},
            "memory": draw(st.sampled_from([500, {"type": "replay", "capacity": 400}])),
            "reward_estimation": {"horizon": 0, "discount": discount, "estimate_actions": draw(st.booleans())},
            "exploration": draw(st.sampled_from([0.1, {"go": 0.2}])),
            **({"baseline_optimizer": baseline} if draw(st.booleans()) else {}),
        }
    baselines = [
        {},
        {"baseline_objective": "state_value"},
        {"baseline_policy": {"network": draw(networks)}, "baseline_objective": {"type": "state_value", "huber": 1.0}},
        {"baseline_policy": "auto", "baseline_optimizer": 0.5, "baseline_objective": "state_value"},
        {"baseline_policy": "auto", "baseline_optimizer": draw(optimizers.filter(lambda o: not isinstance(o, float))),
         "baseline_objective": "state_value"},
    ]  # fmt: skip
    baseline = draw(st.sampled_from(baselines))
    return common | baseline | {
        "actions": draw(st.sampled_from([DISCRETE, CONTINUOUS, UNBOUNDED, {**DISCRETE, **CONTINUOUS}])),
        "objective": {"type": "policy_gradient", "importance_sampling": draw(st.booleans()),
                      "clipping_value": draw(st.sampled_from([None, 0.25]))},
        "memory": {"type": "recent", "capacity": 500},
        "reward_estimation": {"horizon": draw(st.sampled_from(["episode", 3])), "discount": discount,
                              "estimate_advantage": bool(baseline)},
        "exploration": draw(numbers),
        "entropy_regularization": draw(numbers),
    }  # fmt: skip


@hypothesis.settings(max_examples=20, deadline=None, derandomize=True)
@hypothesis.given(configurations())
def test_the_same_agent_from_its_config(arguments):
    agent = Agent.create({"agent": "tensorforce", **arguments})
    config = agent.get_config()
    again = Agent.create(json.loads(json.dumps(config)))
    assert again.get_config() == config and type(again) is type(agent)
    for one, other in zip(agent.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(one, other)
    state = {"eye": np.zeros(3, np.float32), "gear": 1}
    for stream in range(agent.parallel_interactions):
        ours, theirs = (one.act(state, parallel=stream) for one in (agent, again))
        assert str(ours) == str(theirs)


@pytest.mark.parametrize("name", sorted(kagent.agents.AGENTS.keys() - {"agent", "tensorforce", "default"}))
def test_presets_from_their_configs(name):
    env = "Pendulum-v1" if name in ("sac", "dpg", "ddpg") else "CartPole-v1"
    agent = Agent.create(name, env, seed=3)
    text = json.dumps(agent.get_config())
    again = Agent.create(json.loads(text))
    assert type(again) is type(agent) and json.dumps(again.get_config()) == text
