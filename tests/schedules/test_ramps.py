"""From here to there: by hand, and as Keras computes it."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from clocks import on_host, on_tensors, tensors
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent.schedules import Clock, Cosine, Exponential, Linear, Polynomial

RAMPS = [Linear, Exponential, Polynomial, Cosine]


def test_linear_by_hand():
    schedule = Linear(1.0, 0.0, steps=10, unit="timesteps")
    assert [on_host(schedule, time) for time in (0, 5, 10, 15)] == [1.0, 0.5, 0.0, 0.0]
    schedule = Linear(1.0, 0.2, steps=100, unit="timesteps")
    for timesteps, value in ((0, 1.0), (25, 0.8), (50, 0.6), (100, 0.2), (10**9, 0.2)):
        assert math.isclose(schedule(Clock(timesteps=timesteps, progress=0.5)), value)


@pytest.mark.parametrize(
    "schedule, values",
    [
        (Polynomial(1.0, 0.0, 10, "updates"), {0: 1.0, 4: 0.6, 5: 0.5, 10: 0.0, 15: 0.0}),
        (Polynomial(1.0, 0.0, 10, "updates", power=2), {0: 1.0, 2: 0.64, 5: 0.25, 9: 0.01, 10: 0.0, 99: 0.0}),
        (Polynomial(2, 1, 4, "updates", power=0.5), {0: 2.0, 3: 1.5, 4: 1.0}),
        # Cycles over 10, 20, 30 steps: at 15 three quarters of 20 are over.
        (Polynomial(1.0, 0.2, 10, "updates", cycle=True), {0: 1.0, 5: 0.6, 10: 0.2, 15: 0.4, 20: 0.2, 24: 0.36}),
        # The cosines of 60, 90 and 120 degrees are 1/2, 0, -1/2.
        (Cosine(1.0, 0.0, 6, "updates"), {0: 1.0, 2: 0.75, 3: 0.5, 4: 0.25, 6: 0.0, 7: 0.0}),
        (Cosine(0.1, 0.5, 60, "updates"), {0: 0.1, 20: 0.2, 30: 0.3, 40: 0.4, 60: 0.5, 10**9: 0.5}),
    ],
)
def test_by_hand(schedule, values):
    for time, value in values.items():
        assert math.isclose(on_host(schedule, time), value, rel_tol=1e-12, abs_tol=1e-12)
        assert math.isclose(on_tensors(schedule, time), value, rel_tol=1e-6, abs_tol=1e-7)


@pytest.mark.parametrize("kind", RAMPS)
def test_both_ends_are_exact(kind):
    for final in (1e-4, 0.1, 1 / 3):
        schedule = kind(0.7, final)
        assert (on_host(schedule, 0.0), on_host(schedule, 1.0)) == (0.7, final)
        assert float(schedule(tensors(Clock(progress=1.0)))) == np.float32(final)
        assert float(schedule(tensors(Clock()))) == np.float32(0.7)


def test_progress_may_be_a_part_of_the_run():
    assert Linear(1, 0)(Clock(progress=0.5)) == 0.5
    assert Linear(1, 0, steps=0.5)(Clock(progress=0.25)) == 0.5
    assert Linear(1, 0, steps=0.5)(Clock(progress=0.75)) == 0.0
    assert Cosine(1, 0, steps=0.5)(Clock(progress=0.25)) == pytest.approx(0.5)


@pytest.mark.parametrize("kind", RAMPS)
@settings(max_examples=20, deadline=None)
@given(
    initial=st.floats(1e-6, 10), final=st.floats(1e-6, 10), steps=st.integers(1, 2**53), now=st.integers(0, 2**54)
)  # fmt: skip
def test_they_stay_within_their_ends_and_fall_or_rise(kind, initial, final, steps, now):
    schedule = kind(initial, final, steps, "timesteps")
    value, later = schedule(Clock(timesteps=now)), schedule(Clock(timesteps=now + now // 3 + 1))
    low, high = schedule.bounds
    assert (low, high) == (min(initial, final), max(initial, final))
    assert low * (1 - 1e-9) <= value <= high * (1 + 1e-9)
    assert (value - later) * (initial - final) >= -1e-9 * high**2
    graph = float(schedule(tensors(Clock(timesteps=now))))
    assert math.isclose(value, graph, rel_tol=2**-23)


@pytest.mark.parametrize(
    "schedule, other",
    [
        (
            Polynomial(0.5, 0.1, 30, "updates", power=1.5),
            keras.optimizers.schedules.PolynomialDecay(0.5, 30, 0.1, power=1.5),
        ),
        (
            Polynomial(0.5, 0.1, 7, "updates", power=2, cycle=True),
            keras.optimizers.schedules.PolynomialDecay(0.5, 7, 0.1, power=2.0, cycle=True),
        ),
        (Cosine(0.5, 0.1, 30, "updates"), keras.optimizers.schedules.CosineDecay(0.5, 30, alpha=0.2)),
    ],
)
def test_keras_computes_the_same(schedule, other):
    for time in (0, 1, 7, 8, 15, 29, 30, 31, 100):
        assert math.isclose(on_host(schedule, time), float(other(time)), rel_tol=1e-5), time


@pytest.mark.parametrize("kind", RAMPS)
def test_wrong_arguments_are_named(kind):
    with pytest.raises(ValueError, match=r"`unit` must be one of .* Received: 'steps'"):
        kind(1.0, 0.5, 10, "steps")
    with pytest.raises(ValueError, match=r"`steps` is required with unit='updates'"):
        kind(1.0, 0.5, unit="updates")
    for steps in (0, -1, math.nan):
        with pytest.raises(ValueError, match=r"`steps` must be > 0. Received: "):
            kind(1.0, 0.5, steps)
    with pytest.raises(ValueError, match=r"`steps` must be finite. Received: inf"):
        kind(1.0, 0.5, math.inf)
    for name, arguments in (("initial", ("1", 0.5)), ("initial", (None, 0.5)), ("final", (1.0, [0.1])),
                            ("initial", (True, 0.5)), ("final", (1.0, False)), ("steps", (1.0, 0.5, "10"))):  # fmt: skip
        with pytest.raises(TypeError, match=rf"`{name}` of a schedule must be a number. Received: "):
            kind(*arguments)
    with pytest.raises(ValueError, match=r"`initial` must be finite. Received: inf"):
        kind(math.inf, 0.5)


def test_wrong_powers_and_cycles_are_named():
    for power in (0, -1, math.nan):
        with pytest.raises(ValueError, match=r"`power` must be > 0. Received: "):
            Polynomial(1.0, 0.0, power=power)
    with pytest.raises(TypeError, match=r"`cycle` must be True or False. Received: 1"):
        Polynomial(1.0, 0.0, cycle=1)
