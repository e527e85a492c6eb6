"""Constants, altogether and in pieces."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from clocks import on_host, on_tensors

from kagent.schedules import Constant, Piecewise


@pytest.mark.parametrize("value", [0.25, 1, 0, -3, np.float32(0.5)])
def test_constants_are_constant(value):
    schedule = Constant(value)
    for time in (0, 1, 10**9):
        assert on_host(schedule, time) == on_tensors(schedule, time) == value
    assert schedule.bounds == (value, value)


def test_pieces_by_hand():
    schedule = Piecewise([5, 8], [1.0, 0.5, 2], "updates")
    for time, value in ((0, 1.0), (4, 1.0), (5, 1.0), (6, 0.5), (8, 0.5), (9, 2.0), (10**9, 2.0)):
        assert on_host(schedule, time) == on_tensors(schedule, time) == value
    assert schedule.bounds == (0.5, 2)
    assert [on_host(Piecewise([0.25], [1, 2]), time) for time in (0.0, 0.25, 0.26, 1.0)] == [1.0, 1.0, 2.0, 2.0]
    assert on_host(Piecewise([], [0.5]), 0.5) == 0.5


def test_keras_computes_the_same():
    schedule = Piecewise([3, 7, 20], [0.5, 0.25, 0.75, 0.125], "updates")
    other = keras.optimizers.schedules.PiecewiseConstantDecay([3, 7, 20], [0.5, 0.25, 0.75, 0.125])
    for time in (0, 2, 3, 4, 6, 7, 8, 20, 21, 100):
        assert on_host(schedule, time) == float(other(time)), time


def test_lists_and_tuples_are_the_same():
    schedule = Piecewise((np.int64(5),), np.asarray([1.0, 2.0]).tolist(), "updates")
    assert schedule == Piecewise([5], [1.0, 2.0], "updates") and type(schedule.boundaries[0]) is int


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"one more than `boundaries`. Received: 2 values, 2 boundaries"):
        Piecewise([1, 2], [0.1, 0.2], "updates")
    for boundaries in ([2, 1], [1, 1], [0, 1], [-1, 1]):
        with pytest.raises(ValueError, match=r"`boundaries` must be > 0 and rising. Received: \["):
            Piecewise(boundaries, [0.1, 0.2, 0.3], "updates")
    with pytest.raises(ValueError, match=r"unit='progress' are parts of the run.* Received: \[0.5, 1\]"):
        Piecewise([0.5, 1], [0.1, 0.2, 0.3])
    for boundaries in (5, "5", None, {5: 1}):
        with pytest.raises(TypeError, match=r"`boundaries` must be a list of numbers. Received: "):
            Piecewise(boundaries, [0.1, 0.2], "updates")
    with pytest.raises(TypeError, match=r"`values\[1\]` of a schedule must be a number. Received: True"):
        Piecewise([5], [0.1, True], "updates")
    with pytest.raises(ValueError, match=r"`boundaries\[0\]` must be finite. Received: nan"):
        Piecewise([math.nan], [0.1, 0.2], "updates")
    with pytest.raises(ValueError, match=r"`unit` must be one of .* Received: 'steps'"):
        Piecewise([5], [0.1, 0.2], "steps")
    with pytest.raises(TypeError, match=r"`value` of a schedule must be a number. Received: False"):
        Constant(False)
    with pytest.raises(ValueError, match=r"`value` must be finite. Received: nan"):
        Constant(math.nan)
