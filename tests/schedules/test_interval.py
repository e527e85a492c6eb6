"""Schedules within an interval: by hand, nested, and what they refuse."""

from __future__ import annotations

import math

import keras
import pytest
from clocks import on_host, on_tensors

from kagent import schedules
from kagent.schedules import Clock, Constant, Exponential, Interval, Linear, NaturalExponential, Piecewise

FALL = Linear(1.0, 0.0, 100, "updates")


@pytest.mark.parametrize(
    "schedule, values",
    [
        (Interval(FALL), {0: 1.0, 25: 0.75, 100: 0.0, 500: 0.0}),
        (Interval(FALL, start=50), {0: 1.0, 50: 1.0, 51: 0.99, 75: 0.75, 150: 0.0}),
        (Interval(FALL, stop=40), {0: 1.0, 30: 0.7, 40: 0.6, 41: 0.6, 10**9: 0.6}),
        (Interval(FALL, 10, 40, 0.75), {0: 1.0, 10: 1.0, 30: 0.8, 35: 0.75, 40: 0.75, 1000: 0.75}),
        (Interval(FALL, minimum=2), {0: 2.0, 50: 2.0}),
        (Interval(Interval(FALL, start=10), start=5, minimum=0.2), {15: 1.0, 25: 0.9, 200: 0.2}),
        (Interval(Constant(0.25), 3, 4), {0: 0.25, 100: 0.25}),
        (Interval(Piecewise([2], [1.0, 0.5], "updates"), start=3), {5: 1.0, 6: 0.5}),
        (NaturalExponential(2.0, 0.5, 10, "updates"), {0: 2.0, 10: 2 * math.exp(-0.5), 25: 2 * math.exp(-1.25)}),
        (
            NaturalExponential(2.0, 0.5, 10, "updates", staircase=True),
            {9: 2.0, 10: 2 * math.exp(-0.5), 29: 2 * math.exp(-1.0)},
        ),
    ],
)
def test_by_hand(schedule, values):
    for time, value in values.items():
        assert math.isclose(on_host(schedule, time), value, rel_tol=1e-12)
        assert math.isclose(on_tensors(schedule, time), value, rel_tol=1e-6, abs_tol=1e-9)


def test_the_natural_exponential_is_an_exponential_in_other_words():
    rate = NaturalExponential(0.1, 0.5, 100, "timesteps")
    factor = Exponential(0.1, decay_rate=math.exp(-0.5), steps=100, unit="timesteps")
    for timesteps in (0, 1, 150, 10_000):
        clock = Clock(timesteps=timesteps)
        assert rate(clock) == factor(clock)
    assert rate.bounds == (0.0, 0.1)
    assert schedules.get({"type": "natural_exp", "initial": 0.1, "decay_rate": 0.5, "steps": 100, "unit": "timesteps"})(
        Clock(timesteps=150)
    ) == pytest.approx(0.0472367, abs=5e-8)


def test_it_reads_the_time_of_what_is_in_it():
    assert Interval(Linear(1, 0, 10, "episodes"), start=5).unit == "episodes"
    assert Interval(Linear(1, 0, 10, "episodes"), start=5)(Clock(timesteps=100, episodes=10)) == 0.5


def test_bounds():
    assert Interval(FALL, start=3).bounds == (0.0, 1.0)
    assert Interval(FALL, minimum=0.25).bounds == (0.25, 1.0)
    assert Interval(FALL, minimum=3.0).bounds == (3.0, 3.0)
    with pytest.raises(ValueError, match="`rate` must be in "):
        schedules.get(Interval(FALL, minimum=0.25), "rate", 0.0, 0.9)


def test_a_dict_of_it():
    inner = {"type": "linear", "initial": 1.0, "final": 0.0, "steps": 100, "unit": "updates"}
    assert schedules.get({"type": "interval", "schedule": inner, "start": 5}) == Interval(FALL, 5)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"schedule": 0.5}, TypeError, "`schedule` must be"),
        ({"schedule": keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)}, TypeError, "`schedule` must be"),
        ({"schedule": "linear"}, TypeError, "number or a schedule"),
        ({"schedule": FALL, "start": -1}, ValueError, "`start` must be >= 0"),
        ({"schedule": FALL, "start": "5"}, TypeError, "`start`"),
        ({"schedule": FALL, "start": 5, "stop": 5}, ValueError, "`stop` must be > 5"),
        ({"schedule": FALL, "stop": math.inf}, ValueError, "`stop` must be finite"),
        ({"schedule": FALL, "minimum": math.nan}, ValueError, "`minimum` must be finite"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        Interval(**arguments)


@pytest.mark.parametrize("wrong", [{"decay_rate": 0}, {"decay_rate": -1}, {"steps": 0}, {"unit": "hours"}])
def test_bad_rates(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        NaturalExponential(**{"initial": 1.0, "decay_rate": 0.5, "steps": 10, "unit": "updates", **wrong})
