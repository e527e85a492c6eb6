"""The sum tree against running sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent.memories.sum_tree import SumTree

changes = st.lists(st.lists(st.tuples(st.integers(0, 36), st.integers(0, 1000)), max_size=9), max_size=12)


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 37), changes=changes, points=st.lists(st.floats(0, 1, exclude_max=True), max_size=8))
def test_it_finds_what_running_sums_find(size, changes, points):
    tree, weights = SumTree(size), np.zeros(size)
    for change in changes:
        entries = np.array([entry % size for entry, _ in change], np.int64)
        values = np.array([value / 8 for _, value in change])  # exact sums
        tree.set(entries, values)
        for entry, value in zip(entries, values):
            weights[entry] = value
    assert tree.total == weights.sum()
    np.testing.assert_array_equal(tree.weights, weights)
    if tree.total:
        masses = np.array(points) * tree.total
        expected = np.searchsorted(np.cumsum(weights), masses, side="right")
        np.testing.assert_array_equal(tree.find(masses), expected)


def test_equal_weights_make_equal_trees():
    generator, one, other = np.random.default_rng(0), SumTree(50), SumTree(50)
    for _ in range(200):
        one.set(generator.integers(50, size=7), generator.random(7))
    other.set(np.arange(50), one.weights)
    np.testing.assert_array_equal(one._nodes, other._nodes)


def test_entries_of_weight_0_are_never_found():
    tree = SumTree(5)
    tree.set(np.array([1, 3]), np.array([0.1, 0.2]))
    masses = np.array([[0.0, 0.0999, 0.1], [0.3, 0.31, 0.2]])  # also beyond the end, where rounding may lead
    assert tree.find(masses).tolist() == [[1, 1, 3], [3, 3, 3]]


@pytest.mark.sensitive
def test_draws_are_in_proportion():
    weights = np.array([1.0, 0.0, 5.0, 2.0, 0.5, 1.5])
    tree = SumTree(6)
    tree.set(np.arange(6), weights)
    drawn = tree.find(np.random.default_rng(3).random(20_000) * tree.total)
    counts, expected = np.bincount(drawn, minlength=6), weights * 2000
    assert counts[1] == 0
    # Chi-squared with 4 degrees of freedom: beyond 36 with probability 3e-7.
    assert ((counts - expected)[expected > 0] ** 2 / expected[expected > 0]).sum() < 36
