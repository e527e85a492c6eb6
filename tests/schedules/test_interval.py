"""Schedules within an interval: by hand, nested, and what they refuse."""

from __future__ import annotations

import math

import keras
import pytest
from clocks import on_host, on_tensors

from kagent import schedules
from kagent.schedules import Clock, Constant, Exponential, Interval, Linear, NaturalExponential, Piecewise, decay

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


@pytest.mark.parametrize(
    "made, expected",
    [
        (decay("polynomial", 1.0, steps=100, final=0.5, start=10), {10: 1.0, 60: 0.75, 500: 0.5}),
        (decay("polynomial_decay", 1.0, steps=100, stop=40, minimum=0.7), {20: 0.8, 40: 0.7, 500: 0.7}),
        (decay("exponential", 0.1, steps=100, decay_rate=0.96), {150: 0.0940604}),
        (decay("exponential", 0.1, steps=100, decay_rate=0.96, staircase=True), {150: 0.096}),
        (decay("natural_exp_decay", 0.1, steps=100, decay_rate=0.5), {150: 0.0472367}),
        (decay("inverse_time", 0.1, steps=100, decay_rate=0.5), {150: 0.0571429}),
        (decay("exponential", 0.0, steps=100, decay_rate=0.5), {0: 0.0, 150: 0.0}),
    ],
)
def test_decays_by_name(made, expected):
    assert isinstance(made, Interval) and made.unit == "timesteps"
    for time, value in expected.items():
        assert made(Clock(timesteps=time)) == pytest.approx(value, abs=1e-7)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"decay_type": "linear"}, r"`rate.decay_type` must be one of \('exponential'"),
        ({"decay_type": None}, r"`rate.decay_type` must be one of"),
        ({"decay_type": "polynomial", "decay_rate": 0.5}, "`rate.decay_rate`.*do not belong to a polynomial"),
        ({"decay_type": "polynomial", "staircase": True}, "`rate.staircase`.*do not belong to a polynomial"),
        ({"decay_type": "exponential"}, "`decay_rate` must be > 0"),
        ({"decay_type": "polynomial", "stop": 0}, "`stop`"),
    ],
)
def test_refused_decays(arguments, message):
    with pytest.raises(ValueError, match=message):
        decay(initial=1.0, steps=10, argument="rate", **arguments)
