"""What Tensorforce's page refuses, or should: a ValueError or TypeError by name, before any environment step.

The rows are those of the table in the notes on Tensorforce, in their order. What is about files, acting and observing is
refused at the call; everything else by the constructor.
"""

import gymnasium
import numpy as np
import pytest
from toy_envs import Counter

import kagent
from kagent import Agent

FLOAT = {"type": "float", "shape": (3,), "min_value": -1.0, "max_value": 1.0}
GO = {"type": "int", "num_values": 3}
STEER = {"type": "float", "min_value": -1.0, "max_value": 1.0}
VALUES = {
    "states": FLOAT, "actions": GO, "update": 4, "objective": "action_value", "memory": 100,
    "reward_estimation": {"horizon": 0, "discount": 0.9},
}  # fmt: skip
POLICY = {
    "states": FLOAT, "actions": GO, "update": {"unit": "timesteps", "batch_size": 4}, "objective": "policy_gradient",
    "memory": {"type": "recent", "capacity": 100}, "reward_estimation": {"horizon": 2, "discount": 0.9},
}  # fmt: skip
BASELINE = {"baseline_policy": "auto", "baseline_objective": "state_value"}


def values(**changes):
    return lambda: Agent(**{**VALUES, **changes})


def policy(**changes):
    return lambda: Agent(**{**POLICY, **changes})


def estimation(**changes):
    return policy(**BASELINE, reward_estimation={**POLICY["reward_estimation"], **changes})


LINEAR = {"type": "linear", "unit": "timesteps", "num_steps": 10, "initial_value": 2.0, "final_value": 0.0}
ROWS = {
    # update
    "update without unit": (values(update={"batch_size": 4}), r"`update` needs \['unit'\]"),
    "update without batch size": (values(update={"unit": "timesteps"}), r"`update` needs \['batch_size'\]"),
    "update with neither": (values(update={}), r"`update` needs \['batch_size', 'unit'\]"),
    "another unit": (values(update={"unit": "updates", "batch_size": 4}), "`update.unit` must be 'timesteps' or 'episodes'"),
    "update 0": (values(update=0), "`update.batch_size` must be an integer >= 1. Received: 0"),
    "update -1": (values(update=-1), "`update.batch_size`"),
    "update true": (values(update=True), "`update`"),
    "update 1.5": (values(update=1.5), "`update`"),
    "frequency 1.5": (values(update={"unit": "timesteps", "batch_size": 4, "frequency": 1.5}), "`update.frequency`"),
    "frequency 0.0": (values(update={"unit": "timesteps", "batch_size": 4, "frequency": 0.0}), "`update.frequency`"),
    "frequency 0": (values(update={"unit": "timesteps", "batch_size": 4, "frequency": 0}), "`update.frequency`"),
    "frequency always": (values(update={"unit": "timesteps", "batch_size": 4, "frequency": "always"}), "'never'"),
    "start -1": (values(update={"unit": "timesteps", "batch_size": 4, "start": -1}), "`update.start`"),
    # unknown keys
    "key of update": (values(update={"unit": "timesteps", "batch_size": 4, "size": 3}), r"no argument \['size'\]. Known"),
    "key of reward estimation": (estimation(gamma=0.9), r"no argument \['gamma'\]. Known"),
    "key of saver": (values(saver={"directory": "x", "steps": 3}), r"`saver` has no key \['steps'\]. Known"),
    "key of summarizer": (values(summarizer={"directory": "x", "step": 3}), "`summarizer`.*step"),
    "key of recorder": (values(recorder={"directory": "x", "step": 3}), "`recorder`.*step"),
    "key of memory": (values(memory={"type": "replay", "size": 3}), r"no argument \['size'\]"),
    "key of objective": (values(objective={"type": "action_value", "loss": "mse"}), r"no argument \['loss'\]"),
    "key of optimizer": (values(optimizer={"type": "adam", "rate": 0.1}), "rate"),
    "key of policy": (values(policy={"type": "value", "size": 3}), r"no argument \['size'\]"),
    "key of execution": (values(execution={"threads": 2}), "`execution` cannot have 'threads'"),
    "key of config": (values(config={"threads": 2}), "`config` cannot have 'threads'"),
    # interaction
    "parallel 0": (values(parallel_interactions=0), "`parallel_interactions` must be an integer >= 1. Received: 0"),
    "parallel 1.5": (values(parallel_interactions=1.5), "`parallel_interactions` must be an integer >= 1. Received: 1.5"),
    "parallel two": (values(parallel_interactions="two"), "`parallel_interactions`"),
    "buffer beyond the frequency": (values(buffer_observe=5), "`buffer_observe` must be at most"),
    "limit 0": (values(max_episode_timesteps=0), "`max_episode_timesteps`"),
    # memory
    "capacity not inferable": (
        policy(memory=None, update={"unit": "episodes", "batch_size": 2}),
        "`memory.capacity` cannot be inferred.*max_episode_timesteps",
    ),
    "horizon not inferable": (
        policy(memory=None, reward_estimation={"horizon": "episode"}), "`memory.capacity` cannot be inferred"
    ),
    "capacity below the minimum": (
        policy(memory={"type": "recent", "capacity": 6}), "`memory.capacity` must be at least 7.*Received: 6"
    ),
    "capacity below an episode": (
        values(memory=50, max_episode_timesteps=60), "`memory.capacity` must be at least 60.*Received: 50"
    ),
    "capacity 0": (values(memory=0), "`memory.capacity`"),
    "unknown memory": (values(memory="replai"), "Unknown `memory`. Received: 'replai'.*Did you mean 'Replay'"),
    # reward estimation
    "horizon -1": (estimation(horizon=-1), "`reward_estimation.horizon` must be an integer >= 0"),
    "horizon 1.5": (estimation(horizon=1.5), "`reward_estimation.horizon`"),
    "horizon episodes": (estimation(horizon="episodes"), "`reward_estimation.horizon`.*'episode'"),
    "horizon beyond the episode": (
        policy(max_episode_timesteps=10, reward_estimation={"horizon": 11}),
        "`reward_estimation.horizon` must be at most max_episode_timesteps=10. Received: 11",
    ),
    "discount 1.1": (estimation(discount=1.1), "`reward_estimation.discount` must be .*1.1"),
    "discount -0.1": (estimation(discount=-0.1), "`reward_estimation.discount`"),
    "discount high": (estimation(discount="high"), "`reward_estimation.discount`"),
    "scheduled discount": (estimation(discount=LINEAR), "`reward_estimation.discount`"),
    "gae lambda 2": (estimation(horizon=0, gae_lambda=2.0), "`reward_estimation.gae_lambda`"),
    "estimate sometimes": (estimation(estimate_horizon="sometimes"), "estimate_horizon` must be False, 'early', 'late'"),
    "advantages that are none": (
        policy(reward_estimation={"horizon": 2, "normalize_advantages": True}), "normalize_advantages.*estimate_advantage"
    ),
    "lambda without estimates": (
        estimation(horizon=0, return_lambda=0.9, estimate_horizon=False), "return_lambda` needs estimate_horizon"
    ),
    "gae with replay": (
        values(reward_estimation={"discount": 0.9, "gae_lambda": 0.9}), "gae_lambda.*Received: 0.9"
    ),
    "values of actions for nothing": (
        values(reward_estimation={"estimate_actions": True}), "estimate_actions` says by what .*, and nothing is"
    ),
    "values of terminal states for nothing": (
        policy(reward_estimation={"estimate_terminal": True}), "estimate_terminal` needs estimate_horizon='early'"
    ),
    # numbers
    "exploration -0.1": (values(exploration=-0.1), "`exploration"),
    "exploration 1.1": (values(exploration=1.1), "`exploration"),
    "exploration of no action": (values(exploration={"turn": 0.1}), r"names no such action. Received: \['turn'\]"),
    "l2 -1": (values(l2_regularization=-1.0), "`l2_regularization`"),
    "entropy -1": (policy(entropy_regularization=-1.0), "`entropy_regularization`"),
    "noise -1": (values(variable_noise=-1.0), "`variable_noise`"),
    "noise many": (values(variable_noise="many"), "`variable_noise`"),
    "entropy of values": (values(entropy_regularization=0.1), "`entropy_regularization` needs a policy with an entropy"),
    "rate -1": (values(optimizer={"type": "adam", "learning_rate": -1.0}), "learning_rate"),
    "schedule without steps": (
        values(l2_regularization={"type": "linear", "unit": "timesteps", "initial_value": 1.0, "final_value": 0.0}),
        "l2_regularization",
    ),
    "unknown schedule": (values(l2_regularization={"type": "linnear"}), "l2_regularization"),
    # names
    "unknown agent": (lambda: Agent.create("dqm", "CartPole-v1"), "Unknown `agent`. Received: 'dqm'.*Did you mean 'dqn'"),
    "unknown environment": (lambda: Agent.create("dqn", "CartPol-v1"), "CartPol-v1"),
    "unknown objective": (values(objective="action_valu"), "Unknown `objective`. Received: 'action_valu'"),
    "unknown policy": (values(policy="valu"), "Unknown `policy`. Received: 'valu'"),
    "no optimizer": (values(optimizer=None), "`optimizer` must be a Keras optimizer"),
    "unknown optimizer": (values(optimizer="adamm"), "adamm"),
    "unknown network": (values(policy={"network": "autoo"}), "Unknown `network`. Received: 'autoo'"),
    "unknown layer": (values(policy={"network": ["dens"]}), r"`network\[0\]` is unknown. Received: 'dens'"),
    "unknown exploration": (values(exploration="gredy"), "Unknown `exploration`"),
    "unknown preprocessing": (values(preprocessing="clip"), "preprocessing"),
    "preprocessing of no state": (values(preprocessing={"eye": "deltafier"}), "eye"),
    # states and actions
    "one name twice": (values(states={"a": FLOAT}, actions={"a": GO}), "are both named 'a'"),
    "reserved name": (values(states={"reward": FLOAT}), "reserved"),
    "a mask's name": (values(states={"go_mask": FLOAT}, actions={"go": GO}), "so is the mask"),
    "int without values": (values(actions={"type": "int"}), "num_values"),
    "one value": (values(actions={"type": "int", "num_values": 1}), "num_values"),
    "values and bounds": (values(actions={"type": "int", "num_values": 3, "min_value": 0}), "min_value"),
    "bounds the wrong way": (policy(actions={**STEER, "min_value": 2.0}), "min_value"),
    "bounds of another shape": (values(states={**FLOAT, "min_value": [0.0, 0.0]}), "min_value"),
    "bounds of bools": (values(actions={"type": "bool", "max_value": 1}), "max_value"),
    "shape of words": (values(states={"type": "float", "shape": "three"}), r"states\.shape"),
    "shape 0": (values(states={"type": "float", "shape": 0}), r"states\.shape"),
    "values of words": (values(actions={"type": "int", "num_values": "three"}), "num_values"),
    "bounds of words": (values(states={**FLOAT, "min_value": "low"}), "min_value"),
    "unbounded by infinities": (policy(actions={"type": "float", "min_value": -np.inf, "max_value": np.inf}), "min_value"),
    "no type": (values(actions={"num_values": 3}), r"actions\.type"),
    "actions alone": (lambda: Agent(**{**VALUES, "states": None}), "both `states` and `actions`"),
    # combinations
    "dpg of int actions": (
        lambda: Agent.create("dpg", observation_space=gymnasium.spaces.Box(-1, 1, (3,)),
                             action_space=gymnasium.spaces.Discrete(3)), "Box with finite bounds",
    ),
    "values of float actions": (values(actions=STEER), "ValuePolicy needs a discrete action space"),
    "dueling of float actions": (lambda: Agent.create("dueling_dqn", "Pendulum-v1"), "discrete action space"),
    "normalization without bounds": (
        values(states={"type": "float", "shape": (3,)}, preprocessing="linear_normalization"), "min_value|bounds"
    ),
    "normalization the wrong way": (
        values(preprocessing={"type": "linear_normalization", "min_value": 2.0, "max_value": 1.0}), "min_value"
    ),
    "a layer of another rank": (
        values(policy={"network": [{"type": "conv2d", "size": 4}]}), r"`network\[0\]` conv2d does not fit"
    ),
    "a tensor of no name": (
        values(policy={"network": [{"type": "retrieve", "tensors": "eye"}]}), r"no tensor is called \['eye'\]"
    ),
    "baseline weight without objective": (
        policy(objective={"type": "plus", "objective1": "policy_gradient", "objective2": "state_value"},
               baseline_policy="auto", baseline_optimizer=1.0), "baseline_objective",
    ),
    "saver without directory": (values(saver={"frequency": 10}), "`saver` needs a 'directory'"),
    "summarizer without directory": (values(summarizer={"labels": "all"}), "directory"),
    "recorder without directory": (values(recorder={"start": 1}), "`recorder` needs a 'directory'"),
    "unknown label": (values(summarizer={"directory": "x", "labels": ["los"]}), "los"),
}  # fmt: skip


@pytest.mark.parametrize("row", sorted(ROWS))
def test_refused_by_the_constructor(row):
    make, message = ROWS[row]
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_zero_and_one_are_numbers_where_floats_are_expected():
    """An int is as good as the float."""
    agent = Agent(**{**VALUES, "exploration": 0, "l2_regularization": 0, "variable_noise": 0, "optimizer": 1})
    assert agent.exploration.epsilon(agent.clock) == 0.0 and float(agent.optimizer.learning_rate) == 1.0


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([np.nan, 0, 0], "finite"),
        ([np.inf, 0, 0], "finite"),
        ([0, 0], "shape"),
        ([[0, 0, 0]], "shape"),
        ("left", "."),
        ({"eye": [0, 0, 0]}, "."),
    ],
)
def test_bad_states(state, message):
    agent = values()()
    for independent in (False, True):
        with pytest.raises((ValueError, TypeError), match=message):
            agent.act(
                state if isinstance(state, str | dict) else np.asarray(state, np.float32), independent=independent
            )
    assert agent.timesteps == 0


@pytest.mark.parametrize(("reward", "error"), [(np.nan, ValueError), (np.inf, ValueError), ("much", ValueError)])
def test_bad_rewards(reward, error):
    agent = values()()
    agent.act(np.zeros(3))
    with pytest.raises(error):
        agent.observe(reward, terminal=True)
    assert agent.timesteps == 0


def test_masks_that_allow_nothing():
    agent = values()()
    with pytest.raises(ValueError, match=r"at least one|nothing"):
        agent.act(np.zeros(3), mask=[False, False, False])
    with pytest.raises(ValueError):
        agent.act(np.zeros(3), mask=[True, False])


def test_calls_out_of_order():
    """`RuntimeError`s, and `ValueError`s as all of the table are."""
    acted, begun = values()(), values()()
    state, episode = np.zeros(3), {"states": np.zeros((2, 3)), "actions": [0, 1], "terminal": [0, 1], "reward": [1, 1]}
    acted.act(state)
    begun.act(state), begun.observe(1.0, terminal=0)
    for call, message in (
        (lambda: values()().observe(1.0), "`observe` follows `act"),
        (lambda: acted.act(state), "`act` was called twice"),
        (lambda: begun.experience(**episode), "`experience` takes whole episodes"),
        (lambda: values()().update(), "`update` needs a memory with experience"),
    ):
        for kind in (ValueError, RuntimeError):
            with pytest.raises(kind, match=message):
                call()
    with pytest.raises(ValueError, match="`internals` are for independent acts"):
        begun.act(state, internals={})
    for wrong in ({"independent": "yes"}, {"deterministic": 1}):
        with pytest.raises(TypeError, match="must be True or False"):
            begun.act(state, **wrong)
    assert begun.act(state, independent=True, internals={})[1] == {}


def test_limits_of_environments_are_kept():
    agent = Agent.create("dqn", "CartPole-v1", memory=1000, max_episode_timesteps=600)
    with pytest.raises(ValueError, match="at most 500"):
        agent.fit("CartPole-v1", steps=1)
    assert agent.timesteps == 0


def test_files_and_directories_that_are_not_there(tmp_path):
    agent = Agent.create("dqn", Counter())
    with pytest.raises((ValueError, FileNotFoundError), match="nowhere"):
        agent.pretrain(tmp_path / "nowhere", 1)
    with pytest.raises((ValueError, FileNotFoundError)):
        kagent.load(tmp_path / "nowhere.keras")
    with pytest.raises(ValueError, match="`agent`"):
        Agent.create(tmp_path / "nowhere.json", Counter())


def test_pretraining_with_nothing(tmp_path):
    with pytest.raises(ValueError, match=str(tmp_path)):
        Agent.create("dqn", Counter()).pretrain(tmp_path, 1)
