"""Recurrent cells over whole sequences: the products of inputs with kernels before the recurrence, and gradients of kernels behind it.

One timestep after the other goes through as little as possible: a product with the recurrent kernel and what is done to its
numbers. What does not depend on the timestep before is computed of all timesteps together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def lstm(x: Any, recurrent: Any, begins: Any, hidden: Any, cell: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Long short-term memory (Hochreiter and Schmidhuber 1997; with the forget gate of Gers et al. 2000) over L timesteps.

    `i, f, o = sigmoid(x_i + h R_i), ...`, `g = tanh(x_g + h R_g)`, `c' = f c + i g` and `h' = o tanh(c')`.

    Args:
        x: float32 `(L, B, 4 U)`, of every timestep the product of its input with the kernel, and the bias: of the gates i, f, g, o.
        recurrent: float32 `(U, 4 U)`, the recurrent kernel R.
        begins: bool `(L, B)`: where a sequence begins. At the first timestep it does in any case.
        hidden, cell: float32 `(L, B, U)`, the states h and c that sequences begin in; elsewhere not read.

    Returns:
        The states h and c after each timestep, `(L, B, U)` each.

    Example:

    >>> one = tf.ones((1, 1, 4))
    >>> h, c = lstm(one, tf.zeros((1, 4)), [[True]], tf.zeros((1, 1, 1)), tf.fill((1, 1, 1), 2.0))
    >>> expected = tf.sigmoid(1.0) * (2.0 + tf.tanh(1.0))
    >>> abs(c.numpy().item() - expected.numpy().item()) < 1e-6
    True
    """
    found: tuple[tf.Tensor, tf.Tensor] = _lstm(*_tensors(x, recurrent, begins, hidden, cell))
    return found


@tf.custom_gradient
def _lstm(x: Any, recurrent: Any, begins: Any, hidden: Any, cell: Any) -> Any:
    units = recurrent.shape[0]

    def forward(state: Sequence[Any], now: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        x, begin, first_h, first_c = now
        h, c = tf.where(begin, first_h, state[0]), tf.where(begin, first_c, state[1])
        gates = x + tf.matmul(h, recurrent)
        i, f, g, o = _activated(gates, units)
        c = f * c + i * g
        h = o * tf.tanh(c)
        return (h, c), (h, c, tf.concat([i, f, g, o], axis=-1))

    zeros = tf.zeros_like(hidden[0])
    h, c, gates = _through(forward, (x, begins, hidden, cell), (zeros, zeros), (units, units, 4 * units))

    def gradient(h_slope: Any, c_slope: Any) -> Any:
        h_before, c_before = (_before(begins, first, after) for first, after in ((hidden, h), (cell, c)))
        i, f, g, o = tf.split(gates, 4, axis=-1)
        bent = tf.tanh(c)
        # Slopes of the gates' inputs, per slope of c (the first three) or of h.
        of_c = tf.concat([g * i * (1.0 - i), c_before * f * (1.0 - f), i * (1.0 - g * g)], axis=-1)
        of_h, into_c, transposed = bent * o * (1.0 - o), o * (1.0 - bent * bent), tf.transpose(recurrent)

        def backward(state: Sequence[Any], now: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
            begin, h_slope, c_slope, of_c, of_h, into_c, f = now
            h_slope = h_slope + state[0]
            c_slope = c_slope + state[1] + h_slope * into_c
            slopes = tf.concat([tf.tile(c_slope, (1, 3)) * of_c, h_slope * of_h], axis=-1)
            nothing = tf.zeros_like(h_slope)
            h_before = tf.where(begin, nothing, tf.matmul(slopes, transposed))
            return (h_before, tf.where(begin, nothing, c_slope * f)), (slopes,)

        given = (begins, h_slope, c_slope, of_c, of_h, into_c, f)
        (slopes,) = _through(backward, given, (zeros, zeros), (4 * units,), reverse=True)
        return slopes, _kernel_slope(h_before, slopes), None, None, None

    return (h, c), gradient


def gru(x: Any, recurrent: Any, bias: Any, begins: Any, hidden: Any) -> tf.Tensor:
    """A gated recurrent unit (Cho et al. 2014), its reset gate applied after the product, over L timesteps.

    `y = h R + b`, `z, r = sigmoid(x_z + y_z), ...`, `g = tanh(x_g + r y_g)` and `h' = z h + (1 - z) g`.

    Args:
        x: float32 `(L, B, 3 U)`, of every timestep the product of its input with the kernel, and the bias: of z, r, g.
        recurrent: float32 `(U, 3 U)`, the recurrent kernel R.
        bias: float32 `(3 U,)`, b.
        begins: bool `(L, B)`: where a sequence begins. At the first timestep it does in any case.
        hidden: float32 `(L, B, U)`, the states h that sequences begin in; elsewhere not read.

    Returns:
        The state after each timestep, `(L, B, U)`.

    Example:

    >>> h = gru(tf.zeros((1, 1, 3)), tf.zeros((1, 3)), tf.zeros(3), [[True]], tf.fill((1, 1, 1), 2.0))
    >>> h.numpy().item()  # half of it is kept
    1.0
    """
    found: tf.Tensor = _gru(*_tensors(x, recurrent, bias, begins, hidden))
    return found


@tf.custom_gradient
def _gru(x: Any, recurrent: Any, bias: Any, begins: Any, hidden: Any) -> Any:
    units = recurrent.shape[0]

    def forward(state: Sequence[Any], now: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        x, begin, first = now
        h = tf.where(begin, first, state[0])
        y = tf.matmul(h, recurrent) + bias
        gates = tf.sigmoid(x[:, : 2 * units] + y[:, : 2 * units])
        z, r = gates[:, :units], gates[:, units:]
        g = tf.tanh(x[:, 2 * units :] + r * y[:, 2 * units :])
        h = z * h + (1.0 - z) * g
        return (h,), (h, tf.concat([gates, g, y[:, 2 * units :]], axis=-1))

    zeros = tf.zeros_like(hidden[0])
    h, kept = _through(forward, (x, begins, hidden), (zeros,), (units, 4 * units))

    def gradient(slope: Any) -> Any:
        before = _before(begins, hidden, h)
        z, r, g, y = tf.split(kept, 4, axis=-1)
        of_z, of_g = (before - g) * z * (1.0 - z), (1.0 - z) * (1.0 - g * g)
        of_r = of_g * y * r * (1.0 - r)
        of_y, transposed = tf.concat([of_z, of_r, of_g * r], axis=-1), tf.transpose(recurrent)

        def backward(state: Sequence[Any], now: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
            begin, slope, of_y, z = now
            slope = slope + state[0]
            into = slope * z + tf.matmul(tf.tile(slope, (1, 3)) * of_y, transposed)
            return (tf.where(begin, tf.zeros_like(into), into),), (slope,)

        (slopes,) = _through(backward, (begins, slope, of_y, z), (zeros,), (units,), reverse=True)
        inner = tf.tile(slopes, (1, 1, 3)) * of_y
        outer = tf.concat([inner[..., : 2 * units], slopes * of_g], axis=-1)
        return outer, _kernel_slope(before, inner), tf.reduce_sum(inner, axis=(0, 1)), None, None

    return h, gradient


def simple_rnn(x: Any, recurrent: Any, begins: Any, hidden: Any) -> tf.Tensor:
    """A recurrent layer without gates (Elman 1990) over L timesteps: `h' = tanh(x + h R)`.

    Args:
        x: float32 `(L, B, U)`, of every timestep the product of its input with the kernel, and the bias.
        recurrent: float32 `(U, U)`, the recurrent kernel R.
        begins: bool `(L, B)`: where a sequence begins. At the first timestep it does in any case.
        hidden: float32 `(L, B, U)`, the states h that sequences begin in; elsewhere not read.

    Returns:
        The state after each timestep, `(L, B, U)`.

    Example:

    >>> h = simple_rnn(tf.zeros((1, 1, 1)), [[2.0]], [[True]], tf.fill((1, 1, 1), 0.5))
    >>> abs(h.numpy().item() - tf.tanh(1.0).numpy().item()) < 1e-6
    True
    """
    found: tf.Tensor = _simple_rnn(*_tensors(x, recurrent, begins, hidden))
    return found


@tf.custom_gradient
def _simple_rnn(x: Any, recurrent: Any, begins: Any, hidden: Any) -> Any:
    def forward(state: Sequence[Any], now: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        x, begin, first = now
        h = tf.tanh(x + tf.matmul(tf.where(begin, first, state[0]), recurrent))
        return (h,), (h,)

    zeros = tf.zeros_like(hidden[0])
    (h,) = _through(forward, (x, begins, hidden), (zeros,), (recurrent.shape[0],))

    def gradient(slope: Any) -> Any:
        bent, transposed = 1.0 - h * h, tf.transpose(recurrent)

        def backward(state: Sequence[Any], now: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
            begin, slope, bent = now
            inner = (slope + state[0]) * bent
            return (tf.where(begin, tf.zeros_like(inner), tf.matmul(inner, transposed)),), (inner,)

        (slopes,) = _through(backward, (begins, slope, bent), (zeros,), (recurrent.shape[0],), reverse=True)
        return slopes, _kernel_slope(_before(begins, hidden, h), slopes), None, None

    return h, gradient


def _tensors(*given: Any) -> list[tf.Tensor]:
    # With begins as `(L, B, 1)`, true in the first row.
    found = []
    for one in given:
        one = tf.convert_to_tensor(one)
        if one.dtype == tf.bool:
            one = tf.concat([tf.ones_like(one[:1]), one[1:]], axis=0)[..., tf.newaxis]
        found.append(one)
    return found


def _activated(gates: Any, units: int) -> tuple[Any, ...]:
    first, last = tf.sigmoid(gates[:, : 2 * units]), tf.sigmoid(gates[:, 3 * units :])
    return first[:, :units], first[:, units:], tf.tanh(gates[:, 2 * units : 3 * units]), last


def _before(begins: Any, first: Any, after: Any) -> tf.Tensor:
    # The state that each timestep had before it.
    return tf.where(begins, first, tf.concat([first[:1], after[:-1]], axis=0))


def _kernel_slope(before: Any, slopes: Any) -> tf.Tensor:
    rows = tf.reshape(before, (-1, before.shape[-1])), tf.reshape(slopes, (-1, slopes.shape[-1]))
    return tf.matmul(*rows, transpose_a=True)


def _through(
    step: Callable[[Sequence[Any], Sequence[Any]], tuple[Sequence[Any], Sequence[Any]]],
    inputs: Sequence[Any],
    state: Sequence[Any],
    sizes: Sequence[int],
    reverse: bool = False,
) -> list[tf.Tensor]:
    """Takes a state through timesteps.

    Args:
        step: From a state and the inputs of one timestep to the state after it and the outputs, `(B, size)` each.
        inputs: `(L, B, ...)` each.
        state: The first one.
        sizes: Of the outputs.
        reverse: From the last timestep to the first one.

    Returns:
        The outputs, `(L, B, size)`.
    """
    steps = inputs[0].shape[0]
    steps = tf.shape(inputs[0])[0] if steps is None else steps
    given = [tf.TensorArray(one.dtype, steps, element_shape=one.shape[1:]).unstack(one) for one in inputs]
    rows = state[0].shape[0]
    made = [tf.TensorArray(tf.float32, steps, element_shape=(rows, size)) for size in sizes]

    def body(n: Any, state: Any, made: Any) -> Any:
        t = steps - 1 - n if reverse else n
        state, outputs = step(state, [one.read(t) for one in given])
        return n + 1, tuple(state), [array.write(t, output) for array, output in zip(made, outputs)]

    _, _, made = tf.while_loop(lambda n, *_: n < steps, body, (0, tuple(state), made), maximum_iterations=steps)
    return [array.stack() for array in made]
