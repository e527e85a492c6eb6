"""The parts without weights: update, exploration, reward estimation, target, optimizers."""

from __future__ import annotations

import dataclasses
import math

import keras
import numpy as np
import pytest

import kagent
from kagent import EpsilonGreedy, RewardEstimation, Sampling, Update, exploration, optimizers, reward_estimation, update
from kagent.optimizers import RoleOptimizer, Target
from kagent.schedules import Clock, Linear

WRONG_COUNTS = [0, -1, 1.5, True, "4", math.nan]


# Update ----------------------------------------------------------------------------------------------------


def test_updates_in_their_forms():
    assert update.get(16) == update.get(np.int64(16)) == Update(batch_size=16)
    given = {"unit": "timesteps", "batch_size": 8, "frequency": 4, "start": 100}
    assert update.get(given) == update.get({"type": "update", **given}) == Update(**given)
    made = Update(batch_size=np.int64(8), epochs=np.int32(3))
    assert (made.steps, made.epochs) == (None, 3) and type(made.batch_size) is type(made.epochs) is int
    assert Update().steps == 1 and update.get(made) is made
    assert update.get(update.UPDATES.serialize(made)) == made
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.batch_size = 3


@pytest.mark.parametrize("name", ["batch_size", "steps", "epochs", "start"])
@pytest.mark.parametrize("wrong", WRONG_COUNTS)
def test_updates_count(name, wrong):
    if name == "start" and wrong == 0 and wrong is not False:
        assert Update(start=0).start == 0
        return
    with pytest.raises(ValueError, match=rf"`update.{name}` must be an integer >= \d. Received: "):
        Update(**{name: wrong})


def test_updates_refuse_what_excludes_each_other():
    with pytest.raises(ValueError, match=r"steps or epochs, not both. Received: 2, 3"):
        Update(steps=2, epochs=3)
    with pytest.raises(ValueError, match=r"`update.unit` must be 'timesteps' or 'episodes'. Received: 'updates'"):
        Update(unit="updates")
    for wrong in (True, None, 1.5):
        with pytest.raises(TypeError, match="`update`"):
            update.get(wrong)


# Exploration -----------------------------------------------------------------------------------------------


class Chooser:
    """An actor that always means action 7, and draws 0, 1, 2 ... at random."""

    def __init__(self):
        self.asked = []

    def decide(self, leaves, masks=None, deterministic=False, rng=None):
        self.asked.append(("decide", masks, deterministic))
        return [np.full(len(leaves[0]), 7), np.full((len(leaves[0]), 2), 70)]

    def random(self, count, rng=None, masks=None):
        self.asked.append(("random", masks))
        return [np.arange(count), np.arange(2 * count).reshape(count, 2)]


def test_epsilon_by_hand():
    epsilon = EpsilonGreedy(initial=1.0, final=0.2, fraction=0.5)
    for progress, value in ((0.0, 1.0), (0.125, 0.8), (0.25, 0.6), (0.5, 0.2), (0.75, 0.2), (1.0, 0.2)):
        assert math.isclose(epsilon.epsilon(Clock(progress=progress, timesteps=10**6)), value)
    epsilon = EpsilonGreedy(initial=0.5, final=0.1, steps=100)
    for timesteps, value in ((0, 0.5), (25, 0.4), (100, 0.1), (10**7, 0.1)):
        assert math.isclose(epsilon.epsilon(Clock(timesteps=timesteps, progress=1.0)), value)
    assert EpsilonGreedy(0.5, 0.25, fraction=0.0).epsilon(Clock()) == 0.25
    assert EpsilonGreedy() == EpsilonGreedy(1.0, 0.05, 0.1, None)


@pytest.mark.sensitive
@pytest.mark.parametrize("count", [1, 5])
def test_epsilon_is_how_often_actions_are_random(count):
    rng, actor, leaves = np.random.default_rng(0), Chooser(), [np.zeros((count, 3))]
    for epsilon in (0.0, 0.3, 1.0):
        policy, tried = EpsilonGreedy(epsilon, epsilon), 0
        for _ in range(2000):
            first, second = policy.decide(actor, leaves, None, Clock(), rng)
            at_random = first != 7
            tried += at_random.sum()
            # A row is random in all its leaves, or in none.
            np.testing.assert_array_equal(first, np.where(at_random, np.arange(count), 7))
            np.testing.assert_array_equal(second[:, 0], np.where(at_random, 2 * np.arange(count), 70))
        share = tried / (2000 * count)
        assert share == epsilon if epsilon in (0, 1) else abs(share - epsilon) < 6 * math.sqrt(0.21 / 2000 / count)


@pytest.mark.parametrize("count", [1, 5])
def test_masks_are_handed_on(count):
    actor, leaves, masks, rng = Chooser(), [np.zeros((count, 3))], [object()], np.random.default_rng(0)
    for epsilon in (0.0, 1.0):
        EpsilonGreedy(epsilon, epsilon).decide(actor, leaves, masks, Clock(), rng)
    assert actor.asked == [("decide", masks, True), ("random", masks)]  # greedy where it is not random
    actor.asked.clear()
    policy = Sampling(random_steps=10)
    for timesteps in (0, 9, 10, 11):
        policy.decide(actor, leaves, masks, Clock(timesteps=timesteps), rng)
    assert actor.asked == [("random", masks)] * 2 + [("decide", masks, False)] * 2


def test_explorations_in_their_forms():
    assert exploration.get(0.25) == EpsilonGreedy(0.25, 0.25) and exploration.get(np.float32(0.5)) == EpsilonGreedy(
        0.5, 0.5
    )
    assert exploration.get({"type": "epsilon_greedy", "steps": 50}) == EpsilonGreedy(steps=50)
    assert (
        exploration.get("sampling") == Sampling()
        and exploration.get({"type": "Sampling", "random_steps": 3}).random_steps == 3
    )
    made = EpsilonGreedy(0.5, np.float32(0.25), 0.75, 9)
    assert exploration.get(made) is made and exploration.get(exploration.EXPLORATIONS.serialize(made)) == made


@pytest.mark.parametrize("name", ["initial", "final", "fraction"])
@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan, None, "1", True])
def test_epsilon_is_a_probability(name, wrong):
    with pytest.raises((TypeError, ValueError), match=rf"`exploration.{name}` must be .*Received: "):
        EpsilonGreedy(**{name: wrong})


@pytest.mark.parametrize("name", ["initial", "final", "fraction"])
@pytest.mark.parametrize("schedule", [Linear(1.0, 0.0), {"type": "Linear", "initial": 1.0, "final": 0.0}])
def test_epsilon_has_its_own_schedule(name, schedule):
    with pytest.raises((TypeError, ValueError), match=rf"`exploration.{name}`"):
        EpsilonGreedy(**{name: schedule})


@pytest.mark.parametrize("wrong", [0, -5, math.nan])
def test_epsilon_takes_some_steps(wrong):
    with pytest.raises(ValueError, match=r"`exploration.steps` must be > 0. Received: "):
        EpsilonGreedy(steps=wrong)


@pytest.mark.parametrize("wrong", [-1, 1.5, "3", None])
def test_random_steps_are_counted(wrong):
    with pytest.raises(ValueError, match=r"`exploration.random_steps` must be an integer >= 0. Received: "):
        Sampling(random_steps=wrong)


# Reward estimation -----------------------------------------------------------------------------------------


def test_reward_estimations_in_their_forms():
    assert reward_estimation.get({"discount": 0.5}) == RewardEstimation(discount=0.5)
    made = RewardEstimation(discount=np.float32(0.5), gae_lambda=1)
    assert (made.discount, made.gae_lambda) == (0.5, 1.0) and type(made.discount) is type(made.gae_lambda) is float
    assert RewardEstimation().gae_lambda is None and reward_estimation.get(made) is made
    assert reward_estimation.get(reward_estimation.REWARD_ESTIMATIONS.serialize(made)) == made


@pytest.mark.parametrize("name", ["discount", "gae_lambda", "return_lambda"])
@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan])
def test_discounts_are_from_0_to_1(name, wrong):
    with pytest.raises(ValueError, match=rf"`reward_estimation.{name}` must be in \[0.0, 1.0\]. Received: "):
        RewardEstimation(**{name: wrong})


@pytest.mark.parametrize("wrong", ["0.9", True, None])
def test_discounts_are_numbers_or_schedules(wrong):
    with pytest.raises(TypeError, match=r"`reward_estimation.discount` must be a number or a schedule .*Received: "):
        RewardEstimation(discount=wrong)


# Target ----------------------------------------------------------------------------------------------------


def test_targets_in_their_forms():
    assert optimizers.TARGETS.get({"type": "target", "tau": 0.5, "period": 3}) == Target(0.5, 3, "updates")
    made = Target(np.float32(0.25), np.int64(3), "timesteps")
    assert optimizers.TARGETS.get(optimizers.TARGETS.serialize(made)) == made
    for tau in (0, -0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"`tau` must be in \(0, 1\], or a schedule. Received: "):
            Target(tau=tau)
    for period in WRONG_COUNTS:
        with pytest.raises(
            ValueError, match=r"`target_update_period` must be an integer >= 1, or a schedule. Received: "
        ):
            Target(period=period)
    with pytest.raises(ValueError, match=r"`target.unit` must be 'timesteps' or 'updates'. Received: 'episodes'"):
        Target(unit="episodes")


@pytest.mark.parametrize("wrong", [0, 0.0, "", [], "targets", 3.5])
def test_a_target_that_is_none_is_said(wrong):
    with pytest.raises((TypeError, ValueError), match=r"`target`.*Received: "):
        kagent.DQN("CartPole-v1", memory=500, target=wrong)


# Optimizers ------------------------------------------------------------------------------------------------

Adam, SGD = keras.optimizers.Adam, keras.optimizers.SGD


def test_optimizers_in_their_forms():
    for identifier, kind, rate in (
        ("adam", Adam, 1e-3), ("SGD", SGD, 1e-3), (0.25, Adam, 0.25), (np.float32(0.25), Adam, 0.25), (1, Adam, 1.0),
        ({"type": "rmsprop", "learning_rate": 0.125}, keras.optimizers.RMSprop, 0.125),
        ({"type": "Adam", "learning_rate": np.float64(0.5), "epsilon": 1e-8}, Adam, 0.5),
    ):  # fmt: skip
        optimizer, schedule = optimizers.get(identifier, "critic")
        assert isinstance(optimizer, kind) and schedule is None and optimizer.name == "critic"
        assert math.isclose(float(optimizer.learning_rate.numpy()), rate, rel_tol=1e-6)
    given = SGD(0.5, momentum=0.25, name="mine")
    assert optimizers.get(given, "critic") == (given, None)
    config = optimizers.serialize(given)
    text = repr(config)
    again, _ = optimizers.get(config, "critic")
    assert type(again) is SGD and again.get_config() == given.get_config() and repr(config) == text


def test_learning_rates_may_be_schedules():
    linear = Linear(0.5, 0.25)
    for rate in (linear, {"type": "linear", "initial": 0.5, "final": 0.25}):
        optimizer, schedule = optimizers.get({"type": "Adam", "learning_rate": rate}, "policy")
        assert schedule == linear and float(optimizer.learning_rate.numpy()) == 0.5
    config = optimizers.serialize({"type": "Adam", "learning_rate": linear, "epsilon": np.float32(0.5)})
    assert config["learning_rate"] == {
        "type": "Linear",
        "initial": 0.5,
        "final": 0.25,
        "steps": None,
        "unit": "progress",
    }
    assert type(config["epsilon"]) is float and optimizers.get(config, "policy")[1] == linear


def test_clipping_is_a_default():
    assert optimizers.get("adam", "policy", clip=0.5)[0].global_clipnorm == 0.5
    assert optimizers.get({"type": "adam", "global_clipnorm": 2.0}, "policy", clip=0.5)[0].global_clipnorm == 2.0


@pytest.mark.parametrize(
    "identifier, error, message",
    [
        ("adamm", ValueError, r"Unknown `optimizer`. Received: 'adamm'. Known: Adadelta, .*Adam, .*SGD"),
        ({"type": "optimizer"}, ValueError, "Unknown `optimizer`"),
        ({"type": 3}, ValueError, r"Unknown `optimizer`. Received: 3"),
        ({"type": "Adam", "beta": 3}, ValueError, r"`optimizer` Adam of 'policy' refuses its arguments.*beta"),
        (
            {"type": "Adam", "learning_rate": -1.0},
            ValueError,
            r"`learning_rate` must be in \[0.0, inf\). Received: -1.0",
        ),
        (
            {"type": "Adam", "learning_rate": "1e-3"},
            TypeError,
            r"`learning_rate` must be a number or a schedule.*Received: '1e-3'",
        ),
        ({"learning_rate": 1.0}, TypeError, r"a dict with 'type'. Received: "),
        (True, TypeError, "Received: True"),
        (None, TypeError, "Received: None"),
        ([Adam()], TypeError, "Received: "),
        (-0.5, ValueError, "`learning_rate` must be in"),
    ],
)
def test_wrong_optimizers_are_named(identifier, error, message):
    with pytest.raises(error, match=message):
        optimizers.get(identifier, "policy")


@keras.saving.register_keras_serializable("test_parts")
class Halved(SGD):
    pass


def test_a_registered_optimizer_of_the_users_own_is_known():
    optimizer, _ = optimizers.get({"type": "test_parts>Halved", "learning_rate": 0.5}, "policy")
    assert type(optimizer) is Halved and float(optimizer.learning_rate.numpy()) == 0.5


def test_role_optimizers_route_by_role_and_come_back():
    variables = {role: [keras.Variable(np.ones(2, np.float32))] for role in ("policy", "critic", "temperature")}
    optimizer = RoleOptimizer(policy=SGD(1.0, name="p"), critic=SGD(0.5, name="c"))
    optimizer.bind(variables)
    flat = [v for group in variables.values() for v in group]
    optimizer.build(flat)
    optimizer.apply([np.ones(2, np.float32)] * 3, flat)
    assert [float(v.numpy()[0]) for v in flat] == [0.0, 0.5, 0.0]  # the policy's serves the temperature
    again = RoleOptimizer.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    whole = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(whole) is RoleOptimizer and whole.role_map.of("critic").name == "c"
    assert whole.role_map.of("temperature") is whole.role_map.of("policy")


def test_an_agents_attributes_are_those_of_its_parts():
    agent = kagent.DQN("CartPole-v1", memory=100, seed=0)
    parts = agent.parts
    assert parts.serialize().items() <= agent.get_config().items()
    for name in (
        "objective",
        "policy",
        "update_rule",
        "reward_estimation",
        "memory",
        "exploration",
        "explorer",
        "target",
    ):
        assert getattr(agent, name) is getattr(parts, name)
    other = dataclasses.replace(agent.objective, huber=2.0)
    agent.objective = other
    assert parts.objective is other and agent.get_config()["objective"]["huber"] == agent.huber == 2.0
    assert kagent.Agent.memory.name == "memory"
