"""Transitions: their rows, and several of them together."""

from __future__ import annotations

import numpy as np

from kagent.memories.transition import Transition, concatenate


def step(*numbers, mask=None, valid=None):
    array = np.asarray(numbers, np.float32)
    return Transition(
        [array, np.stack([array, -array], 1)], [array.astype(np.int32), array], array, array > 1, array > 2,
        [array + 1, np.stack([array, -array], 1) + 1], mask, mask, valid,
    )  # fmt: skip


def listed(transition):
    """Nested lists of all fields, to compare."""
    return [
        field.tolist() if isinstance(field, np.ndarray) else field and [x if x is None else x.tolist() for x in field]
        for field in transition
    ]


def test_rows_are_those_of_every_array():
    mask = [np.array([[True, False], [False, True], [True, True]]), None]
    whole = step(1, 2, 3, mask=mask, valid=np.array([True, False, True]))
    assert listed(whole.take([2, 0])) == listed(
        step(3, 1, mask=[np.array([[True, True], [True, False]]), None], valid=np.array([True, True]))
    )
    assert listed(whole.take(slice(0, 1)))[6:9] == [[[[True, False]], None], [[[True, False]], None], [True]]


def test_only_timesteps_are_picked():
    assert step(1, 2).picked() is step(1, 2, valid=np.array([True, True])).picked() is None
    assert step(1, 2, 3, valid=np.array([False, True, True])).picked().tolist() == [1, 2]
    assert step(1, 2, valid=np.array([False, False])).picked().tolist() == []


def test_transitions_together_allow_everything_where_no_mask_is():
    mask = [np.array([[True, False]]), None]
    together = concatenate([step(1), step(5, mask=mask)])
    assert listed(together) == listed(step(1, 5, mask=[np.array([[True, True], [True, False]]), None]))
    assert concatenate([step(1), step(2)]).mask is None
