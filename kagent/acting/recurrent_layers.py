"""One timestep of Keras's recurrent layers in a program. Keras is imported only when something is compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kagent.acting.layers import UnsupportedLayer, check_precision, function_name, named

if TYPE_CHECKING:
    from kagent.acting.compiler import Compiler


def step(compiler: Compiler, layer: Any, x: int, state: list[int]) -> list[int]:
    """Adds the nodes of one timestep.

    Args:
        compiler: Writes the program.
        layer: An LSTM, GRU or SimpleRNN, or an RNN of cells of these.
        x: Number of the features' value, `(F,)`.
        state: Numbers of the values of the state's parts.

    Returns:
        Numbers of the output and of the state's parts after it.

    Raises:
        UnsupportedLayer: Another layer or cell, or an activation or a precision without a NumPy form.
    """
    import keras

    layers = keras.layers
    if type(layer) not in (layers.LSTM, layers.GRU, layers.SimpleRNN, layers.RNN):
        raise UnsupportedLayer(f"{named(layer)} has no NumPy form")
    stacked = type(layer.cell) is layers.StackedRNNCells
    after: list[int] = []
    for cell in layer.cell.cells if stacked else [layer.cell]:
        parts = 2 if type(cell) is layers.LSTMCell else 1
        own, state = state[:parts], state[parts:]
        x, *following = _cell(compiler, cell, x, own)
        after += following
    return [x, *after]


def _cell(compiler: Compiler, cell: Any, x: int, state: list[int]) -> list[int]:
    import keras

    layers = keras.layers
    if type(cell) not in (layers.LSTMCell, layers.GRUCell, layers.SimpleRNNCell):
        raise UnsupportedLayer(f"{named(cell)} has no NumPy form")
    check_precision(cell)
    weights = [cell.kernel, cell.recurrent_kernel, *([cell.bias] if cell.use_bias else [])]
    options = {"activation": _name(cell, "activation")}
    if type(cell) is layers.SimpleRNNCell:
        h = compiler.add("simple_rnn", [x, *state], weights, **options)
        return [h, h]
    options["recurrent_activation"] = _name(cell, "recurrent_activation")
    if type(cell) is layers.GRUCell:
        h = compiler.add("gru", [x, *state], weights, reset_after=bool(cell.reset_after), **options)
        return [h, h]
    both, units = compiler.add("lstm", [x, *state], weights, **options), int(cell.units)
    h = compiler.add("slice", [both], start=0, stop=units)
    return [h, h, compiler.add("slice", [both], start=units, stop=2 * units)]


def _name(cell: Any, which: str) -> str:
    name = function_name(getattr(cell, which))
    if name is None:
        raise UnsupportedLayer(f"{named(cell)} has a {which} without a NumPy form: {getattr(cell, which)!r}")
    return name
