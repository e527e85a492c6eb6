"""Keras's schedules wherever kagent's are taken."""

from __future__ import annotations

import json
import math

import keras
import pytest
from clocks import compiled, on_host, on_tensors, tensors

from kagent import objectives, optimizers, schedules
from kagent.config.registry import plain
from kagent.schedules import SCHEDULES, Clock

K = keras.optimizers.schedules
KERAS = [
    K.ExponentialDecay(0.5, 100, 0.9, staircase=True),
    K.PiecewiseConstantDecay((100, 110), (1.0, 0.5, 0.25)),
    K.PolynomialDecay(0.5, 100, 0.1, power=0.5, cycle=True),
    K.InverseTimeDecay(0.5, 10.0, 0.5),
    K.CosineDecay(0.0, 100, alpha=0.1, warmup_target=0.5, warmup_steps=20),
    K.CosineDecayRestarts(0.5, 30, t_mul=1.5, m_mul=0.5),
]


@keras.saving.register_keras_serializable("test_keras_schedule")
class Stairs(K.LearningRateSchedule):
    def __init__(self, height=0.5):
        self.height = height

    def __call__(self, step):
        return self.height * keras.ops.cast(step, "float32")

    def get_config(self):
        return {"height": self.height}


class Unregistered(Stairs):
    pass


class Unsaved(K.LearningRateSchedule):
    def __call__(self, step):
        return 0.25


@pytest.mark.parametrize("given", KERAS, ids=lambda given: type(given).__name__)
def test_keras_schedules_count_updates_and_come_back(given):
    schedule = schedules.get(given, "rate", 0.0, 1.0)
    for updates in (0, 1, 19, 20, 99, 100, 101, 111, 10**6):
        value = schedule(Clock(timesteps=3, episodes=5, updates=updates, progress=0.5))
        assert value == float(given(updates)) and type(value) is float
        assert math.isclose(on_tensors(schedule, updates), value, rel_tol=1e-5, abs_tol=1e-7), updates
    config = plain(given)
    assert json.loads(json.dumps(config, allow_nan=False)) == config == SCHEDULES.serialize(schedule) == plain(schedule)
    assert config["class_name"] == type(given).__name__ and config["config"].items() >= {"name": given.name}.items()
    again = schedules.get(config, "rate")
    assert again == schedule and hash(again) == hash(schedule) and on_host(again, 77) == on_host(schedule, 77)
    assert schedules.start_of(schedule) == float(given(0)) == schedules.evaluate(schedule, Clock())


@pytest.mark.thorough
def test_they_compile():
    program = compiled(*map(schedules.get, KERAS))
    for updates in (0, 15, 50, 105, 1000):
        for given, value in zip(KERAS, program(updates)):
            assert math.isclose(value, float(given(updates)), rel_tol=1e-5, abs_tol=1e-7), (given.name, updates)


def test_others_differ():
    one, two = (schedules.get(K.PolynomialDecay(0.5, steps)) for steps in (10, 20))
    assert one != two and one != schedules.get(KERAS[0]) and one == schedules.get(K.PolynomialDecay(0.5, 10))
    assert repr(one).startswith("PolynomialDecay(initial_learning_rate=0.5, decay_steps=10, ")


@pytest.mark.parametrize(
    "given, low, high",
    [
        (K.PiecewiseConstantDecay([77, 78], [0.5, 2.0, 0.5]), 0.5, 2.0),  # only at update 78
        (K.PiecewiseConstantDecay([2**31], [0.5, 2.0]), 0.5, 2.0),  # only after all the powers of four
        (K.PolynomialDecay(0.5, 77, -0.25), -0.25, 0.5),
        (K.CosineDecay(0.125, 100, warmup_target=2.0, warmup_steps=33), 0.0, 2.0),
        (K.ExponentialDecay(0.5, 1000, 0.5), 0.0, 0.5),
        (K.PolynomialDecay(0.5, 2**40, -0.25), -0.25, 0.5),
    ],
)
def test_their_range_is_checked_where_they_turn(given, low, high):
    assert schedules.get(given, "rate", low - 1e-6, high + 1e-6)
    with pytest.raises(ValueError, match=rf"`rate` must be in \[.*, inf\). Received: {type(given).__name__}\("):
        schedules.get(given, "rate", low + 1e-3)
    with pytest.raises(ValueError, match=r"`rate` must be in \(-inf, .*\]. Received: .*with values in"):
        schedules.get(given, "rate", maximum=high - 1e-3)


def test_registered_classes_are_known_and_others_are_not():
    schedule = schedules.get(Stairs(0.25))
    config = plain(schedule)
    assert config["registered_name"] == "test_keras_schedule>Stairs" and schedules.get(config) == schedule
    assert on_host(schedules.get({"class_name": "test_keras_schedule>Stairs", "config": {"height": 2.0}}), 3) == 6.0
    for refused in (Unregistered(), schedules.get(Unregistered())):
        with pytest.raises(ValueError, match=r"Unregistered is not registered.*register_keras_serializable"):
            plain(refused)
    with keras.saving.custom_object_scope({"Mine": Stairs}):
        assert on_host(schedules.get({"class_name": "Mine", "config": {}}), 4) == 2.0


def test_schedules_without_a_configuration_are_used_but_not_saved():
    schedule = schedules.get(Unsaved(), "rate", 0.0)
    assert on_host(schedule, 5) == on_tensors(schedule, 5) == 0.25 and repr(schedule) == "Unsaved()"
    assert schedule == schedules.get(schedule.schedule) != schedules.get(Unsaved())
    with pytest.raises(NotImplementedError, match="get_config"):
        plain(schedule)


@pytest.mark.parametrize(
    "config",
    [
        {"class_name": "Adam", "config": {}},
        {"class_name": "LearningRateSchedule", "config": {}},
        {"class_name": "deserialize", "config": {}},
        {"class_name": "system", "config": {}, "module": "os", "registered_name": "system"},
        {"class_name": "CosineDecay", "config": {}, "module": "os", "registered_name": "somewhere>CosineDecay"},
        {"class_name": "Dense", "module": "keras.layers", "config": {"units": 3}, "registered_name": None},
        {"class_name": "function", "module": "builtins", "config": "eval", "registered_name": "function"},
        {"class_name": "__lambda__", "config": {"value": "x"}},
        {"class_name": ["CosineDecay"], "config": {}},
        {"class_name": None, "config": {}},
        {"class_name": "kagent>DQN", "config": {}},
    ],
)
def test_nothing_else_is_made(config):
    with pytest.raises(
        ValueError, match=r"`rate`: Unknown Keras schedule. Received: .*. Known: CosineDecay, Cos.*, and"
    ):
        schedules.get(config, "rate")


def test_wrong_configurations_are_named():
    with pytest.raises(ValueError, match=r"`rate`: CosineDecay refuses its config: .*'speed'"):
        schedules.get({"class_name": "CosineDecay", "config": {"speed": 1}}, "rate")
    with pytest.raises(ValueError, match=r"`rate`: CosineDecay refuses its config: .*decay_steps.*> 0"):
        schedules.get({"class_name": "CosineDecay", "config": {"initial_learning_rate": 1, "decay_steps": 0}}, "rate")
    for config in (None, [1], "x"):
        with pytest.raises(ValueError, match=r"`rate`: `config` of a Keras schedule must be a dict. Received: "):
            schedules.get({"class_name": "CosineDecay", "config": config}, "rate")
    strange = {"class_name": "CosineDecay", "config": {"initial_learning_rate": "fast", "decay_steps": 5}}
    with pytest.raises(ValueError, match=r"`rate`: CosineDecay\(initial_learning_rate='fast'.* cannot be evaluated: "):
        schedules.get(strange, "rate")
    with pytest.raises(ValueError, match=r"`rate` must be in \(-inf, inf\). Received: Stairs\(height=nan\)"):
        schedules.get(Stairs(math.nan), "rate")


def test_optimizers_and_objectives_take_them():
    decay = K.PolynomialDecay(0.5, 10, 0.25)
    given = {"type": "Adam", "learning_rate": decay}
    optimizer, schedule = optimizers.get(given, "policy")
    assert float(optimizer.learning_rate.numpy()) == 0.5 and on_host(schedule, 10) == 0.25
    config = json.loads(json.dumps(optimizers.serialize(given)))
    assert (
        config["learning_rate"]["class_name"] == "PolynomialDecay" and optimizers.get(config, "policy")[1] == schedule
    )
    assert optimizers.get({"type": "Adam", "learning_rate": config["learning_rate"]}, "policy")[1] == schedule

    objective = objectives.get({"type": "ppo", "clip_range": decay, "entropy_coefficient": {"type": "random",
                                "distribution": "uniform", "maxval": 0.01, "unit": "updates"}})  # fmt: skip
    assert on_host(objective.clip_range, 5) == 0.375
    config = json.loads(json.dumps(objectives.OBJECTIVES.serialize(objective)))
    assert config["clip_range"] == plain(decay) and objectives.get(config) == objective
    with pytest.raises(ValueError, match=r"`objective.clip_range` must be in \[0.0, inf\)"):
        objectives.get({"type": "ppo", "clip_range": K.PolynomialDecay(0.5, 10, -0.25)})


def test_a_keras_schedule_reaches_the_optimizer_and_comes_back_with_the_agent(small):
    decay = K.PiecewiseConstantDecay([5, 10], [0.5, 0.25, 0.125])
    agent = small("dqn", learning_rate=decay)
    rates = [float(agent.optimizer.learning_rate)]
    for updates in (5, 6, 11):
        agent._clock.program = tensors(Clock(updates=updates))  # as in the learner
        agent.minimizer.assign_learning_rates(agent.clock)
        rates.append(float(agent.optimizer.learning_rate))
    agent._clock.program = None
    assert rates == [0.5, 0.5, 0.25, 0.125]
    config = json.loads(json.dumps(agent.get_config()))
    again = type(agent).from_config(config)
    assert again.minimizer.rates[0][1] == schedules.get(decay) and again.get_config() == agent.get_config()
