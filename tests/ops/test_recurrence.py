"""Recurrent cells over sequences: by hand, and against Keras's cells one timestep at a time."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kagent import ops

STEPS, COLUMNS, UNITS = 5, 3, 4


def test_lstm_by_hand():
    """One unit, two timesteps. Gates at 0 are a half, a candidate of ln 3 is tanh(ln 3) = 0.8; the second begins anew."""
    x = np.zeros((2, 1, 4), np.float32)
    x[:, :, 2] = np.log(3.0)
    hidden, cell = np.zeros((2, 1, 1), np.float32), np.array([2.0, 4.0], np.float32).reshape(2, 1, 1)
    for begins, expected in ((True, [1.4, 2.4]), (False, [1.4, 1.1])):
        h, c = ops.lstm(x, np.zeros((1, 4), np.float32), [[False], [begins]], hidden, cell)
        np.testing.assert_allclose(c[:, 0, 0], expected, atol=1e-6)
        np.testing.assert_allclose(h[:, 0, 0], 0.5 * np.tanh(expected), atol=1e-6)


def test_gru_by_hand():
    """One unit: half of the state stays, the other half is tanh(0.5 * bias) with a bias of 2 ln 3, which is 0.8."""
    bias = np.array([0.0, 0.0, 2.0 * np.log(3.0)], np.float32)
    hidden = np.full((2, 1, 1), 2.0, np.float32)
    for begins, expected in ((False, [1.4, 1.1]), (True, [1.4, 1.4])):
        h = ops.gru(np.zeros((2, 1, 3), np.float32), np.zeros((1, 3), np.float32), bias, [[False], [begins]], hidden)
        np.testing.assert_allclose(h[:, 0, 0], expected, atol=1e-6)


def lstm(given):
    x, recurrent, _, begins, *states = given
    return ops.lstm(x, recurrent, begins, *states)


def gru(given):
    x, recurrent, bias, begins, hidden, _ = given
    return (ops.gru(x, recurrent, bias, begins, hidden),)


def stepwise(kind):
    """The same by Keras's cell, whose gradients are TensorFlow's."""

    def outputs(given):
        x, recurrent, bias, begins, *states = given
        gates = 4 if kind is keras.layers.LSTMCell else 3
        cell = kind(UNITS)
        cell.build((None, gates * UNITS))
        cell._kernel = cell.kernel = tf.eye(gates * UNITS)  # x is the product already
        cell.recurrent_kernel = recurrent
        cell.bias = tf.zeros(gates * UNITS) if gates == 4 else tf.stack([tf.zeros_like(bias), bias])
        states, after = states[: 1 + (gates == 4)], None
        found = []
        for t in range(STEPS):
            first = [part[t] for part in states]
            after = first if t == 0 else [tf.where(begins[t, :, None], one, two) for one, two in zip(first, after)]
            _, after = cell.call(x[t], list(after))
            found.append(after)
        return [tf.stack(parts) for parts in zip(*found)]

    return outputs


def given(gates):
    rng = np.random.default_rng(0)
    begins = rng.random((STEPS, COLUMNS)) < 0.3
    numbers = [(STEPS, COLUMNS, gates * UNITS), (UNITS, gates * UNITS), (gates * UNITS,)]
    x, recurrent, bias, h, c = (
        tf.constant(rng.standard_normal(shape), tf.float32) for shape in (*numbers, *[(STEPS, COLUMNS, UNITS)] * 2)
    )
    return [x, recurrent, bias, tf.constant(begins), h, c]


def learned(function, given):
    """Outputs, slopes of x, kernel and bias, and the product of the kernel's second derivatives with ones."""
    x, recurrent, bias, *rest = given
    with tf.GradientTape() as outer:
        outer.watch(recurrent)
        with tf.GradientTape() as tape:
            tape.watch([x, recurrent, bias])
            outputs = function([x, recurrent, bias, *rest])
            loss = tf.add_n([tf.reduce_sum(tf.square(part) * (n + 1.0)) for n, part in enumerate(outputs)])
        slopes = tape.gradient(loss, [x, recurrent, bias], unconnected_gradients="zero")
        total = tf.reduce_sum(slopes[1])
    return [*outputs, *slopes, outer.gradient(total, recurrent)]


@pytest.mark.parametrize("ours, kind, gates", [(lstm, keras.layers.LSTMCell, 4), (gru, keras.layers.GRUCell, 3)])
def test_values_slopes_and_second_slopes_are_those_of_keras(ours, kind, gates):
    for found, expected in zip(learned(ours, given(gates)), learned(stepwise(kind), given(gates)), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
