"""Which distribution an action gets, and what an agent does with it: both halves, learning and acting."""

import json
import math

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from toy_envs import Identity
from variants import thorough, with_few

import kagent
from kagent import distributions
from kagent.policies.stochastic import StochasticPolicy
from kagent.spaces import Bool, Structure

SPACES = gymnasium.spaces
BOUNDED, UNBOUNDED = SPACES.Box(-2.0, 2.0, (2,)), SPACES.Box(-np.inf, np.inf, (2,))
NESTED = SPACES.Dict(
    arm=BOUNDED,
    free=UNBOUNDED,
    grip=SPACES.MultiBinary(3),
    mode=SPACES.Discrete(3),
    whole=SPACES.Box(0, 9, (1,), np.int64),
)


def kinds(action, **arguments):
    policy = StochasticPolicy(**arguments)
    structure = Structure(action)
    policy.selection.check(structure)
    return {leaf.name: policy.decision(leaf) for leaf in structure.leaves}


def test_what_fits():
    assert kinds(NESTED) == {
        "arm": "gaussian", "free": "gaussian", "grip": "bernoulli", "mode": "categorical", "whole": "gaussian"
    }  # fmt: skip
    assert kinds(NESTED, distribution="auto") == {**kinds(NESTED), "grip": "categorical"}  # of older files
    assert kinds(SPACES.Discrete(2)) == {"": "categorical"} and kinds(Bool()) == {"": "bernoulli"}
    assert kinds(NESTED, use_beta_distribution=True) == {**kinds(NESTED), "arm": "beta"}
    assert kinds(BOUNDED, use_beta_distribution=True) == {"": "beta"}


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ("default", {}),
        ("categorical", {"grip": "categorical"}),
        ({"bool": "categorical"}, {"grip": "categorical"}),
        ({"grip": "auto"}, {"grip": "categorical"}),
        ("bernoulli", {"grip": "bernoulli"}),
        ({"type": "bernoulli"}, {"grip": "bernoulli"}),
        ({"grip": "bernoulli", "arm": "beta"}, {"grip": "bernoulli", "arm": "beta"}),
        ({"bool": "Bernoulli", "arm": "tanh-gaussian"}, {"grip": "bernoulli", "arm": "squashed_gaussian"}),
        ({"arm": {"type": "gaussian", "bounded_transform": "tanh"}}, {"arm": "squashed_gaussian"}),
        ({"arm": "beta", "float": "normal"}, {"arm": "beta"}),
        ({"int": "categorical", "bool": "bernoulli"}, {"grip": "bernoulli"}),
    ],
)
def test_selections(given, changed):
    assert kinds(NESTED, distribution=given) == {**kinds(NESTED), **changed}


@pytest.mark.parametrize("space", [BOUNDED, SPACES.Discrete(3), SPACES.MultiBinary(2)])
def test_types_that_no_action_has_may_be_named(space):
    given = {"bool": "bernoulli", "int": "categorical", "float": {"type": "gaussian", "stddev_mode": "predicted"}}
    assert kinds(space, distribution=given) == kinds(space)


def test_a_bool_action_of_a_specification_is_bernoulli(tmp_path):
    """By default, scalars too; an int of two values is not, and neither is what another distribution is asked for."""
    actions = {
        "go": {"type": "bool"}, "lamps": {"type": "bool", "shape": 2}, "side": {"type": "int", "num_values": 2},
        "own": {"type": "bool"},
    }  # fmt: skip
    policy = {"type": "stochastic", "distribution": {"own": "categorical"}}
    made = kagent.PPO(states={"shape": 3}, actions=actions, policy=policy, n_steps=8, batch_size=8, seed=0)
    made.compile(run_eagerly=True)
    made.save(tmp_path / "a.keras")
    config = json.loads(json.dumps(made.get_config()))
    for agent in (made, kagent.PPO.from_config(config), kagent.load(tmp_path / "a.keras")):
        found = {leaf.name: agent.policy.decision(leaf) for leaf in agent.policy.action.leaves}
        assert found == {"go": "bernoulli", "lamps": "bernoulli", "own": "categorical", "side": "categorical"}
        assert [x.shape[-1] for x in agent.policy.model.outputs] == [1, 2, 2, 2]
    seen = {made.act(np.zeros(3, np.float32), independent=True)["go"] for _ in range(40)}
    assert seen == {0, 1}


OLDER = [
    ("auto", {}),
    ("gaussian", {}),
    ({"type": "gaussian", "stddev_mode": "predicted"}, {}),
    ("bernoulli", {"grip": "bernoulli"}),
    ({"arm": "beta"}, {"arm": "beta"}),
    ({"float": "gaussian", "bool": "bernoulli"}, {"grip": "bernoulli"}),
]


@pytest.mark.parametrize(
    ("given", "changed"),
    with_few(OLDER, OLDER[:1] + OLDER[-2:]),
)
def test_a_config_of_before_leaves_its_bool_actions_categorical(given, changed):
    """Configs of before `images` was in them: of what they do not name, bool actions were categorical, as "auto" is."""
    parts = {"policy": {"type": "stochastic", "distribution": given}, "n_steps": 8, "batch_size": 8, "seed": 0}
    config = json.loads(json.dumps(kagent.PPO(observation_space=UNBOUNDED, action_space=NESTED, **parts).get_config()))
    del config["images"]
    agent = kagent.PPO.from_config(config)
    found = {leaf.name: agent.policy.decision(leaf) for leaf in agent.policy.action.leaves}
    assert found == {**kinds(NESTED), "grip": "categorical", **changed}
    assert kagent.PPO.from_config(agent.get_config()).get_config() == agent.get_config()


def test_an_action_that_is_not_nested_is_named_action():
    assert kinds(BOUNDED, distribution={"action": "beta"}) == kinds(BOUNDED, distribution="beta") == {"": "beta"}


@pytest.mark.parametrize(
    ("given", "space", "message"),
    [
        ("cauchy", BOUNDED, r"`policy.distribution` must be one of \('default', 'auto'.*Received: 'cauchy'"),
        ("betta", BOUNDED, "Did you mean 'beta'"),
        ("direct", BOUNDED, "must be one of"),
        ({"type": "beta", "mode": 1}, BOUNDED, r"'beta' has no option \['mode'\]"),
        ({"type": "gaussian", "stddev_mode": "x"}, BOUNDED, r"option `stddev_mode` must be one of \('global'"),
        ({"arm": {"type": "gaussian", "bounded_transform": 1}}, NESTED, r"distribution\['arm'\]` option `bounded_tr"),
        ({}, BOUNDED, "must not be empty"),
        ({"leg": "beta"}, NESTED, r"names no such action. Received: \['leg'\]. Known: \['arm'"),
        ({"grip": "beta"}, NESTED, "does not fit the action 'grip'"),
        ({"mode": "bernoulli"}, NESTED, "does not fit the action 'mode'"),
        ({"free": "beta"}, NESTED, "needs finite bounds, and the action 'free' has none"),
        ("beta", NESTED, "needs finite bounds, and the action 'free' has none"),
        ("beta", SPACES.Discrete(3), "does not fit the action"),
        ("bernoulli", BOUNDED, "does not fit the action"),
        ({"bool": "beta"}, BOUNDED, r"distribution\['bool'\]` does not fit actions of type bool. Received: 'beta'"),
        ({"float": "bernoulli"}, SPACES.Discrete(2), r"distribution\['float'\]` does not fit actions of type float"),
        ({"bools": "bernoulli"}, BOUNDED, r"names no such action. Received: \['bools'\]"),
    ],
)
def test_refused_selections(given, space, message):
    with pytest.raises(ValueError, match=message):
        kinds(space, distribution=given)


@pytest.mark.parametrize("bad", [3, None, ["beta"], {"type": 3}, {"action": None}])
def test_selections_of_no_kind(bad):
    with pytest.raises(TypeError, match="must be a name, or a dict"):
        StochasticPolicy(distribution=bad)
    with pytest.raises(TypeError, match="use_beta_distribution` must be True or False"):
        StochasticPolicy(use_beta_distribution=1)


@pytest.mark.parametrize("bad", [{"log_std": math.nan}, {"head_gain": "much"}, {"log_std_range": (1.0, -1.0)},
                                 {"log_std_range": 3.0}, {"log_std_range": (0.0, math.inf)}])  # fmt: skip
def test_numbers_of_a_policy(bad):
    with pytest.raises(ValueError, match=f"`policy.{next(iter(bad))}` must"):
        StochasticPolicy(**bad)


@pytest.mark.parametrize(("gain", "low", "high"), [("auto", 0.0, 0.01), (0.5, 0.0, 0.5), ("fan_in", 0.1, 0.25)])
def test_the_scale_of_a_head(gain, low, high):
    """Of 16 features: a column of an orthogonal matrix has the length of its gain, and "fan_in" is within 1/4, biases too."""
    agent = kagent.PPO(
        observation_space=SPACES.Box(-1, 1, (3,)), action_space=SPACES.Box(-1, 1, (4,)), head_gain=gain, seed=0,
        network={"type": "mlp", "units": [16]},
    )  # fmt: skip
    kernel, bias = (v.numpy() for v in agent.policy.model.get_layer("mean_0").weights)
    assert agent.head_gain == gain and low < abs(kernel).max() <= high
    assert (abs(bias).max() > 0.01) == (gain == "fan_in") and abs(bias).max() <= high
    if gain != "fan_in":
        np.testing.assert_allclose(np.linalg.norm(kernel, axis=0), high, rtol=1e-4)


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("auto", "auto"),
        ("default", "default"),
        ("tanh", "squashed_gaussian"),
        ({"type": "gaussian", "bounded_transform": "tanh", "stddev_mode": "predicted"}, "squashed_gaussian"),
        ({"type": "normal", "stddev_mode": "predicted"}, {"type": "gaussian", "stddev_mode": "predicted"}),
        ({"type": "tanh", "stddev_mode": "global"}, {"type": "squashed_gaussian", "stddev_mode": "global"}),
        ({"arm": {"type": "Beta"}}, {"arm": "beta"}),
    ],
)
def test_configurations_are_canonical(given, canonical):
    policy = StochasticPolicy(distribution=given, use_beta_distribution=True)
    part = json.loads(json.dumps(policy.get_part(), allow_nan=False))
    assert policy.distribution == part["distribution"] == canonical
    part.pop("type")
    assert StochasticPolicy(**part).get_part() == policy.get_part()


# Agents ----------------------------------------------------------------------------------------------------

AGENTS = {
    "auto": "auto",
    "bernoulli": {"grip": "bernoulli"},
    "beta": {"arm": "beta"},
    "tanh": {"arm": "tanh"},
    "tanh_global": {"arm": {"type": "tanh", "stddev_mode": "global"}},
    "predicted": {"float": {"type": "gaussian", "stddev_mode": "predicted"}},
    "all": {"arm": "beta", "grip": "bernoulli", "free": {"type": "gaussian", "stddev_mode": "predicted"}},
}


def agent(name, space=NESTED, **policy):
    policy = {"type": "stochastic", "distribution": AGENTS[name], **policy}
    return kagent.PPO(
        observation_space=SPACES.Box(-1.0, 1.0, (3,)), action_space=space, policy=policy,
        n_steps=16, batch_size=16, epochs=1, seed=0,
    )  # fmt: skip


def scatter(made, seed=0, size=1.0):
    """Other weights, so that no head is nearly zero."""
    rng = np.random.default_rng(seed)
    for variable in made.policy.trainable_variables:
        variable.assign(rng.normal(0.0, size, variable.shape))
    made.actor.refresh()


@pytest.mark.sensitive
@pytest.mark.parametrize("name", with_few(sorted(AGENTS), ("all", "tanh", "tanh_global")))
def test_learning_and_acting_agree(name):
    """The mean log-probability of what the host samples is minus the entropy; its modes are those of the graph."""
    made = agent(name)
    scatter(made, size=0.15)  # tanh of a wide normal distribution rounds to 1
    assert made.actor.is_numpy
    n = 8000
    observation = np.tile(np.float32([0.3, -0.8, 0.5]), (n, 1))
    parameters = made.policy.parameters_of(observation)
    for head, of_host in zip(parameters, made.actor.forward([observation])):
        np.testing.assert_allclose(head, of_host, rtol=1e-4, atol=1e-5)
    canonical = made.actor.decide([observation])
    for part, own, chosen in zip(made.policy.joint.distributions, made.policy.joint.split(parameters), canonical):
        log_prob = part.log_prob(own, chosen).numpy()
        seed = None if part.has_entropy else tf.constant([1, 2])
        entropy = part.entropy(own, seed).numpy()
        error = math.hypot(log_prob.std(), entropy.std()) / math.sqrt(n)
        assert -log_prob.mean() == pytest.approx(entropy.mean(), abs=6 * error + 1e-5)
    best = made.actor.decide([observation[:4]], deterministic=True)
    for host, graph in zip(best, made.policy.greedy(observation[:4])):
        np.testing.assert_allclose(host, graph, atol=1e-5)
    for host, graph in zip(made.actor.to_env(best), made.policy.joint.to_env(best)):
        np.testing.assert_allclose(host, np.rint(graph) if host.dtype.kind == "i" else graph, atol=1e-5)


@pytest.mark.parametrize("name", with_few(sorted(AGENTS), ("all", "tanh_global")))
def test_agents_come_back(name, tmp_path):
    made = agent(name)
    scatter(made)
    made.save(tmp_path / "agent.keras")
    again, actor = kagent.load(tmp_path / "agent.keras"), kagent.acting.load(tmp_path / "agent.keras", seed=3)
    assert again.get_config() == made.get_config()
    assert [decision.kind for decision in actor.decisions] == [decision.kind for decision in made.actor.decisions]
    observation = np.float32([0.3, -0.8, 0.5])
    for other in (again.act(observation, deterministic=True), actor.act(observation)):
        for key, value in made.act(observation, deterministic=True).items():
            np.testing.assert_allclose(other[key], value, atol=1e-5)


class Middle(gymnasium.Env):
    """One step; the reward is minus the squared distance of a bounded action from 1.2, minus the wrong bits of a key."""

    observation_space = SPACES.Box(-1.0, 1.0, (1,))
    action_space = SPACES.Dict(arm=SPACES.Box(-2.0, 2.0, (1,)), key=SPACES.MultiBinary(2))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        wrong = int(np.sum(action["key"] != [1, 0]))
        return np.zeros(1, np.float32), -float((action["arm"][0] - 1.2) ** 2) - wrong, True, False, {}


LEARNED = [
    ({"arm": "beta", "key": "bernoulli"}, 0.01),
    ({"arm": "tanh"}, 0.003),  # its deviation moves with the observation's layers: larger steps overshoot
    ({"arm": {"type": "tanh", "stddev_mode": "global"}}, 0.01),
]


@pytest.mark.sensitive
@pytest.mark.parametrize(
    ("given", "learning_rate"),
    with_few(LEARNED, LEARNED[:1]),
)
def test_rollouts_are_learned_from(given, learning_rate):
    """A bandit, with enough entropy in the loss that no deviation collapses: the better actions become the likely ones.

    Untrained, the best action is 1.2 away from the right one and an episode pays -3.4.
    """
    made = kagent.PPO(
        Middle, policy={"type": "stochastic", "distribution": given, "head_gain": 0.01}, n_steps=64, batch_size=64,
        epochs=10, learning_rate=learning_rate, entropy_coefficient=0.2, seed=1,
    )  # fmt: skip
    made.compile(jit_compile=False)
    history = made.fit(Middle, steps=1024, steps_per_epoch=256, verbose=0)
    action = made.act(np.zeros(1, np.float32), deterministic=True)
    assert abs(action["arm"][0] - 1.2) < 0.6 and action["key"].tolist() == [1, 0]
    assert history.history["episode_return"][-1] > -1.5
    assert np.isfinite(history.history["entropy"]).all() and np.isfinite(history.history["approx_kl"]).all()
    assert history.history["entropy"][-1] < history.history["entropy"][0]


@pytest.mark.parametrize("kind", [thorough("categorical"), "bernoulli"])
def test_bits_in_agreement_with_their_masks(kind):
    env = Identity(SPACES.MultiBinary(3), masks="info")
    made = kagent.PPO(env, policy={"type": "stochastic", "distribution": kind}, n_steps=32, batch_size=32, seed=0)
    made.compile(jit_compile=False)
    made.fit(env, steps=128, verbose=0)  # the environment refuses what it forbade
    assert made.actor.decisions[0].kind == kind


def test_initial_policies_are_nearly_uniform():
    observation = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    made = agent("all")
    for part, own in zip(
        made.policy.joint.distributions, made.policy.joint.split(made.policy.parameters_of(observation))
    ):
        if isinstance(part, distributions.Categorical):
            np.testing.assert_allclose(tf.nn.softmax(own[0]), 1.0 / 3.0, atol=0.02)
        elif isinstance(part, distributions.Bernoulli):
            np.testing.assert_allclose(tf.sigmoid(own[0]), 0.5, atol=0.02)
        elif isinstance(part, distributions.Beta):
            np.testing.assert_allclose(part.entropy(own), 2 * math.log(2.0), atol=0.2)
        else:
            np.testing.assert_allclose(own[0], 0.0, atol=0.05)
            np.testing.assert_allclose(own[1], 0.0, atol=0.05)


def test_the_initial_deviation_of_predicted_ones():
    made = agent("predicted", BOUNDED, log_std=-1.0)
    _, log_std = made.policy.parameters_of(np.zeros((4, 3), np.float32))
    np.testing.assert_allclose(log_std, -1.0, atol=0.05)
    assert made.actor.is_numpy


def test_distributions_is_another_name():
    policy = {"type": "stochastic", "distributions": {"action": "beta"}}
    made = kagent.PPO("Pendulum-v1", policy=policy, n_steps=16, batch_size=16, seed=0)
    assert made.policy.distribution == {"action": "beta"}
