"""Keras's LSTM, GRU and SimpleRNN cells over whole sequences, by the equations of `kagent.ops`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from kagent import ops


class CellEquation(NamedTuple):
    """What a cell computes over a sequence.

    Attributes:
        function: From inputs `(L, B, F)`, begins bool `(L, B)` and the parts of the state beside each timestep `(L, B, size)` to the
            outputs and the parts of the state after each timestep.
        parts: Parts of its state.
    """

    function: Callable[[Any, Any, list[Any]], list[Any]]
    parts: int


def equations_of(layer: Any) -> list[CellEquation] | None:
    """The equations of a recurrent layer's cells, one behind the other; None: one of them has none.

    Those of `LSTM`, `GRU` and `SimpleRNN` in float32, with the activations that Keras gives them.
    """
    stacked = type(layer.cell) is keras.layers.StackedRNNCells
    found = [_equation(cell) for cell in (layer.cell.cells if stacked else [layer.cell])]
    known = [one for one in found if one is not None]
    return known if len(known) == len(found) else None


def _equation(cell: Any) -> CellEquation | None:
    kinds = {
        keras.layers.LSTMCell: (_lstm, 2),
        keras.layers.GRUCell: (_gru, 1),
        keras.layers.SimpleRNNCell: (_simple_rnn, 1),
    }
    sigmoid = keras.activations.sigmoid
    if (
        type(cell) not in kinds
        or not getattr(cell, "reset_after", True)
        or cell.activation != keras.activations.tanh
        or getattr(cell, "recurrent_activation", sigmoid) != sigmoid  # `SimpleRNN` has none
        or not cell.compute_dtype == cell.variable_dtype == "float32"
    ):
        return None
    function, parts = kinds[type(cell)]
    return CellEquation(lambda x, begins, states: function(cell, x, begins, states), parts)


def _lstm(cell: Any, x: Any, begins: Any, states: list[Any]) -> list[Any]:
    projected = _projected(cell, x, tf.convert_to_tensor(cell.bias) if cell.use_bias else None)
    h, c = ops.lstm(projected, cell.recurrent_kernel, begins, *states)
    return [h, h, c]


def _gru(cell: Any, x: Any, begins: Any, states: list[Any]) -> list[Any]:
    outer, inner = tf.unstack(tf.convert_to_tensor(cell.bias)) if cell.use_bias else (None, tf.zeros(3 * cell.units))
    h = ops.gru(_projected(cell, x, outer), cell.recurrent_kernel, inner, begins, *states)
    return [h, h]


def _simple_rnn(cell: Any, x: Any, begins: Any, states: list[Any]) -> list[Any]:
    projected = _projected(cell, x, tf.convert_to_tensor(cell.bias) if cell.use_bias else None)
    h = ops.simple_rnn(projected, cell.recurrent_kernel, begins, *states)
    return [h, h]


def _projected(cell: Any, x: Any, bias: Any) -> tf.Tensor:
    found = tf.tensordot(x, tf.convert_to_tensor(cell.kernel), 1)
    return found if bias is None else found + bias
