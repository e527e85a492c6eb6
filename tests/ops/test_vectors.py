"""Tensors as vectors, with numbers typed in by hand."""

import itertools

import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from kagent import ops

TENSORS = [tf.constant([[1.0, 2.0]]), tf.constant(3.0), tf.constant([4.0])]


def test_flat_and_back(mode):
    found = mode(lambda: (ops.flatten(TENSORS), ops.unflatten(ops.flatten(TENSORS), TENSORS)))()
    assert found[0].numpy().tolist() == [1.0, 2.0, 3.0, 4.0]
    for a, b in zip(found[1], TENSORS, strict=True):
        assert a.shape == b.shape and (a.numpy() == b.numpy()).all()
    assert ops.flatten([tf.constant([[1, 2]])]).numpy().tolist() == [1.0, 2.0]
    assert ops.flatten([tf.constant([1.5], tf.float16), tf.constant([2])]).dtype == tf.float32


def test_pieces_by_hand(mode):
    found = mode(lambda: ops.pieces([*TENSORS, tf.constant([5.0, 6.0]), tf.constant([7.0, 8.0])], large=2))()
    assert [x.numpy().tolist() for x in found] == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]
    assert ops.pieces([]) == []


@given(st.lists(st.integers(0, 6), max_size=9), st.integers(1, 7))
def test_pieces_are_all_in_order(sizes, large):
    """Together the entries in order; two small neighbours are never apart, and none is joined to a large one."""
    tensors = [tf.fill((size,), float(i)) for i, size in enumerate(sizes)]
    found = [piece.numpy().tolist() for piece in ops.pieces(tensors, large)]
    assert list(itertools.chain(*found)) == [float(i) for i, size in enumerate(sizes) for _ in range(size)]
    expected = []
    for small, run in itertools.groupby(sizes, lambda size: size < large):
        widths = list(run)
        expected += [sum(widths)] if small else widths
    assert [len(piece) for piece in found] == expected
