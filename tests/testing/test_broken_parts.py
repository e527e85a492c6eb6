"""A part that breaks one rule fails with a message that has the rule, what was expected and what was received."""

import dataclasses
import functools
import random

import gymnasium
import keras
import numpy as np
import pytest
import tensorflow as tf
from testing import parts
from variants import thorough

import kagent
from kagent import memories, objectives, testing
from kagent.testing import BrokenRuleError


def broken(rule, call):
    """Has `call` fail by `rule`; the message."""
    with pytest.raises(AssertionError) as caught:
        call()
    message = str(caught.value)
    assert isinstance(caught.value, BrokenRuleError), message
    assert f"breaks a rule: {rule}" in message, message
    assert "\n  Expected: " in message and "\n  Received: " in message and len(message) < 2500
    return message


def test_a_message_says_where_nested_values_differ():
    contract = testing.Contract("Mine")

    def compare(one, other, **more):
        with contract.rule("They are equal", "here"):
            contract.equal(one, other, "x", **more)

    message = broken("They are equal", lambda: compare({"a": [np.float32([1, 2])]}, {"a": [np.float32([1, 3])]}))
    assert message == (
        "Mine breaks a rule: They are equal.\n  Case: here\n  Expected: x['a'][0] = float32 (2,) [1.0, 3.0]\n"
        "  Received: x['a'][0] = float32 (2,) [1.0, 2.0]"
    )
    broken("They are equal", lambda: compare(np.float32([1]), np.float64([1])))
    broken("They are equal", lambda: compare({"a": 1}, {"a": 1, "b": 2}))
    broken("They are equal", lambda: compare(None, 0))
    broken("They are equal", lambda: compare(1.1, 1.0, tolerance=1e-3))
    compare(np.float32([1.0001, np.nan]), np.float64([1, np.nan]), tolerance=1e-3)
    compare((None, "a", [np.float32([np.nan])]), (None, "a", [np.float32([np.nan])]))


def test_an_error_of_the_part_breaks_the_rule_that_is_checked():
    contract = testing.Contract("Mine")

    def check():
        with contract.rule("It works"):
            raise KeyError("lost")

    assert "Received: KeyError: 'lost'" in broken("It works", check)


# Explorations ---------------------------------------------------------------------------------------------------


@kagent.exploration.EXPLORATIONS.register()
@dataclasses.dataclass(frozen=True)
class Faulty(kagent.exploration.Exploration):
    fault: str = ""

    def check(self, action):
        if self.fault == "suits nothing":
            raise ValueError("no")

    def decide(self, actor, leaves, mask, clock, rng):
        if self.fault == "writes":
            leaves[0][:] = 0
        if self.fault == "forbidden":
            mask = None
        if self.fault == "own generator":
            rng = np.random.default_rng()
        if self.fault == "global generator":
            np.random.random()
        if self.fault == "Python's generator":
            random.random()
        chosen = actor.decide(leaves, mask, False, rng)
        if self.fault == "shape":
            return [array[:1] for array in chosen]
        if self.fault == "dtype":
            return [array.astype(np.float64) for array in chosen]
        return chosen


@pytest.mark.parametrize(
    "fault, rule",
    [
        ("writes", "What it gets is not written to"),
        ("forbidden", "Actions are allowed by the mask"),
        ("own generator", "Equal states of the generator give equal actions"),
        ("global generator", "It draws from its generator alone"),
        ("Python's generator", "It draws from its generator alone"),
        ("shape", "Actions are arrays of shape"),
        ("dtype", "Actions are arrays of shape"),
        ("suits nothing", "It suits some action space"),
    ],
)
def test_explorations(fault, rule):
    assert broken(rule, lambda: testing.check_exploration(Faulty(fault))).startswith("Faulty breaks")


def test_an_exploration_without_its_fault():
    testing.check_exploration(Faulty())


# Environments ---------------------------------------------------------------------------------------------------


class FaultyEnv(testing.Toy):
    fault = ""

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=None if self.fault == "no seed" else seed)

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        if self.fault == "space":
            observation = observation + np.float32(5)
        if self.fault == "reward":
            reward = float("nan")
        if self.fault == "flag":
            terminated = int(terminated)
        return observation, reward, terminated, truncated, info


@pytest.mark.parametrize(
    "fault, rule",
    [
        ("no seed", "An episode depends on its seed and its actions alone"),
        ("space", "Observations are in the observation space"),
        ("reward", "Rewards are finite numbers, and flags are bools"),
        ("flag", "Rewards are finite numbers, and flags are bools"),
    ],
)
def test_environments(fault, rule):
    made = type("FaultyEnv", (FaultyEnv,), {"fault": fault})
    broken(rule, lambda: testing.check_environments(made, steps=20))


def test_one_environment_that_is_returned_again_and_again():
    env = testing.Toy()
    broken("Several of it can be made", lambda: testing.check_environments(lambda: env))
    broken("Several of it can be made", lambda: testing.check_environments(env))


class Overwriting(kagent.environments.SingleEnvs):
    def step(self, action):
        transition = super().step(action)
        for array in self.observation + transition.next_observation:
            array[:] = 0
        for arrays in self._sets:
            arrays[0][:] = 7
        return transition


class Cutting(kagent.environments.SingleEnvs):
    def step(self, action):
        transition = super().step(action)
        transition.ended = ()
        return transition


@pytest.mark.parametrize(
    "cls, rule", [(Overwriting, "What was acted on is not overwritten"), (Cutting, "`ended` are the environments")]
)
def test_kinds_of_environments(cls, rule):
    made = cls([testing.Toy(), testing.Toy()])
    broken(rule, lambda: testing.check_environments(made))


# Memories -------------------------------------------------------------------------------------------------------


@memories.MEMORIES.register()
class FaultyReplay(memories.Replay):
    fault = ""

    def get_part(self):
        part = {**super().get_part(), "type": "FaultyReplay"}
        return {**part, "capacity": part["capacity"] + 1} if self.fault == "config" else part

    def append_leaves(self, observation, action, reward, terminated, truncated, next_observation, valid=None, *masks):
        if self.fault == "keeps invalid":
            valid = None
        if self.fault == "mixes":
            reward = np.roll(reward, 1)
        super().append_leaves(observation, action, reward, terminated, truncated, next_observation, valid, *masks)

    def state(self):
        state = super().state()
        return {**state, "counters": state["counters"] * 0} if self.fault == "state" else state

    def elements(self, rule, executions, seed, start):
        return super().elements(rule, executions, seed, 0 if self.fault == "start" else start)

    def check(self, batch_size):
        if self.fault != "any batch":
            super().check(batch_size)

    def clear(self):
        if self.fault != "clear" or not self.size:
            super().clear()


@pytest.mark.parametrize(
    "fault, rule",
    [
        ("config", "The configuration comes back from JSON"),
        ("keeps invalid", "What is drawn are whole transitions"),
        ("mixes", "What is drawn are whole transitions"),
        ("state", "`state` and `restore` bring everything back"),
        ("start", "Element n depends on"),
        ("any batch", "A batch that it cannot hold is refused"),
        ("clear", "`clear` forgets everything"),
    ],
)
def test_memories(fault, rule, monkeypatch):
    monkeypatch.setattr(FaultyReplay, "fault", fault)
    assert broken(rule, lambda: testing.check_memory(lambda: FaultyReplay(50))).startswith("FaultyReplay breaks")


# Objectives -----------------------------------------------------------------------------------------------------


@objectives.OBJECTIVES.register()
@dataclasses.dataclass(frozen=True)
class FaultyObjective(objectives.ActionValueObjective):
    fault: str = ""

    def update(self, agent, batch):
        before = [tf.identity(variable) for variable in agent.policy.variables]
        logs = super().update(agent, batch)
        if self.fault == "still":
            for variable, value in zip(agent.policy.variables, before):
                variable.assign(value)
        if self.fault == "nan":
            logs["mine"] = tf.constant(np.nan)
        if self.fault == "no loss":
            logs["error"] = logs.pop("loss")
        if self.fault == "modes":
            logs["mine"] = tf.constant(float(tf.executing_eagerly()))
        if self.fault == "target":
            for variable in agent.target_policy.variables:
                variable.assign(variable + 1.0)
        return logs


@pytest.mark.parametrize(
    "fault, rule",
    [
        ("nan", "What it logs is finite, `loss` among it"),
        ("no loss", "What it logs is finite, `loss` among it"),
        ("modes", "Eagerly, as a graph and compiled by XLA"),
        ("target", "A gradient step changes variables of the roles that have a term"),
        ("still", "A gradient step changes variables of the roles that have a term"),
    ],
)
def test_objectives(fault, rule):
    parts_ = parts.OBJECTIVES["action_value"]
    broken(rule, lambda: testing.check_objective(FaultyObjective(fault=fault), **parts_))


def test_an_objective_that_suits_no_action_space():
    arguments = {**parts.OBJECTIVES["action_value"], "update": {"unit": "timesteps", "batch_size": 1000}}
    message = broken("It is for some action space", lambda: testing.check_objective("action_value", **arguments))
    assert "batch_size" in message


# Agents ---------------------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("broken")
class FaultyDQN(kagent.DQN):
    fault = ""

    def __init__(self, env=None, **arguments):
        if self.fault == "seed":
            arguments["seed"] = np.random.default_rng().integers(1000)
        super().__init__(env, **arguments)
        self.extra = 0

    def get_config(self):
        config = super().get_config()
        return {**config, "n_envs": config["n_envs"] + 1} if self.fault == "config" else config

    def act(self, *args, **kwargs):
        action = super().act(*args, **kwargs)
        return action + 10 if self.fault == "action" else action

    def train_step(self, batch):
        logs = super().train_step(batch)
        if self.fault == "resume":  # a state that no file has
            self.extra += 1
            self.policy.variables[0].assign_add(tf.fill(self.policy.variables[0].shape, 1e-3 * self.extra))
        return logs


@pytest.mark.parametrize(
    "fault, rule",
    [
        ("action", "Actions are in the action space"),
        ("seed", "Equal seeds give equal weights"),
        ("config", "`get_config` goes through JSON"),
        thorough(("resume", "Training that is resumed from a `.weights.h5` file")),
    ],
)
def test_agents(fault, rule, monkeypatch):
    monkeypatch.setattr(FaultyDQN, "fault", fault)
    make = functools.partial(FaultyDQN, **parts.REPLAY)
    message = broken(rule, lambda: testing.check_agent(make, compiled=False))
    assert message.startswith("FaultyDQN breaks")


def test_an_agent_that_is_for_other_spaces_than_it_says():
    make = functools.partial(kagent.DQN, **parts.REPLAY)
    rule = "A space is supported, or refused by a ValueError"
    assert "Case: action space Box" in broken(rule, lambda: testing.check_agent(make, supports=parts.ALL))
    assert "Case: action space MultiDiscrete" in broken(rule, lambda: testing.check_agent(make, supports=("Discrete",)))


def test_an_agent_that_makes_no_update():
    make = functools.partial(kagent.DQN, **{**parts.REPLAY, "start": 90})
    assert "updates = 0" in broken("It makes an update within steps=40", lambda: testing.check_agent(make))


def test_an_environment_that_refuses_what_the_mask_forbids():
    env = testing.Toy(action_space=gymnasium.spaces.Discrete(3), masked=True)
    _, info = env.reset(seed=0)
    refused = 0
    for action in range(3):
        env.reset(seed=0)
        if info["action_mask"][action]:
            env.step(action)
        else:
            refused += 1
            with pytest.raises(ValueError, match="The mask forbids the action"):
                env.step(action)
    assert refused
    with pytest.raises(ValueError, match="not in the action space"):
        env.step(3)
