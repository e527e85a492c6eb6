"""Schedules: by hand, on the host and inside a compiled function."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent import schedules
from kagent.schedules import Clock, Exponential, Linear


def tensors(clock):
    return Clock(*(tf.constant(value, tf.float64) for value in clock))


def test_linear_by_hand():
    schedule = Linear(1.0, 0.2, steps=100, unit="timesteps")
    for timesteps, value in ((0, 1.0), (25, 0.8), (50, 0.6), (100, 0.2), (10**9, 0.2)):
        assert math.isclose(schedule(Clock(timesteps=timesteps, progress=0.5)), value)


def test_the_end_is_exact():
    for clock in (Clock(progress=1.0), tensors(Clock(progress=1.0))):
        assert Linear(1.0, 1e-4)(clock) == np.float32(1e-4) and Linear(0.3, 1e-6)(clock) == np.float32(1e-6)


def test_exponential_by_hand():
    schedule = Exponential(1.0, 0.01, steps=100, unit="updates")
    for updates, value in ((0, 1.0), (25, 10**-0.5), (50, 0.1), (100, 0.01), (10**9, 0.01)):
        assert math.isclose(schedule(Clock(updates=updates)), value)


@pytest.mark.parametrize("unit", schedules.UNITS)
def test_every_unit_reads_its_own_clock(unit):
    clock = Clock(timesteps=10, episodes=20, updates=30, progress=0.4)
    steps = 1.0 if unit == "progress" else 100
    expected = {"timesteps": 0.1, "episodes": 0.2, "updates": 0.3, "progress": 0.4}[unit]
    assert math.isclose(Linear(0, 1, steps, unit)(clock), expected)
    assert math.isclose(float(Linear(0, 1, steps, unit)(tensors(clock))), expected, rel_tol=1e-6)


def test_progress_may_be_a_part_of_the_run():
    assert Linear(1, 0)(Clock(progress=0.5)) == 0.5
    assert Linear(1, 0, steps=0.5)(Clock(progress=0.25)) == 0.5
    assert Linear(1, 0, steps=0.5)(Clock(progress=0.75)) == 0.0


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from([Linear, Exponential]), initial=st.floats(1e-6, 10), final=st.floats(1e-6, 10),
    steps=st.integers(1, 2**53), now=st.integers(0, 2**54),
)  # fmt: skip
def test_tensors_give_what_numbers_give(kind, initial, final, steps, now):
    schedule = kind(initial, final, steps, "timesteps")
    host, graph = schedule(Clock(timesteps=now)), schedule(tensors(Clock(timesteps=now)))
    assert type(host) is float and graph.dtype == tf.float32
    assert math.isclose(host, float(graph), abs_tol=1e-6 * max(initial, final))
    assert min(initial, final) * (1 - 1e-9) <= host <= max(initial, final) * (1 + 1e-9)


@pytest.mark.parametrize("kind", [Linear, Exponential])
def test_they_compile(kind):
    schedule = kind(1.0, 0.1, 1000, "updates")
    compiled = tf.function(lambda clock: schedule(clock), jit_compile=True)
    for updates in (0, 333, 5000):
        clock = Clock(updates=updates)
        assert math.isclose(float(compiled(tensors(clock))), schedule(clock), rel_tol=1e-6)


def test_large_counts_are_exact():
    # Past 2**31, and where float32 has long run out of integers.
    start, steps = 2**31 - 10, 2**33
    schedule = Linear(0.0, float(steps), steps, "timesteps")
    values = [schedule(Clock(timesteps=start + i)) for i in range(20)]
    assert values == [float(start + i) for i in range(20)]
    graph = [float(Linear(0.0, 1.0, steps, "timesteps")(tensors(Clock(timesteps=start + i)))) for i in range(20)]
    np.testing.assert_allclose(graph, [(start + i) / steps for i in range(20)], rtol=1e-6)


def test_numbers_dicts_and_objects_are_taken():
    linear = Linear(1.0, 0.0)
    assert schedules.get(3) == 3.0 and type(schedules.get(3)) is float and type(schedules.get(np.float32(0.5))) is float
    assert schedules.get(linear) is linear
    assert schedules.get({"type": "linear", "initial": 1.0, "final": 0.0}) == linear
    config = schedules.SCHEDULES.serialize(Exponential(1.0, 0.5, 9, "episodes"))
    assert config == {"type": "Exponential", "initial": 1.0, "final": 0.5, "steps": 9, "unit": "episodes"}
    assert schedules.get(config) == Exponential(1.0, 0.5, 9, "episodes")
    clock = Clock(progress=0.25)
    assert schedules.evaluate(0.1, clock) == 0.1 and schedules.evaluate(linear, clock) == 0.75
    assert schedules.start_of(0.3) == 0.3 and schedules.start_of(Linear(0.7, 0.1)) == 0.7


@pytest.mark.parametrize("value", [True, None, "1e-3", [0.1], object(), lambda clock: 0.1])
def test_other_things_are_not_numbers(value):
    with pytest.raises(TypeError, match=r"`rate` must be a number or a schedule \(Exponential, Linear\). Received: "):
        schedules.get(value, "rate")


@pytest.mark.parametrize(
    "value", [-0.1, 1.1, math.nan, math.inf, -math.inf, Linear(0.5, 2.0), Linear(-1.0, 0.5), Exponential(1.5, 0.5)]
)
def test_both_ends_are_in_range(value):
    with pytest.raises(ValueError, match=r"`rate` must be in \[0.0, 1.0\]. Received: "):
        schedules.get(value, "rate", 0.0, 1.0)
    assert schedules.get(Linear(0.0, 1.0), "rate", 0.0, 1.0) == Linear(0.0, 1.0)


@pytest.mark.parametrize("kind", [Linear, Exponential])
def test_wrong_arguments_are_named(kind):
    with pytest.raises(ValueError, match=r"`unit` must be one of .* Received: 'steps'"):
        kind(1.0, 0.5, 10, "steps")
    with pytest.raises(ValueError, match=r"`steps` is required with unit='updates'"):
        kind(1.0, 0.5, unit="updates")
    for steps in (0, -1, math.nan):
        with pytest.raises(ValueError, match=r"`steps` must be > 0. Received: "):
            kind(1.0, 0.5, steps)
    for initial, final in (("1", 0.5), (1.0, None), (True, 0.5)):
        with pytest.raises(TypeError, match=r"`(initial|final)` of a schedule must be a number. Received: "):
            kind(initial, final)


def test_exponential_ends_are_positive():
    for ends in ((0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)):
        with pytest.raises(ValueError, match=r"must be > 0. Received: "):
            Exponential(*ends)
