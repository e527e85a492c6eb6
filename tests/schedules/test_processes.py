"""Random numbers over time: by hand from published noise, by the step, and pure functions of time."""

from __future__ import annotations

import math
import timeit

import numpy as np
import pytest
from clocks import on_host, on_tensors, tensors
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent import schedules
from kagent.config.registry import plain
from kagent.schedules import Clock, Interval, OrnsteinUhlenbeck, Random, noise

# Of seed 0 at steps 0 to 3, see test_noise.py.
UNIFORM = [0.418457112, 0.314681719, 0.393160279, 0.721370984]
NORMAL = [-1.065452424, 0.032399102, 1.360108359, 0.801589988]


def test_random_by_hand():
    for schedule, values in (
        (Random(), NORMAL),
        (Random("normal", mean=2.0, stddev=0.5), [2 + 0.5 * z for z in NORMAL]),
        (Random("normal", minval=-1, maxval=1), [-1.0, 0.032399102, 1.0, 0.801589988]),
        (Random("uniform"), UNIFORM),
        (Random("uniform", minval=-1, maxval=3), [-1 + 4 * u for u in UNIFORM]),
    ):
        for step, value in enumerate(values):
            assert math.isclose(on_host(schedule, step), value, abs_tol=1e-8)
            assert math.isclose(on_tensors(schedule, step), value, abs_tol=1e-6)


def test_ornstein_uhlenbeck_by_hand():
    # x1 = 0.5 + 0.1 * 0.0324, x2 = x1 + 0.25 * (0.5 - x1) + 0.1 * 1.3601, and so on.
    schedule = OrnsteinUhlenbeck(theta=0.25, sigma=0.1, mu=0.5)
    for step, value in enumerate([0.5, 0.503239910, 0.638440769, 0.683989575]):
        assert math.isclose(on_host(schedule, step), value, abs_tol=1e-8)
        assert math.isclose(on_tensors(schedule, step), value, abs_tol=1e-6)
    assert [round(on_host(OrnsteinUhlenbeck(), step), 6) for step in range(4)] == [0.0, 0.00972, 0.416294, 0.594327]
    held = OrnsteinUhlenbeck(theta=0.25, sigma=0.1, mu=0.5, minval=0.51, maxval=0.65)
    assert [round(on_host(held, step), 6) for step in range(4)] == [0.51, 0.51, 0.638441, 0.65]


@pytest.mark.parametrize("theta", [0.002, 0.15, 0.9, 1.0, 1])
def test_the_sum_is_what_the_steps_lead_to(theta):
    schedule = OrnsteinUhlenbeck(theta, sigma=0.3, mu=0.2, seed=11)
    x, spread = 0.2, 0.3 / math.sqrt(1 - (1 - theta) ** 2)
    for step in range(1, 2051 if theta > 0.1 else 9001):
        x = x + theta * (0.2 - x) + 0.3 * noise.normal(11, step, math)
        # Before and after the window is full, and around the ends of the host's blocks.
        if step in (1, 2, 102, 103, 104, 1023, 1024, 1025, 2047, 2048, 2050, 8309, 8310, 8311, 9000):
            assert math.isclose(on_host(schedule, step), x, abs_tol=1e-6 * spread), step
            assert math.isclose(on_tensors(schedule, step), x, abs_tol=2e-6 * max(spread, 0.2)), step


@pytest.mark.sensitive
def test_absolute_values_and_their_bounds(seed_shift):
    plain, absolute = OrnsteinUhlenbeck(seed=3 + seed_shift), OrnsteinUhlenbeck(seed=3 + seed_shift, absolute=True)
    values = [on_host(plain, step) for step in range(2000)]
    assert min(values) < -0.3 and [on_host(absolute, step) for step in range(2000)] == [abs(x) for x in values]
    assert plain.bounds == (-math.inf, math.inf) and absolute.bounds == (0.0, math.inf)
    assert OrnsteinUhlenbeck(absolute=True, minval=0.1, maxval=0.2).bounds == (0.1, 0.2)
    assert OrnsteinUhlenbeck(minval=-1).bounds == (-1, math.inf)


@pytest.mark.sensitive
def test_it_spreads_as_it_says(seed_shift):
    schedule = OrnsteinUhlenbeck(theta=0.5, sigma=0.3, mu=1.0, seed=2 + seed_shift)
    values = np.asarray([on_host(schedule, step) for step in range(10, 20_010)])
    # Neighbours correlate by 1 - theta, so 20,000 values tell as much as 6,667 independent ones.
    assert abs(values.mean() - 1.0) < 0.03
    assert abs(values.std() - 0.3 / math.sqrt(0.75)) < 0.02
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1] - 0.5) < 0.04


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**64 - 1), step=st.integers(0, 2**53), others=st.lists(st.integers(0, 2**40), max_size=3))
def test_a_value_depends_on_the_time_alone(seed, step, others):
    for schedule in (OrnsteinUhlenbeck(seed=seed), Random(seed=seed), Random("uniform", seed=seed)):
        before = on_host(schedule, step)
        for other in others:
            on_host(schedule, other)
        assert on_host(schedule, step) == before and on_host(type(schedule)(**vars(schedule)), step) == before


def test_seeds_and_units_matter():
    for kind in (Random, OrnsteinUhlenbeck):
        values = {on_host(kind(seed=seed), 5) for seed in (0, 1, 2**32, 2**64 - 1)}
        assert len(values) == 4
        clock = Clock(timesteps=5, episodes=6, updates=7)
        expected = [on_host(kind(), step) for step in (5, 6, 7)]
        assert [kind(unit=unit)(clock) for unit in ("timesteps", "episodes", "updates")] == expected


def test_ranges_are_those_of_the_limits():
    for open_ended in (Random(), Random(minval=0.0), OrnsteinUhlenbeck(), OrnsteinUhlenbeck(absolute=True)):
        with pytest.raises(ValueError, match=r"`rate` must be in \[0.0, 1.0\]. Received: .*with values in \[.*inf\]"):
            schedules.get(open_ended, "rate", 0.0, 1.0)
    for held in (Random(minval=0, maxval=1), Random("uniform"), OrnsteinUhlenbeck(minval=0, maxval=1),
                 OrnsteinUhlenbeck(absolute=True, maxval=0.5)):  # fmt: skip
        assert schedules.get(held, "rate", 0.0, 1.0) is held
    assert schedules.get(OrnsteinUhlenbeck(absolute=True), "rate", 0.0)
    with pytest.raises(ValueError, match="`rate` must be in"):
        schedules.get(Random("uniform", minval=-0.1), "rate", 0.0, 1.0)


def test_reading_on_the_host_takes_microseconds():
    for schedule in (Random(), OrnsteinUhlenbeck()):
        schedule(Clock(timesteps=1))
        seconds = min(
            timeit.repeat(lambda: [schedule(Clock(timesteps=k)) for k in range(200)], number=1, repeat=5)  # noqa: B023
        )
        assert seconds / 200 < 100e-6  # about 10, were the machine idle


@pytest.mark.parametrize("kind", [Random, OrnsteinUhlenbeck])
def test_wrong_arguments_are_named(kind):
    with pytest.raises(
        ValueError, match=r"`unit` must be one of \('timesteps', 'episodes', 'updates'\). Received: 'pr"
    ):
        kind(unit="progress")
    for seed in (1.0, "1", True):
        with pytest.raises(TypeError, match=r"`seed` must be an integer or None. Received: "):
            kind(seed=seed)
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match=r"`seed` must be in \[0, 2\*\*64\). Received: "):
            kind(seed=seed)
    with pytest.raises(ValueError, match=r"`minval` must be < `maxval`. Received: 1, 1"):
        kind(minval=1, maxval=1)
    with pytest.raises(TypeError, match=r"`maxval` of a schedule must be a number. Received: '1'"):
        kind(maxval="1")
    assert kind(seed=np.int64(3)) == kind(seed=3)


def test_wrong_distributions_are_named():
    with pytest.raises(ValueError, match=r"`distribution` must be 'normal' or 'uniform'. Received: 'gaussian'"):
        Random("gaussian")
    with pytest.raises(ValueError, match=r"Received: mean=0.5, stddev=None with 'uniform'"):
        Random("uniform", mean=0.5)
    for stddev in (0, -1, math.nan):
        with pytest.raises(ValueError, match=r"`stddev` must be > 0. Received: "):
            Random(stddev=stddev)
    with pytest.raises(TypeError, match=r"`mean` of a schedule must be a number. Received: \[0\]"):
        Random(mean=[0])


def test_wrong_processes_are_named():
    for theta in (0, -0.1, 1.5, 1e-9):
        with pytest.raises(ValueError, match=r"`theta` must be in \[0.0001, 1\]. Received: "):
            OrnsteinUhlenbeck(theta)
    with pytest.raises(ValueError, match=r"`theta` must be finite. Received: nan"):
        OrnsteinUhlenbeck(math.nan)
    with pytest.raises(ValueError, match=r"`sigma` must be >= 0. Received: -0.3"):
        OrnsteinUhlenbeck(sigma=-0.3)
    with pytest.raises(TypeError, match=r"`absolute` must be True or False. Received: 1"):
        OrnsteinUhlenbeck(absolute=1)
    with pytest.raises(TypeError, match=r"`mu` of a schedule must be a number. Received: None"):
        OrnsteinUhlenbeck(mu=None)


@pytest.mark.parametrize("kind", [Random, OrnsteinUhlenbeck])
def test_without_a_seed_it_has_that_of_the_clock(kind):
    clocks = [Clock(timesteps=9, seed=seed) for seed in (0, 5)]
    for wrapped in (lambda schedule: schedule, lambda schedule: Interval(schedule, start=2)):
        at_zero, at_five = (wrapped(kind())(clock) for clock in clocks)
        assert at_zero != at_five and at_zero == wrapped(kind())(Clock(timesteps=9))
        assert [wrapped(kind(seed=5))(clock) for clock in clocks] == [at_five, at_five]
        np.testing.assert_allclose(wrapped(kind())(tensors(clocks[1])), at_five, rtol=1e-6)
    assert schedules.get(plain(kind())) == kind() and kind().seed is None
