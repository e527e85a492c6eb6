"""Numbers, dicts and objects: what is taken, by which names, and what is said when it is wrong."""

from __future__ import annotations

import fractions
import math

import numpy as np
import pytest

from kagent import schedules
from kagent.schedules import (
    Clock,
    Constant,
    Cosine,
    Exponential,
    InverseTime,
    Linear,
    OrnsteinUhlenbeck,
    Piecewise,
    Polynomial,
    Random,
)


@pytest.mark.parametrize("value", [0, 1, 3, 0.5, np.float32(0.5), np.int64(2), fractions.Fraction(1, 4)])
def test_numbers_become_floats(value):
    made = schedules.get(value, "rate", 0.0, 3)
    assert made == value and type(made) is float
    assert schedules.evaluate(made, Clock(updates=5)) == value == schedules.start_of(made)


def test_objects_stay_as_they_are():
    linear = Linear(0.7, 0.1)
    assert schedules.get(linear) is linear
    assert schedules.evaluate(linear, Clock(progress=0.5)) == pytest.approx(0.4) and schedules.start_of(linear) == 0.7
    assert schedules.start_of(Piecewise([5], [0.1, 0.2], "updates")) == 0.1
    assert schedules.start_of(OrnsteinUhlenbeck(mu=0.2)) == 0.2 and schedules.start_of(Constant(1)) == 1.0


@pytest.mark.parametrize(
    "specification, schedule",
    [
        ({"type": "constant", "value": 0}, Constant(0)),
        ({"type": "LINEAR", "initial": 1, "final": 0}, Linear(1, 0)),
        (
            {"type": "linear", "unit": "timesteps", "num_steps": 10, "initial_value": 1.0, "final_value": 0.0},
            Linear(1.0, 0.0, 10, "timesteps"),
        ),
        (
            {"type": "exponential", "unit": "episodes", "num_steps": 9, "initial_value": 1.0, "decay_rate": 0.5},
            Exponential(1.0, None, 9, "episodes", decay_rate=0.5),
        ),
        (
            {"type": "Polynomial", "unit": "updates", "decay_steps": 9, "initial_value": 1, "final_value": 0, "power": 2},
            Polynomial(1, 0, 9, "updates", power=2),
        ),
        ({"type": "cosine", "initial": 1, "final": 0.5, "steps": 0.5}, Cosine(1, 0.5, 0.5)),
        (
            {"type": "inverse_time", "unit": "updates", "num_steps": 9, "initial_value": 1, "decay_rate": 0.5},
            InverseTime(1, 0.5, 9, "updates"),
        ),
        ({"type": "InverseTime", "initial": 1, "decay_rate": 2}, InverseTime(1, 2)),
        (
            {"type": "piecewise_constant", "unit": "updates", "boundaries": [5, 9], "values": [1, 0.5, 0.25]},
            Piecewise((5, 9), (1, 0.5, 0.25), "updates"),
        ),
        ({"type": "piecewise", "boundaries": [0.5], "values": [1, 2]}, Piecewise([0.5], [1, 2])),
        ({"type": "ornstein_uhlenbeck", "absolute": True}, OrnsteinUhlenbeck(absolute=True)),
        ({"type": "OrnsteinUhlenbeck", "theta": 0.5, "unit": "episodes"}, OrnsteinUhlenbeck(0.5, unit="episodes")),
        ({"type": "random", "distribution": "uniform", "maxval": 5}, Random("uniform", maxval=5)),
        (
            {"type": "decaying", "decay": "linear", "unit": "timesteps", "decay_steps": 9, "initial_value": 1.0,
             "final_value": 0.5},
            Linear(1.0, 0.5, 9, "timesteps"),
        ),
        (
            {"type": "Decaying", "decay": "inverse_time", "unit": "updates", "num_steps": 9, "initial_value": 1.0,
             "decay_rate": 0.5, "staircase": True},
            InverseTime(1.0, 0.5, 9, "updates", staircase=True),
        ),
    ],
)  # fmt: skip
def test_dicts_are_the_schedules_they_describe(specification, schedule):
    before = repr(specification)
    assert schedules.get(specification, "rate") == schedule
    assert repr(specification) == before  # not used up


@pytest.mark.parametrize(
    "value", [True, np.True_, None, "1e-3", "linear", [0.1], object(), 1j, lambda clock: 0.1, Linear]
)
def test_other_things_are_not_numbers(value):
    with pytest.raises(
        TypeError,
        match=r"`rate` must be a number or a schedule \(Constant, Cosine, Exponential, Interval, InverseTime, Linear, "
        r"NaturalExponential, OrnsteinUhlenbeck, Piecewise, Polynomial, Random, or one of keras.optimizers.schedules\). Received: ",
    ):
        schedules.get(value, "rate")


@pytest.mark.parametrize(
    "value, received",
    [
        (-0.1, "-0.1"), (1.1, "1.1"), (2, "2"), (-1, "-1"), (math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf"),
        (10**400, "1000"),
        (Linear(0.5, 2.0), r"Linear\(initial=0.5, final=2.0, .*\), with values in \[0.5, 2.0\]"),
        (Linear(-1, 0.5), r"Linear\(initial=-1, .*, with values in \[-1, 0.5\]"),
        ({"type": "linear", "initial_value": 1, "final_value": 2}, r"{'type': 'linear', 'initial_value': 1, 'final_v"),
        (Exponential(1.5, 0.5), r"Exponential\("),
        (Polynomial(0.5, 2.0, power=2), r"Polynomial\("),
        (Cosine(0.5, -2.0), r"Cosine\("),
        (Piecewise([1, 2, 3], [0.5, 0.5, 1.5, 0.5], "updates"), r"Piecewise\(.*with values in \[0.5, 1.5\]"),
        (Constant(2), r"Constant\(value=2\)"),
        (InverseTime(1.5, 1), r"InverseTime\("),
    ],
)  # fmt: skip
def test_no_value_may_be_out_of_range(value, received):
    with pytest.raises(ValueError, match=r"`rate` must be in \[0.0, 1.0\]. Received: " + received):
        schedules.get(value, "rate", 0.0, 1.0)


def test_ranges_include_their_ends_and_may_be_open():
    assert schedules.get(Linear(0.0, 1.0), "rate", 0.0, 1.0) == Linear(0.0, 1.0)
    assert schedules.get(0, "rate", 0, 0) == 0.0 and schedules.get(-5) == -5.0
    for value, allowed in ((math.inf, r"\[0, inf\)"), (-1, r"\[0, inf\)"), (math.nan, r"\[0, inf\)")):
        with pytest.raises(ValueError, match=rf"`rate` must be in {allowed}. Received: "):
            schedules.get(value, "rate", minimum=0)
    with pytest.raises(ValueError, match=r"`rate` must be in \(-inf, 0.5\]. Received: 1"):
        schedules.get(1, "rate", maximum=0.5)
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match=r"`schedule` must be in \(-inf, inf\). Received: "):
            schedules.get(value)


def test_errors_say_which_argument_it_was_for():
    with pytest.raises(
        ValueError, match=r"Unknown `rate`. Received: 'linea'. Known: Constant, .* Did you mean 'Linear'"
    ):
        schedules.get({"type": "linea"}, "rate")
    with pytest.raises(ValueError, match=r"`rate` Linear needs \['final'\]. Received: \['initial', 'steps'\]"):
        schedules.get({"type": "linear", "initial_value": 1, "num_steps": 5}, "rate")
    with pytest.raises(
        ValueError, match=r"`rate` Linear has no argument \['power'\]. Known: \['initial', 'final', 'st"
    ):
        schedules.get({"type": "linear", "initial": 1, "final": 0, "power": 2}, "rate")
    with pytest.raises(ValueError, match=r"`rate` Constant has no argument \['num_steps'\]"):
        schedules.get({"type": "constant", "value": 1, "num_steps": 2}, "rate")
    with pytest.raises(ValueError, match=r"`rate` Linear: 'num_steps' is another name of 'steps', given too"):
        schedules.get({"type": "linear", "initial": 1, "final": 0, "num_steps": 2, "steps": 3}, "rate")
    with pytest.raises(ValueError, match=r"`rate`: `steps` must be > 0. Received: 0"):
        schedules.get({"type": "linear", "initial": 1, "final": 0, "steps": 0}, "rate")
    with pytest.raises(ValueError, match=r"`rate`: `value` must be finite. Received: 1000"):
        schedules.get({"type": "constant", "value": 10**400}, "rate")
    with pytest.raises(TypeError, match=r"`rate`: `initial` of a schedule must be a number. Received: True"):
        schedules.get({"type": "linear", "initial": True, "final": 0}, "rate")
    with pytest.raises(ValueError, match=r"`rate` as a dict needs a 'type', one of \['Constant', .* Received: "):
        schedules.get({"initial": 1, "final": 0}, "rate")
    for decay in ({}, {"decay": None}, {"decay": 3}):
        with pytest.raises(
            ValueError, match=r"`rate` of type 'decaying' needs `decay`, the name of a schedule. Received"
        ):
            schedules.get({"type": "decaying", **decay}, "rate")
    with pytest.raises(ValueError, match=r"Unknown `rate`. Received: 'os.system'"):
        schedules.get({"type": "decaying", "decay": "os.system"}, "rate")
