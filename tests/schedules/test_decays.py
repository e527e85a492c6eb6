"""Decays: by hand, as Keras computes them, and where they end."""

from __future__ import annotations

import math

import keras
import pytest
from clocks import on_host, on_tensors

from kagent import schedules
from kagent.schedules import Exponential, InverseTime


@pytest.mark.parametrize(
    "schedule, values",
    [
        (Exponential(1.0, 0.01, 100, "updates"), {0: 1.0, 25: 10**-0.5, 50: 0.1, 100: 0.01, 10**9: 0.01}),
        (Exponential(0.1, 10, 4, "updates"), {0: 0.1, 1: 10**-0.5, 2: 1.0, 4: 10.0, 5: 10.0}),
        (Exponential(2.0, decay_rate=0.25, steps=10, unit="updates"), {0: 2.0, 5: 1.0, 10: 0.5, 15: 0.25, 30: 2**-5}),
        (Exponential(1, decay_rate=2, steps=3, unit="updates"), {0: 1.0, 3: 2.0, 30: 1024.0}),
        (
            Exponential(1.0, decay_rate=0.5, steps=10, unit="updates", staircase=True),
            {0: 1.0, 9: 1.0, 10: 0.5, 19: 0.5, 20: 0.25, 39: 0.125},
        ),
        (InverseTime(3.0, 0.5, 10, "updates"), {0: 3.0, 10: 2.0, 20: 1.5, 40: 1.0, 100: 0.5}),
        (InverseTime(3.0, 0.5, 10, "updates", staircase=True), {0: 3.0, 9: 3.0, 10: 2.0, 19: 2.0, 20: 1.5, 99: 6 / 11}),
        (InverseTime(-1, 1), {0: -1.0, 0.5: -2 / 3, 1.0: -0.5}),
    ],
)
def test_by_hand(schedule, values):
    for time, value in values.items():
        assert math.isclose(on_host(schedule, time), value, rel_tol=1e-12)
        assert math.isclose(on_tensors(schedule, time), value, rel_tol=1e-6)


@pytest.mark.parametrize(
    "schedule, other",
    [
        (
            Exponential(0.5, decay_rate=0.9, steps=7, unit="updates"),
            keras.optimizers.schedules.ExponentialDecay(0.5, 7, 0.9),
        ),
        (
            Exponential(0.5, decay_rate=0.9, steps=7, unit="updates", staircase=True),
            keras.optimizers.schedules.ExponentialDecay(0.5, 7, 0.9, staircase=True),
        ),
        (InverseTime(0.5, 0.9, 7, "updates"), keras.optimizers.schedules.InverseTimeDecay(0.5, 7, 0.9)),
        (
            InverseTime(0.5, 0.9, 7, "updates", staircase=True),
            keras.optimizers.schedules.InverseTimeDecay(0.5, 7, 0.9, staircase=True),
        ),
    ],
)
def test_keras_computes_the_same(schedule, other):
    for time in (0, 1, 6, 7, 8, 15, 29, 100):
        assert math.isclose(on_host(schedule, time), float(other(time)), rel_tol=1e-5), time


@pytest.mark.parametrize(
    "schedule, bounds",
    [
        (Exponential(1.0, 0.5), (0.5, 1.0)),
        (Exponential(1.0, decay_rate=0.5, steps=10, unit="updates"), (0.0, 1.0)),
        (Exponential(1.0, decay_rate=0.5, steps=0.25), (0.0625, 1.0)),  # four halvings in a run
        (Exponential(2.0, decay_rate=1.5, steps=10, unit="updates"), (2.0, math.inf)),
        (Exponential(2.0, decay_rate=1.0, steps=10, unit="updates", staircase=True), (2.0, 2.0)),
        (InverseTime(1.0, 0.5, 10, "updates"), (0.0, 1.0)),
        (InverseTime(-1.0, 3, 0.5), (-1.0, -1 / 7)),
        (InverseTime(1.0, 0.5, 10, "updates", staircase=True), (0.0, 1.0)),
    ],
)
def test_they_know_where_they_end(schedule, bounds):
    assert schedule.bounds == bounds
    assert schedules.get(schedule, "rate", *bounds) is schedule
    with pytest.raises(ValueError, match="`rate` must be in "):
        schedules.get(schedule, "rate", bounds[0] + 1e-9)
    if bounds[1] < math.inf:
        with pytest.raises(ValueError, match="`rate` must be in "):
            schedules.get(schedule, "rate", maximum=bounds[1] - 1e-9)


def test_growth_and_decay_have_no_overflow():
    for rate, end in ((2.0, math.inf), (0.5, 0.0)):
        schedule = Exponential(1.0, decay_rate=rate, steps=1, unit="updates")
        assert on_host(schedule, 10**6) == on_tensors(schedule, 10**6) == end


def test_wrong_arguments_are_named():
    for ends in ((0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)):
        with pytest.raises(ValueError, match=r"`(initial|final)` must be > 0. Received: (0.0|-1.0)"):
            Exponential(*ends)
    with pytest.raises(ValueError, match=r"`final` or `decay_rate` is required, not both. Received: None, None"):
        Exponential(1.0)
    with pytest.raises(ValueError, match=r"`final` or `decay_rate` is required, not both. Received: 0.5, 0.9"):
        Exponential(1.0, 0.5, decay_rate=0.9)
    with pytest.raises(ValueError, match=r"`staircase` goes with `decay_rate`.* Received: final=0.5"):
        Exponential(1.0, 0.5, staircase=True)
    with pytest.raises(TypeError, match=r"`staircase` must be True or False. Received: 'yes'"):
        Exponential(1.0, decay_rate=0.5, staircase="yes")
    with pytest.raises(TypeError, match=r"`staircase` must be True or False. Received: None"):
        InverseTime(1.0, 0.5, staircase=None)
    for rate in (0, -0.5):
        with pytest.raises(ValueError, match=r"`decay_rate` must be > 0. Received: "):
            InverseTime(1.0, rate)
        with pytest.raises(ValueError, match=r"`decay_rate` must be > 0. Received: "):
            Exponential(1.0, decay_rate=rate)
    with pytest.raises(TypeError, match=r"`initial` of a schedule must be a number. Received: '1'"):
        InverseTime("1", 0.5)
    with pytest.raises(ValueError, match=r"`steps` is required with unit='episodes'"):
        InverseTime(1.0, 0.5, unit="episodes")
    with pytest.raises(ValueError, match=r"`steps` is required with unit='episodes'"):
        Exponential(1.0, decay_rate=0.5, unit="episodes")
