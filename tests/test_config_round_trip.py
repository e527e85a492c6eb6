"""`Agent.create(json.loads(json.dumps(agent.get_config())))` is the same agent."""

import json

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
from variants import with_few

import kagent
from kagent import Agent

EYE, GEAR = {"shape": 3, "min_value": -1.0, "max_value": 1.0}, {"type": "int", "shape": (), "num_values": 4}
STATES = {"eye": EYE, "gear": GEAR}
SEEN = [
    (STATES, {"eye": np.zeros(3, np.float32), "gear": 1}),
    ({"shape": (2, 3)}, np.ones((2, 3), np.float32)),
    ({"body": {"eye": EYE, "gear": {**GEAR, "start": -2, "dtype": "int32"}}, "lit": {"type": "bool", "shape": 2}},
     {"body": {"eye": np.ones(3, np.float32), "gear": -1}, "lit": np.asarray([1, 0], np.int8)}),
]  # fmt: skip
DISCRETE = {"go": {"type": "int", "num_values": 3}, "lamps": {"type": "bool", "shape": (2,)}}
CONTINUOUS = {"steer": {"type": "float", "shape": (2,), "min_value": -1.0, "max_value": 2.0}}
UNBOUNDED = {"push": {"type": "float"}}

networks = st.sampled_from(
    [
        "auto",
        {"units": [4]},
        {"type": "MLP", "units": [4], "activation": "tanh"},
        [{"type": "dense", "size": 4}, {"type": "dropout", "rate": 0.1}],
        [{"type": "dense", "size": 4, "activation": "crelu"}, "layer_normalization", {"type": "linear", "size": 3}],
    ]
)
RAMP = {"num_steps": 10, "initial_value": 0.1, "final_value": 0.01}
SCHEDULES = [
    {"type": "linear", "unit": "timesteps", **RAMP},
    {"type": "polynomial", "unit": "episodes", **RAMP, "power": 2},
    {"type": "cosine", "unit": "updates", **RAMP},
    {"type": "exponential", "unit": "updates", "num_steps": 5, "initial_value": 0.1, "decay_rate": 0.5},
    {
        "type": "decaying",
        "decay": "inverse_time",
        "unit": "updates",
        "decay_steps": 5,
        "initial_value": 0.1,
        "decay_rate": 1.0,
    },
    {"type": "piecewise_constant", "unit": "episodes", "boundaries": [3], "values": [0.1, 0.05]},
    {
        "type": "ornstein_uhlenbeck",
        "unit": "timesteps",
        "mu": 0.05,
        "sigma": 0.01,
        "minval": 0.0,
        "maxval": 0.1,
        "seed": 3,
    },
    {"type": "random", "unit": "timesteps", "distribution": "uniform", "minval": 0.01, "maxval": 0.1, "seed": 4},
    {"class_name": "PolynomialDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 9}},
]
numbers = st.floats(1e-5, 0.1) | st.sampled_from(SCHEDULES)
# Schedules that have names of explorations are none where an exploration stands.
amounts = st.floats(1e-5, 0.1) | st.sampled_from(
    [s for s in SCHEDULES if s.get("type") not in ("ornstein_uhlenbeck", "random")]
)
plain_optimizers = st.fixed_dictionaries(
    {"type": st.sampled_from(["adam", "rmsprop"]), "learning_rate": numbers},
    optional={
        "multi_step": st.integers(1, 3),
        "subsampling_fraction": st.sampled_from([0.5, 1.0, SCHEDULES[0]]),
        "clipping_threshold": numbers,
        "linesearch_iterations": st.integers(0, 2),
        "doublecheck_update": st.booleans(),
        "global_clipnorm": st.floats(0.1, 2.0),
    },
)
optimizers = (
    st.sampled_from(["adam", "sgd", 0.01, *SCHEDULES[-3:], {"type": "evolutionary", "num_samples": 2}])
    | plain_optimizers
    | st.builds(
        lambda inner, k: {"type": "multi_step", "num_steps": k, "optimizer": inner}, plain_optimizers, st.integers(1, 3)
    )
)
natural = st.fixed_dictionaries(
    {"type": st.just("natural_gradient"), "learning_rate": numbers}, optional={"cg_damping": st.floats(0.001, 0.1)}
)
layers = st.sampled_from(
    ["linear_normalization", {"type": "clipping", "lower": -1, "upper": SCHEDULES[0]}, "running_normalization", "deltafier",
     {"type": "exponential_normalization", "decay": 0.9}, {"type": "scale", "scale": 0.5}, {"type": "sequence", "length": 2}]
)  # fmt: skip
common_arguments = {
    "l2_regularization": numbers,
    "variable_noise": numbers,
    "preprocessing": st.fixed_dictionaries({}, optional={
        "float": st.lists(layers.filter(lambda one: one != "linear_normalization"), max_size=2),
        "reward": st.lists(st.sampled_from([{"type": "clipping", "upper": 1}, "running_normalization"]), max_size=2),
    }),
    "max_episode_timesteps": st.integers(10, 20),
    "parallel_interactions": st.integers(1, 3),
    "seed": st.integers(0, 2**31),
    "device": st.sampled_from([None, "CPU:0"]),
    "execution": st.sampled_from([None, {"jit_compile": False}, {"steps_per_execution": 2}]),
    "name": st.sampled_from(["agent", "bob"]),
}  # fmt: skip


def transitions(draw, common, discount):
    """What value learning, the deterministic policy gradient and soft actor-critics have in common."""
    prioritized = {"type": "prioritized", "capacity": 500, "alpha": draw(st.floats(0, 1)), "beta": draw(numbers)}
    memories = [500, {"type": "replay", "capacity": 400, "saved": False}]
    horizon = draw(st.sampled_from([0, 2, "episode", {**SCHEDULES[0], "initial_value": 3, "final_value": 0}]))
    when = draw(st.sampled_from([None, False, "early"] if horizon == "episode" else [None, "late", "early", False]))
    if common["update"]["unit"] == "timesteps":
        memories.append(prioritized)
    elif when == "early":
        when = None
    estimation = {"horizon": horizon, "discount": discount, "estimate_horizon": when}
    return common | {"memory": draw(st.sampled_from(memories)), "reward_estimation": estimation}


@st.composite
def configurations(draw):
    """Arguments of valid agents in Tensorforce's words, and a state."""
    states, state = draw(st.sampled_from(SEEN))
    common = draw(st.fixed_dictionaries({}, optional=common_arguments))
    common["optimizer"] = draw(optimizers)
    kind = draw(st.sampled_from(["policy_gradient", "action_value", "dpg", "sac"]))
    unit = draw(st.sampled_from(["timesteps", "episodes"]))
    frequencies = st.sampled_from([1, 0.5, "never", {**SCHEDULES[0], "initial_value": 4, "final_value": 1}])
    update = {"unit": unit, "batch_size": draw(st.integers(1, 8)), **draw(st.fixed_dictionaries({}, optional={
        "frequency": frequencies, "start": st.integers(0, 20),
    }))}  # fmt: skip
    common |= {"states": states, "update": update}
    discount = draw(st.floats(0.5, 1.0) | st.sampled_from(SCHEDULES[:3]))
    if kind == "action_value":
        target = {
            "type": "synchronization",
            "update_weight": draw(st.floats(0.1, 1.0) | st.sampled_from(SCHEDULES[:5])),
        }
        common = transitions(draw, common, discount)
        estimation = common["reward_estimation"]
        estimation["estimate_actions"] = draw(st.booleans()) and estimation["estimate_horizon"] in ("late", "early")
        return state, common | {
            "actions": DISCRETE,
            "policy": {"network": draw(networks), "dueling": draw(st.booleans())},
            "objective": {"type": "action_value", "huber": draw(st.none() | numbers)},
            "exploration": draw(st.sampled_from([0.1, {"go": 0.2}, {"go": SCHEDULES[0], "lamps": 1.0}])),
            **({"baseline_optimizer": target} if draw(st.booleans()) else {}),
        }
    if kind == "dpg":
        return state, transitions(draw, common, discount) | {
            "actions": CONTINUOUS,
            "policy": {"network": draw(networks)},
            "objective": {"type": kind, "huber": draw(st.none() | numbers), "use_targets": draw(st.booleans())},
            "critic": {"type": "action_value", "network": draw(networks), "members": draw(st.integers(1, 3))},
            "target": {"tau": draw(st.sampled_from([0.1, SCHEDULES[1]])), "period": 2},
            "critic_optimizer": draw(optimizers),
            "exploration": draw(st.sampled_from([0.1, {"steer": SCHEDULES[3]}])),
        }
    if kind == "sac":
        return state, transitions(draw, common, discount) | {
            "actions": CONTINUOUS,
            "policy": {"network": draw(networks), "distribution": "squashed_gaussian"},
            "objective": {"type": "soft_actor_critic", "target_entropy": draw(st.sampled_from(["auto", -1.0]))},
            "critic": {"type": "action_value", "network": draw(networks)},
            "temperature": draw(st.floats(0.1, 1.0)),
            "temperature_optimizer": draw(optimizers),
            "critic_optimizer": draw(optimizers),
        }
    own = draw(optimizers.filter(lambda one: not isinstance(one, float)))
    baselines = [
        {},
        {"baseline_objective": "state_value"},
        {"baseline_policy": {"network": draw(networks)},
         "baseline_objective": {"type": "state_value", "huber": 1.0, "weight": SCHEDULES[2]}},
        {"baseline_policy": "auto", "baseline_optimizer": 0.5, "baseline_objective": "state_value"},
        {"baseline_policy": "auto", "baseline_optimizer": own, "baseline_objective": "state_value"},
        {"baseline_policy": "auto", "baseline_optimizer": own, "baseline_objective": "state_value",
         "optimizer": draw(natural)},
    ]  # fmt: skip
    baseline = draw(st.sampled_from(baselines))
    estimation = {"horizon": draw(st.sampled_from(["episode", 3])), "estimate_advantage": bool(baseline)}
    if baseline and draw(st.booleans()):
        estimation = {draw(st.sampled_from(["gae_lambda", "return_lambda"])): draw(numbers)}
    actions = draw(st.sampled_from([DISCRETE, CONTINUOUS, UNBOUNDED, {**DISCRETE, **CONTINUOUS}]))
    chosen = {"use_beta_distribution": True} if actions is CONTINUOUS else {"temperature": draw(numbers)}
    objective = {"type": "policy_gradient", "importance_sampling": draw(st.booleans()),
                 "clipping_value": draw(st.none() | numbers), "entropy_coefficient": draw(numbers)}  # fmt: skip
    if common.get("execution") == {"steps_per_execution": 2}:
        common["execution"] = {"run_eagerly": True}
    if baseline and draw(st.booleans()):
        objective = {
            "type": "plus",
            "objective1": objective,
            "objective2": "state_value",
            "weight2": draw(numbers),
        }
    return state, common | {"exploration": draw(amounts)} | baseline | {
        "actions": actions,
        "policy": {"network": draw(networks), **chosen},
        "objective": objective,
        "memory": {"type": "recent", "capacity": 500},
        "reward_estimation": {"discount": discount, "normalize_returns": draw(st.booleans()), **estimation},
        "entropy_regularization": draw(numbers),
    }  # fmt: skip


@pytest.mark.thorough
@hypothesis.settings(max_examples=15, deadline=None, derandomize=True)
@hypothesis.given(configurations())
def test_the_same_agent_from_its_config(drawn):
    state, arguments = drawn
    agent = Agent.create({"agent": "tensorforce", **arguments})
    config = agent.get_config()
    again = Agent.create(json.loads(json.dumps(config)))
    assert again.get_config() == config and type(again) is type(agent)
    for one, other in zip(agent.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for stream in range(agent.parallel_interactions):
        ours, theirs = (one.act(state, parallel=stream) for one in (agent, again))
        assert str(ours) == str(theirs)


# What `compile` changes -----------------------------------------------------------------------------------------

OPTIMIZERS = {
    "an object": lambda: keras.optimizers.SGD(0.5, momentum=0.25, name="mine"),
    "a schedule": lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.5, 10), global_clipnorm=1.0),
    "a name": lambda: "rmsprop",
    "by role": lambda: kagent.optimizers.RoleOptimizer(
        policy=keras.optimizers.SGD(0.5, name="policy"), critic=keras.optimizers.RMSprop(0.25, name="critic")
    ),
}


@pytest.mark.eager(seldom=True)
@pytest.mark.parametrize("given", with_few(OPTIMIZERS, ("by role",)))
def test_the_optimizer_of_compile_is_the_optimizer_of_the_config(small, given, tmp_path):
    agent = small("ppo", learning_rate=1e-4)
    agent.compile(optimizer=OPTIMIZERS[given](), run_eagerly=True)
    config = json.loads(json.dumps(agent.get_config()))
    again = Agent.create(config, recorder=None)
    assert type(again.optimizer) is type(agent.optimizer)
    assert again.optimizer.get_config() == agent.optimizer.get_config()
    assert json.loads(json.dumps(again.get_config())) == config
    before = agent.optimizer
    agent.compile(run_eagerly=True)  # "auto" means it from here on
    assert agent.optimizer is before
    agent.save(tmp_path / "a.keras")
    loaded = kagent.load(tmp_path / "a.keras")
    assert loaded.optimizer.get_config() == before.get_config()
    assert loaded.get_config() == config | {"execution": loaded.execution}
    histories = [
        each.fit("CartPole-v1", steps=40, steps_per_epoch=20, verbose=0).history["loss"]
        for each in (agent, again, loaded)
    ]
    assert histories[0] == pytest.approx(histories[1], nan_ok=True) == histories[2]


@pytest.mark.eager
def test_an_optimizer_that_no_config_can_tell_is_refused(small):
    agent = small("ppo")
    optimizer, config = agent.optimizer, agent.get_config()
    with pytest.raises(ValueError, match=r"MultiOptimizer assigns variables by their paths.*RoleOptimizer"):
        agent.compile(optimizer=keras.optimizers.MultiOptimizer(lambda variable: keras.optimizers.SGD()))
    assert agent.optimizer is optimizer and agent.get_config() == config


@pytest.mark.eager
def test_the_other_options_of_compile_are_in_the_config(small):
    agent = small("dqn", execution={"steps_per_execution": 3})
    agent.compile(steps_per_execution=2, run_eagerly=True)
    again = Agent.create(json.loads(json.dumps(agent.get_config())))
    assert agent.execution == {"steps_per_execution": 2, "run_eagerly": True} == again.execution
    assert again.steps_per_execution == 2 and again.run_eagerly
    again.compile()
    assert again.execution == {} and again.steps_per_execution == 1
