"""The natural gradient against closed forms, and within agents."""

import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces
from modes import VARIANTS, compiled
from toy_envs import Identity

import kagent
from kagent import ops, optimizers
from kagent.distributions import Categorical, Gaussian, Joint
from kagent.optimizers import NaturalGradient, Problem
from kagent.optimizers.natural_gradient import fisher_product, mean_kl
from kagent.schedules import Clock

MODE = pytest.mark.parametrize("mode", VARIANTS)
# What is compiled is the same graph; where a test takes many of them, XLA's is enough.
ENDS = pytest.mark.parametrize("mode", ["eager", pytest.param("xla", marks=pytest.mark.thorough)])
# Where there are several programs, they are compiled among the thorough tests.
GRAPH = pytest.mark.parametrize(
    "mode",
    [
        "eager",
        pytest.param("graph", marks=pytest.mark.thorough),
        pytest.param("xla", marks=[pytest.mark.thorough, pytest.mark.xla]),
    ],
)
P = np.array([0.5, 0.3, 0.2])
FISHER = np.diag(P) - np.outer(P, P)


class Table:
    """A policy without a network: its distribution's parameters are variables, the same for every observation."""

    def __init__(self, joint, *parameters):
        self.joint = joint
        self.variables = [keras.Variable(np.asarray(p, np.float32)) for p in parameters]

    def parameters_of(self, observation, mask=None):
        rows = tf.shape(observation)[0]
        heads = [tf.repeat(v.value[None], rows, axis=0) for v in self.variables]
        return heads if mask is None else self.joint.mask(heads, mask)


def categorical():
    return Table(Joint([Categorical([3], shape=())]), np.log(P))


def problem_of(policy, loss, **batch):
    batch = {"observation": tf.zeros((4, 1)), **batch}
    return Problem(
        lambda batch: (tf.convert_to_tensor(loss(policy), tf.float32), {}),
        policy.variables,
        batch,
        Clock(),
        None,
        policy,
    )


def linear(slope):
    return lambda policy: tf.reduce_sum(policy.variables[0].value * np.asarray(slope, np.float32))


def stepped(policy, loss, optimizer, mode="eager", **batch):
    optimizer.build(policy.variables)
    problem = problem_of(policy, loss, **batch)
    found = compiled(lambda: optimizer.step(problem)[0], mode)()
    return [v.numpy() for v in policy.variables], float(found)


def kl(old, new):
    old, new = (np.exp(x) / np.exp(x).sum() for x in (old, new))
    return float((old * np.log(old / new)).sum())


# Fisher-vector products ------------------------------------------------------------------------------------


@MODE
@pytest.mark.parametrize("vector", [[1.0, 0.0, 0.0], [0.0, 2.0, -1.0], [1.0, 1.0, 1.0]])
def test_products_of_a_categorical(mode, vector):
    policy = categorical()
    divergence = mean_kl(problem_of(policy, linear([1, 0, 0])))
    variables = [v.value for v in policy.variables]
    found = compiled(lambda v: fisher_product(divergence, variables, v), mode)(tf.constant(vector))
    np.testing.assert_allclose(found, FISHER @ vector, atol=1e-6)


@MODE
def test_products_of_a_gaussian(mode):
    # Fisher information of mean and log deviation: 1 / variance, and 2.
    policy = Table(Joint([Gaussian(shape=(2,))]), [0.3, -1.0], np.log([0.5, 2.0]))
    divergence = mean_kl(problem_of(policy, linear([1, 1])))
    variables = [v.value for v in policy.variables]
    vector = tf.constant([1.0, 2.0, 3.0, 4.0])
    found = compiled(lambda v: fisher_product(divergence, variables, v), mode)(vector)
    np.testing.assert_allclose(found, [4.0, 0.5, 6.0, 8.0], rtol=1e-5)


def test_padding_and_masks_count_as_they_should():
    policy = categorical()
    mask = tf.constant([[True, True, False]] * 2 + [[True] * 3] * 2)
    batch = {"action_mask": [mask], "weight": tf.constant([1.0, 1.0, 0.0, 0.0])}
    divergence = mean_kl(problem_of(policy, linear([1, 0, 0]), **batch))
    found = fisher_product(divergence, [v.value for v in policy.variables], tf.constant([1.0, 0.0, 5.0]))
    q = 0.5 / 0.8
    np.testing.assert_allclose(found, [q * (1 - q), -q * (1 - q), 0.0], atol=1e-6)
    absent = {"action_mask": [tf.zeros((4, 0), tf.bool)]}  # as in a dataset
    assert float(mean_kl(problem_of(policy, linear([1, 0, 0]), **absent))()) == 0.0


# Steps -----------------------------------------------------------------------------------------------------


@MODE
def test_a_step_by_hand(mode):
    # Gaussian of deviation 0.5: F = 4 on the mean, 2 on the logarithm. Loss: mean, and half the logarithm: g = (1, 0.5).
    # d = -(1/4, 1/4), d'Fd = 4/16 + 2/16 = 3/8, length sqrt(2 * 0.06 / (3/8)) = sqrt(0.32).
    policy = Table(Joint([Gaussian(shape=(1,))]), [0.0], np.log([0.5]))
    optimizer = NaturalGradient(0.06, cg_damping=0.0, linesearch_iterations=0, only_positive_updates=False)

    def loss(policy):
        return tf.reduce_sum(policy.variables[0].value) + 0.5 * tf.reduce_sum(policy.variables[1].value)

    # The true KL of that step: a little more than 0.06, so that it takes a shrunk one, too.
    full = np.sqrt(0.32) / 4
    distance, shrinking = full / (0.5 * np.exp(-full)), -full
    true = shrinking + 0.5 * (np.exp(-2 * shrinking) + distance**2 - 1)
    assert true > 0.06
    (mean, log_std), value = stepped(policy, loss, optimizer, mode)
    assert (mean[0], log_std[0]) == (0.0, np.float32(np.log(0.5)))  # refused, and not shrunk
    assert value == pytest.approx(0.5 * np.log(0.5))
    optimizer = NaturalGradient(0.06, cg_damping=0.0, linesearch_iterations=1, linesearch_backtracking=0.75)
    (mean, log_std), _ = stepped(policy, loss, optimizer, mode)
    np.testing.assert_allclose([mean[0], log_std[0]], [-0.75 * full, np.log(0.5) - 0.75 * full], rtol=1e-5)


@pytest.mark.parametrize(
    ("mode", "radius"),
    [("eager", 1e-4), ("eager", 1e-2), ("eager", 0.1), pytest.param("xla", 1e-2, marks=pytest.mark.thorough)],
)
def test_the_radius_is_kept_whatever_the_scale_of_the_loss(mode, radius):
    start, ends = np.log(P), []
    for scale in (1e-12, 1.0, 1e9):
        (end,), _ = stepped(categorical(), linear(scale * np.array([1.0, -1.5, 0.5])), NaturalGradient(radius), mode)
        assert 0.3 * radius < kl(start, end) <= radius * 1.001
        ends.append(end)
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-4)
    np.testing.assert_allclose(ends[2], ends[1], atol=1e-4)


@GRAPH
def test_what_does_not_help_moves_nothing(mode):
    start = np.log(P).astype(np.float32)
    for loss in (
        lambda policy: tf.constant(1.0),  # no gradient
        lambda policy: tf.reduce_sum(policy.variables[0].value) * np.nan,
        # Lower only where its gradient does not point: it rises on both sides.
        lambda policy: tf.reduce_sum(tf.abs(policy.variables[0].value - start) + policy.variables[0].value * 1e-3),
    ):
        optimizer = NaturalGradient(0.01)
        (end,), _ = stepped(categorical(), loss, optimizer, mode)
        np.testing.assert_array_equal(end, start)
        assert int(optimizer.iterations.numpy()) == 0  # a step that is refused is none


@ENDS
def test_the_largest_step_that_helps_is_taken(mode):
    # Along the first logit; beyond 60 % of the full step the loss is a wall. The sequence: 1, 0.75, 0.5625.
    direction = np.array([1.0, -0.5, -0.25])
    free, _ = stepped(categorical(), linear(-direction), NaturalGradient(1e-4), mode)
    full = free[0] - np.log(P)

    def walled(policy):
        moved = policy.variables[0].value - np.log(P).astype(np.float32)
        share = tf.reduce_sum(moved * full) / np.float32((full**2).sum())
        return tf.where(share > 0.6, 1.0, 0.0) - tf.reduce_sum(moved * direction.astype(np.float32))

    (end,), _ = stepped(categorical(), walled, NaturalGradient(1e-4), mode)
    np.testing.assert_allclose(end - np.log(P), 0.5625 * full, atol=2e-6)
    (end,), _ = stepped(categorical(), walled, NaturalGradient(1e-4, linesearch_iterations=1), mode)
    np.testing.assert_array_equal(end, np.log(P).astype(np.float32))
    (end,), _ = stepped(categorical(), walled, NaturalGradient(1e-4, only_positive_updates=False), mode)
    np.testing.assert_allclose(end - np.log(P), full, atol=2e-6)


@GRAPH
def test_a_search_that_fails_may_be_overridden_and_it_tells(mode):
    # Behind a wall everywhere but at the start: with the override, the whole step is taken all the same.
    start, direction = np.log(P).astype(np.float32), np.array([1.0, -0.5, -0.25])

    def walled(policy):
        moved = policy.variables[0].value - start
        return tf.where(tf.reduce_any(moved != 0.0), 1.0, 0.0) - tf.reduce_sum(moved * direction.astype(np.float32))

    (free,), _ = stepped(categorical(), linear(-direction), NaturalGradient(1e-4), mode)
    nan = lambda policy: tf.reduce_sum(policy.variables[0].value) * np.nan  # noqa: E731
    nothing = lambda policy: tf.constant(1.0)  # noqa: E731
    for loss, override, end, accepted in (
        (walled, True, free, 1), (walled, False, start, 0), (nan, True, start, 0), (nothing, True, start, 0)
    ):  # fmt: skip
        policy, optimizer = categorical(), NaturalGradient(1e-4, override_line_search=override)
        optimizer.build(policy.variables)
        problem = problem_of(policy, loss)
        _, told = compiled(lambda: optimizer.step(problem), mode)()  # noqa: B023
        np.testing.assert_allclose(policy.variables[0].numpy(), end, atol=2e-6)
        assert int(optimizer.iterations.numpy()) == int(told["accepted"]) == accepted
        assert float(told["kl_divergence"]) == pytest.approx(
            kl(start, policy.variables[0].numpy()), abs=5e-7
        )  # float32 logarithms
        assert (policy.variables[0].numpy() != start).any() == bool(accepted)


def test_damping_shortens_steps():
    ends = [
        stepped(categorical(), linear([-1.0, 1.5, -0.5]), NaturalGradient(1e-4, cg_damping=d))[0][0]
        for d in (0.0, 0.1, 1.0)
    ]
    divergences = [kl(np.log(P), end) for end in ends]
    assert divergences[0] > divergences[1] > divergences[2] > 0


# As a Keras optimizer --------------------------------------------------------------------------------------


def test_its_config_comes_back():
    optimizer = NaturalGradient(0.02, 5, 0.1, False, 3, 0.5, True, name="mine")
    config = json.loads(json.dumps(keras.optimizers.serialize(optimizer)))
    again = keras.optimizers.deserialize(config)
    assert type(again) is NaturalGradient and again.get_config() == optimizer.get_config()
    assert (again.cg_max_iterations, again.cg_damping, again.only_positive_updates) == (5, 0.1, False)
    assert (again.linesearch_iterations, again.linesearch_backtracking, again.name) == (3, 0.5, "mine")
    assert again.override_line_search is True
    assert float(again.learning_rate.numpy()) == pytest.approx(0.02)
    made, rate = optimizers.get({"type": "natural_gradient", "cg_max_iterations": 3}, "policy")
    assert made.cg_max_iterations == 3 and float(made.learning_rate.numpy()) == pytest.approx(0.01) and rate is None


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"learning_rate": -0.1}, "learning_rate` must be a number at least 0. Received: -0.1"),
        ({"learning_rate": True}, "learning_rate` must be a number at least 0. Received: True"),
        ({"cg_max_iterations": 0}, "`optimizer.cg_max_iterations` must be an integer >= 1. Received: 0"),
        ({"cg_damping": -1.0}, "`optimizer.cg_damping` must be a number at least 0. Received: -1.0"),
        ({"linesearch_iterations": -1}, "linesearch_iterations` must be an integer >= 0. Received: -1"),
        ({"linesearch_backtracking": 1.0}, r"linesearch_backtracking` must be .* in \(0.0, 1.0\), ends excluded"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        NaturalGradient(**arguments)
    with pytest.raises(TypeError, match=r"only_positive_updates` must be True or False. Received: 1"):
        NaturalGradient(only_positive_updates=1)


def test_it_trains_no_model_of_others():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(optimizer=NaturalGradient(0.1), loss="mse")
    with pytest.raises(ValueError, match="NaturalGradient steps by the KL divergence of a policy"):
        model.fit(np.zeros((4, 2)), np.zeros((4, 1)), verbose=0)


# In agents -------------------------------------------------------------------------------------------------


def agent_of(action):
    agent = kagent.Agent(
        observation_space=spaces.Box(-5, 5, (2,)),
        action_space=action,
        policy={"type": "StochasticPolicy", "network": {"type": "mlp", "units": [8], "activation": "tanh"}},
        objective={"type": "policy_gradient", "importance_sampling": True},
        memory={"type": "Rollout", "steps": 8},
        update={"unit": "timesteps", "batch_size": 8, "epochs": 1},
        reward_estimation={"horizon": "episode", "discount": 0.9},
        exploration="sampling",
        optimizer={"type": "natural_gradient"},
        seed=0,
    )
    agent.compile(jit_compile=False)
    return agent


MIXED = spaces.Dict(a=spaces.Discrete(3), b=spaces.Box(-1, 1, (2,)), c=spaces.MultiBinary(2))


@pytest.mark.sensitive
def test_the_bound_holds_for_nested_actions():
    agent = agent_of(MIXED)
    generator = np.random.default_rng(0)
    observation = tf.constant(generator.normal(size=(8, 2)), tf.float32)
    action, log_prob = agent.policy.sample_with_log_prob(
        agent.policy.parameters_of([observation]), tf.constant([1, 2], tf.int32)
    )
    batch = {
        "observation": observation, "action": action, "old_log_prob": log_prob, "return": tf.zeros(8),
        "advantage": tf.constant(generator.normal(size=8), tf.float32), "weight": tf.constant([1.0] * 7 + [0.0]),
    }  # fmt: skip
    step = tf.function(agent.train_step, autograph=False)
    for _ in range(3):
        batch["old_log_prob"] = agent.policy.log_prob(agent.policy.parameters_of([observation]), action)
        old = agent.policy.parameters_of([observation])
        before = float(step(batch)["loss"])
        divergences = agent.policy.joint.kl(old, agent.policy.parameters_of([observation]))
        found = float(ops.weighted_mean(divergences, batch["weight"]))
        assert 0.002 < found <= 0.01 * 1.001
        ratio = agent.policy.log_prob(agent.policy.parameters_of([observation]), action) - batch["old_log_prob"]
        after = float(ops.weighted_mean(-tf.exp(ratio) * batch["advantage"], batch["weight"]))
        assert after < before


def test_regularized_networks_take_part():
    # Penalties of layers and activities, and the agent's own, are in the loss at every evaluation of it.
    penalty = keras.regularizers.L2(0.1)
    network = keras.Sequential(
        [keras.layers.Dense(8, activation="tanh", kernel_regularizer=penalty, activity_regularizer=penalty)]
    )
    policy = {"type": "StochasticPolicy", "network": network}
    agent = bandit_agent(policy=policy, l2_regularization=0.01, optimizer={"type": "natural_gradient"})
    agent.compile(jit_compile=False)
    history = agent.fit(bandit(), steps=32, verbose=0).history
    assert history["regularization_loss"][-1] > 0  # no update is due in the first epoch


def bandit():
    return Identity(spaces.Discrete(3))


def bandit_agent(**changes):
    return kagent.Agent(
        bandit(),
        **{
            "policy": {"type": "StochasticPolicy", "network": {"type": "mlp", "units": [8]}},
            "objective": {"type": "policy_gradient", "importance_sampling": True},
            "memory": {"type": "Rollout", "steps": 16},
            "update": {"unit": "timesteps", "batch_size": 16, "epochs": 1},
            "reward_estimation": {"horizon": "episode", "discount": 0.9},
            "exploration": "sampling",
            "seed": 0,
            **changes,
        },
    )


def test_it_is_for_the_policy_alone():
    spec = {"type": "natural_gradient"}
    with pytest.raises(
        ValueError, match=r"NaturalGradient is for the policy alone.*it for the critic too. Give `critic_"
    ):
        kagent.PPO("CartPole-v1", optimizer=spec)
    with pytest.raises(ValueError, match=r"NaturalGradient is for the policy alone.*the critic"):
        kagent.PPO("CartPole-v1", critic_optimizer=spec)
    with pytest.raises(
        ValueError, match=r"NaturalGradient needs a policy to sample from, a StochasticPolicy.*Received: ValuePolicy"
    ):
        kagent.DQN("CartPole-v1", memory=500, optimizer=spec)
    with pytest.raises(ValueError, match=r"NaturalGradient is for the policy alone.*the temperature"):
        kagent.SAC("Pendulum-v1", memory=500, optimizer=spec, critic_optimizer="adam", temperature_optimizer=None)
    agent = kagent.PPO("CartPole-v1", optimizer={"type": "adam", "multi_step": 3})
    before = agent.optimizer
    with pytest.raises(ValueError, match="NaturalGradient is for the policy alone"):
        agent.compile(optimizer=NaturalGradient(0.01))
    assert agent.optimizer is before and agent.minimizer.modifiers_of(("policy",))  # as it was


def test_compiled_with_it(tmp_path):
    agent = bandit_agent()
    agent.compile(optimizer=NaturalGradient(0.02), jit_compile=False)
    agent.fit(bandit(), steps=32, verbose=0)
    assert int(agent.optimizer.iterations.numpy()) == agent.updates == 2
    agent.save(tmp_path / "agent.keras")
    again = kagent.load(tmp_path / "agent.keras")
    assert type(again.optimizer) is NaturalGradient and again.optimizer.get_config() == agent.optimizer.get_config()
    for a, b in zip(agent.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_its_radius_may_be_scheduled():
    rate = {"type": "linear", "initial": 0.05, "final": 0.0, "steps": 2, "unit": "updates"}
    agent = bandit_agent(optimizer={"type": "natural_gradient", "learning_rate": rate})
    agent.compile(jit_compile=False)
    weights = [agent.get_weights()]
    for _ in range(3):
        agent.fit(bandit(), steps=16, verbose=0)
        weights.append(agent.get_weights())
    moved = [any((a != b).any() for a, b in zip(first, second)) for first, second in itertools.pairwise(weights)]
    assert moved == [True, True, False]  # within 0.05, 0.025, 0
