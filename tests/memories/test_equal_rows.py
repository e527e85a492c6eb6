"""Rows of the same bytes are found from a place on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent.memories import equal_rows
from kagent.memories.equal_rows import first_equal


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(), sources=st.integers(0, 8), targets=st.integers(0, 8), widths=st.sampled_from([(1,), (2, 3), (600,)])
)
def test_it_is_what_a_loop_finds(data, sources, targets, widths):
    random = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    kinds = [np.int8, np.int64][: len(widths)]
    rows = [
        random.integers(-1, 2, (sources + targets, 1)).repeat(width, 1).astype(kind)
        for width, kind in zip(widths, kinds)
    ]
    own, others = [part[:sources] for part in rows], [part[sources:] for part in rows]
    begin = random.integers(0, targets + 2, sources)

    def slow(i):
        equal = [j for j in range(begin[i], targets) if all((a[i] == b[j]).all() for a, b in zip(own, others))]
        return equal[0] if equal else -1

    assert first_equal(own, begin, others).tolist() == [slow(i) for i in range(sources)]


def test_equal_hashes_of_unequal_rows_are_no_find(monkeypatch):
    monkeypatch.setattr(equal_rows, "_hashes", lambda parts: np.zeros(len(parts[0]), np.uint64))
    rows = [np.array([[1], [2], [1]])]
    assert first_equal(rows, np.zeros(3, np.int64), rows).tolist() == [0, -1, 0]


@pytest.mark.parametrize("width", [2, 600])
def test_parts_in_another_order_are_another_row(width):
    one, two = np.full((1, width), 3), np.full((1, width), 5)
    assert first_equal([one, two], np.array([0]), [two, one]).tolist() == [-1]
