"""What all schedules have in common: units, host and learner, configurations, examples."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import json
import math
import pkgutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from clocks import compiled, on_host, on_tensors, tensors
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent import schedules
from kagent.config.registry import plain
from kagent.schedules import (
    SCHEDULES,
    Clock,
    Constant,
    Cosine,
    Exponential,
    Interval,
    InverseTime,
    Linear,
    NaturalExponential,
    OrnsteinUhlenbeck,
    Piecewise,
    Polynomial,
    Random,
    Schedule,
)

EVERY = {
    "constant": Constant(0.3),
    "linear": Linear(1.0, 0.1, 700, "updates"),
    "exponential": Exponential(1.0, 0.1, 700, "updates"),
    "rate": Exponential(1.0, decay_rate=0.3, steps=70, unit="updates"),
    "stairs": Exponential(1.0, decay_rate=1.01, steps=70, unit="updates", staircase=True),
    "polynomial": Polynomial(0.1, 1.0, 700, "updates", power=2.5),
    "cycles": Polynomial(1.0, 0.1, 70, "updates", power=0.5, cycle=True),
    "cosine": Cosine(1.0, 0.1, 700, "updates"),
    "inverse time": InverseTime(1.0, 0.7, 30, "updates"),
    "inverse stairs": InverseTime(1.0, 0.7, 30, "updates", staircase=True),
    "natural": NaturalExponential(1.0, 0.7, 30, "updates"),
    "natural stairs": NaturalExponential(0.1, 0.7, 30, "updates", staircase=True),
    "interval": Interval(Linear(1.0, 0.1, 700, "updates"), start=90, stop=500, minimum=0.3),
    "piecewise": Piecewise([3, 70, 900], [0.1, 0.7, 1, 0.3], "updates"),
    "normal": Random("normal", 0.1, 0.3, minval=-0.5, maxval=0.5, unit="updates", seed=2**63 + 5),
    "uniform": Random("uniform", minval=0.1, maxval=0.7, unit="updates", seed=3),
    "wandering": OrnsteinUhlenbeck(0.15, 0.1, -0.05, absolute=True, maxval=0.2, unit="updates", seed=4),
}
MODULES = [f"kagent.schedules.{module.name}" for module in pkgutil.iter_modules(schedules.__path__)]


@pytest.fixture(scope="module")
def program():
    return compiled(*EVERY.values())


def test_every_schedule_is_examined_here():
    assert {type(schedule).__name__ for schedule in EVERY.values()} == set(SCHEDULES.names)


@pytest.mark.thorough
@settings(max_examples=25, deadline=None)
@given(time=st.one_of(st.integers(0, 1000), st.integers(0, 2**31), st.integers(0, 2**53)))
def test_the_learner_computes_what_the_host_computes(program, time):
    for (name, schedule), learned in zip(EVERY.items(), program(time)):
        host = on_host(schedule, time)
        with np.errstate(over="ignore"):  # growth leaves float32 before it leaves Python's floats
            assert math.isclose(np.float32(host), learned, rel_tol=2**-23, abs_tol=1e-38), name  # a bit of float32
        low, high = schedule.bounds
        assert low - 1e-9 <= host <= high + 1e-9, name


@pytest.mark.parametrize("unit", schedules.UNITS)
def test_every_unit_reads_its_own_clock(unit):
    clock = Clock(timesteps=10, episodes=20, updates=30, progress=0.4)
    steps = 1.0 if unit == "progress" else 100
    expected = {"timesteps": 0.1, "episodes": 0.2, "updates": 0.3, "progress": 0.4}[unit]
    assert math.isclose(Linear(0, 1, steps, unit)(clock), expected)
    assert math.isclose(float(Linear(0, 1, steps, unit)(tensors(clock))), expected, rel_tol=1e-6)
    boundary = 0.35 if unit == "progress" else 25
    assert Piecewise([boundary], [1, 2], unit)(clock) == (2.0 if unit in ("progress", "updates") else 1.0)


def test_large_counts_are_exact():
    # Past 2**31, and where float32 has long run out of integers.
    start, steps = 2**31 - 10, 2**33
    schedule = Linear(0.0, float(steps), steps, "timesteps")
    values = [schedule(Clock(timesteps=start + i)) for i in range(20)]
    assert values == [float(start + i) for i in range(20)]
    piecewise = Piecewise([start], [0.0, 1.0], "timesteps")
    for i in (0, 1):
        clock = Clock(timesteps=start + i)
        assert piecewise(clock) == float(piecewise(tensors(clock))) == i


def test_clocks_may_hold_integer_tensors_and_numpy_numbers():
    schedule = Linear(1, 0, 10, "updates")
    assert float(schedule(Clock(updates=tf.constant(5, tf.int64)))) == 0.5
    assert schedule(Clock(updates=np.int64(5))) == 0.5 and type(schedule(Clock(updates=np.float32(5)))) is float


@pytest.mark.parametrize("name", EVERY)
def test_configurations_are_json_and_come_back(name):
    schedule = EVERY[name]
    config = SCHEDULES.serialize(schedule)
    assert json.loads(json.dumps(config, allow_nan=False)) == config == plain(schedule)
    again = schedules.get(config)
    assert again == schedule and type(again) is type(schedule) and hash(again) == hash(schedule)


def test_numpy_numbers_are_written_as_pythons():
    schedule = Linear(np.float32(0.5), np.float64(0.25), np.int64(9), "episodes")
    assert SCHEDULES.serialize(schedule) == {
        "type": "Linear", "initial": 0.5, "final": 0.25, "steps": 9, "unit": "episodes"
    }  # fmt: skip
    assert [type(value) for value in dataclasses.astuple(schedule)] == [float, float, int, str]
    assert on_host(schedule, 9) == 0.25


def test_every_schedule_has_an_example():
    finder = doctest.DocTestFinder()
    found = {test.name.split(".")[-1] for module in MODULES for test in finder.find(importlib.import_module(module))
             if test.examples}  # fmt: skip
    assert set(SCHEDULES.names) | {"KerasSchedule", "Schedule", "get"} <= found


def test_one_of_the_users_own_is_taken():
    @dataclasses.dataclass(frozen=True)
    class Half(Schedule):
        unit: str = "episodes"
        bounds = (0.0, 0.5)

        def at(self, time, numerics):
            return numerics.minimum(time / 10, 0.5)

    half = Half()
    assert schedules.get(half, "rate", 0.0, 0.5) is half
    with pytest.raises(ValueError, match=r"`rate` must be in \[0.1, inf\)"):
        schedules.get(half, "rate", 0.1)
    assert on_host(half, 2) == 0.2 and on_tensors(half, 2) == np.float32(0.2)
    with pytest.raises(ValueError, match="Half is not registered"):
        SCHEDULES.serialize(half)


def test_the_host_needs_neither_keras_nor_tensorflow():
    code = """
import sys, time
from kagent.schedules import *
clock = Clock(timesteps=5, updates=5, episodes=5, progress=0.5)
for given in ({"type": "linear", "initial": 1, "final": 0}, {"type": "random"}, {"type": "ornstein_uhlenbeck"}, 1):
    evaluate(get(given), clock)
print(sorted(set(sys.modules) & {"keras", "tensorflow"}))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
