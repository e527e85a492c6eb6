"""Gradient steps of CrossQ against NumPy, given what the step draws: linear networks behind normalized inputs."""

import numpy as np
import pytest
import tensorflow as tf
from gradient_steps import RATE, SGD, numeric_gradient, tensors
from gymnasium import spaces

import kagent

pytestmark = pytest.mark.eager

GENERATOR = np.random.default_rng(7)
SIZE, EPSILON = 4, 1e-3
BATCH = {
    "observation": GENERATOR.normal(size=(SIZE, 2)),
    "next_observation": GENERATOR.normal(2.0, size=(SIZE, 2)),
    "action": GENERATOR.uniform(-0.9, 0.9, (SIZE, 1)),
    "reward": np.array([1.0, -2.0, 0.5, 4.0]),
    "terminated": np.array([False, True, False, False]),
    "truncated": np.array([False, False, True, False]),
    "weight": np.array([1.0, 2.0, 1.0, 0.0]),
}
NETWORK = {"type": "mlp", "units": [], "normalization": {"type": "batch_renormalization", "momentum": 0.75}}


def agent_of(**changes):
    arguments = {
        "temperature": "auto_0.3",
        "policy_delay": 2,
        "network": NETWORK,
        "memory": 300,
        "temperature_optimizer": SGD,
    }
    agent = kagent.CrossQ(
        observation_space=spaces.Box(-5, 5, (2,)), action_space=spaces.Box(-3, 3, (1,)), discount=0.9,
        optimizer=SGD, critic_optimizer=SGD, seed=4, **{**arguments, **changes},
    )  # fmt: skip
    generator = np.random.default_rng(1)
    for variable in (*agent.policy.trainable_variables, *agent.critic.trainable_variables):
        variable.assign(0.5 * generator.normal(size=variable.shape))
    agent.compile(run_eagerly=True)
    return agent


def of(model):
    """gamma, beta, kernel, bias of the normalization and of the head, and the moving mean and variance."""
    found = {variable.path.rpartition("/")[2]: variable.numpy() for variable in model.variables}
    names = ("gamma", "beta", "kernel", "bias", "moving_mean", "moving_variance")
    return [found[name].astype(np.float64) for name in names]


def q(weights, x, mean, variance):
    gamma, beta, kernel, bias = weights
    return (((x - mean) / np.sqrt(variance + EPSILON) * gamma + beta) @ kernel + bias)[:, 0]


@pytest.mark.parametrize("subset", [None, 1])
def test_one_gradient_step(subset):
    agent = agent_of(subset=subset)
    seeds = tf.random.split(agent.step_seed(), 2)
    policy = agent.policy
    ahead = policy.sample_with_log_prob(policy.parameters_of(tensors(BATCH)["next_observation"]), seeds[0])
    action, log_prob = (x.numpy().astype(np.float64) for x in ahead)
    before = [of(model) for model in agent.critic.models]
    policy_before = [v.numpy() for v in policy.variables]
    logs = agent.train_step(tensors(BATCH))

    now = np.concatenate([BATCH["observation"], BATCH["action"]], axis=1)
    joint = np.concatenate([now, np.concatenate([BATCH["next_observation"], action], axis=1)])
    mean, variance = joint.mean(0), joint.var(0)
    found = [q(weights[:4], joint, mean, variance)[SIZE:] for weights in before]
    candidates = [np.min(found, axis=0)] if subset is None else found
    losses = []
    for value in candidates:
        target = BATCH["reward"] + 0.9 * ~BATCH["terminated"] * (value - 0.3 * log_prob)

        def loss(weights, target=target):
            value = q(weights, joint, mean, variance)[:SIZE]
            return np.average(0.5 * (target - value) ** 2, weights=BATCH["weight"])

        losses.append(([loss(w[:4]) for w in before], [numeric_gradient(loss, w[:4]) for w in before]))
    totals = [sum(each) for each, _ in losses]
    drawn = int(np.argmin([abs(total - float(logs["critic_loss"])) for total in totals]))
    assert float(logs["critic_loss"]) == pytest.approx(totals[drawn], rel=1e-4)
    for model, weights, gradient in zip(agent.critic.models, before, losses[drawn][1], strict=True):
        *after, moving_mean, moving_variance = of(model)
        for new, old, slope in zip(after, weights[:4], gradient, strict=True):
            np.testing.assert_allclose(new, old - RATE * slope, atol=1e-5)
        # Of the joint batch, once: what the policy's loss reads moves nothing.
        np.testing.assert_allclose(moving_mean, 0.25 * mean, rtol=1e-5)
        np.testing.assert_allclose(moving_variance, 0.75 + 0.25 * variance, rtol=1e-5)
    # The policy rests in the first of two steps, its moving statistics too, and so does the temperature.
    for variable, value in zip(policy.variables, policy_before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert float(agent.temperature.logarithm) == pytest.approx(np.log(0.3))


def test_the_policy_climbs_critics_of_moving_statistics():
    agent = agent_of(policy_delay=1)
    generator = np.random.default_rng(2)
    for model in agent.critic.models:
        for variable in model.non_trainable_variables:
            if variable.shape:
                variable.assign(generator.uniform(0.5, 2.0, variable.shape))
    policy = agent.policy
    seed = tf.random.split(agent.step_seed(), 2)[1]
    agent.critic.trainable = False  # it stays as it is, with its statistics
    x = BATCH["observation"]
    shown = {v.path.partition("/")[2]: v.numpy().astype(np.float64) for v in policy.variables}
    normal = (x - x.mean(0)) / np.sqrt(x.var(0) + EPSILON) * shown["normalization/gamma"] + shown["normalization/beta"]
    heads = [normal @ shown[f"{name}_0/kernel"] + shown[f"{name}_0/bias"] for name in ("mean", "log_std")]
    action, log_prob = policy.sample_with_log_prob([tf.constant(h, tf.float32) for h in heads], seed)
    inputs = np.concatenate([x, action], axis=1)
    value = np.min([q(w[:4], inputs, w[4], w[5]) for w in map(of, agent.critic.models)], axis=0)
    logs = agent.train_step(tensors(BATCH))
    expected = np.average(0.3 * log_prob.numpy() - value, weights=BATCH["weight"])
    assert float(logs["policy_loss"]) == pytest.approx(expected, rel=1e-4)
    moved = {v.path.partition("/")[2]: v.numpy() for v in policy.variables}
    np.testing.assert_allclose(moved["normalization/moving_mean"], 0.25 * x.mean(0), rtol=1e-5)
    assert float(agent.temperature.logarithm) != pytest.approx(np.log(0.3), abs=1e-4)


def test_errors_of_samples_are_those_of_critics_in_inference():
    agent = agent_of(memory={"type": "prioritized", "capacity": 300})
    batch = agent.reward_estimation.completed(tensors(BATCH), agent.clock)
    term = agent.objective.terms(agent.learning_context, batch)[0]
    action, log_prob = (np.asarray(term.batch[name], np.float64) for name in ("next_action", "next_log_prob"))
    critics = [of(model) for model in agent.critic.models]
    errors = term.errors(term.batch)
    ahead, now = (
        [q(w[:4], np.concatenate(x, axis=1), 0.0, 1.0) for w in critics]
        for x in ([BATCH["next_observation"], action], [BATCH["observation"], BATCH["action"]])
    )
    target = BATCH["reward"] + 0.9 * ~BATCH["terminated"] * (np.min(ahead, axis=0) - 0.3 * log_prob)
    np.testing.assert_allclose(errors, np.mean([abs(target - x) for x in now], axis=0), rtol=1e-4)
    for model, weights in zip(agent.critic.models, critics):
        for one, other in zip(of(model), weights):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy_delay": 0}, "`objective.policy_delay` must be an integer >= 1. Received: 0"),
        ({"subset": 3}, r"`objective.subset` must be at most critic.members=2, of which it is drawn. Received: 3"),
    ],
)
def test_arguments_outside_their_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        agent_of(**arguments)


@pytest.mark.parametrize("when", ["early", False])
def test_targets_are_read_when_they_are_learned(when):
    estimation = {"discount": 0.9, "estimate_horizon": when}
    with pytest.raises(ValueError, match=f"estimate_horizon` must be 'late' or None. Received: {when!r}"):
        kagent.CrossQ("Pendulum-v1", memory=300, reward_estimation=estimation)


def test_networks_by_default_and_as_given():
    def normalized(network):
        return getattr(network, "normalization", None)

    agent = kagent.CrossQ("Pendulum-v1", memory=300)
    assert (agent.network.units, agent.critic_network.units) == ((256, 256), (1024, 1024))
    assert normalized(agent.network) == normalized(agent.critic_network) == "batch_renormalization"
    agent = kagent.CrossQ("Pendulum-v1", memory=300, network={"units": [8]})
    assert agent.network.units == agent.critic_network.units == (8,)
    agent = kagent.CrossQ("Pendulum-v1", memory=300, network=[{"type": "dense", "size": 8}])
    assert type(agent.network).__name__ == type(agent.critic_network).__name__ == "Layered"


def test_a_fixed_temperature_has_no_learning_rate():
    assert agent_of(temperature=0.5, temperature_optimizer=None).temperature_learning_rate is None
    message = "`temperature_learning_rate` is of a learned temperature.*Received: 0.25 and a fixed temperature"
    with pytest.raises(ValueError, match=message):
        kagent.CrossQ("Pendulum-v1", memory=300, temperature=0.5, temperature_learning_rate=0.25)
