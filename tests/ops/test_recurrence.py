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


def test_simple_rnn_by_hand():
    """One unit with a recurrent weight of 2 and an input of ln 2 - 1: tanh(ln 2 - 1 + 2 h) of h = 0.5 is tanh(ln 2) = 0.6."""
    x, hidden = np.full((2, 1, 1), np.log(2.0) - 1.0, np.float32), np.full((2, 1, 1), 0.5, np.float32)
    for begins, second in ((True, 0.6), (False, np.tanh(np.log(2.0) + 0.2))):
        h = ops.simple_rnn(x, [[2.0]], [[False], [begins]], hidden)
        np.testing.assert_allclose(h[:, 0, 0], [0.6, second], atol=1e-6)


def lstm(given):
    x, recurrent, _, begins, *states = given
    return ops.lstm(x, recurrent, begins, *states)


def gru(given):
    x, recurrent, bias, begins, hidden, _ = given
    return (ops.gru(x, recurrent, bias, begins, hidden),)


def simple_rnn(given):
    x, recurrent, _, begins, hidden, _ = given
    return (ops.simple_rnn(x, recurrent, begins, hidden),)


GATES = {keras.layers.LSTMCell: 4, keras.layers.GRUCell: 3, keras.layers.SimpleRNNCell: 1}


def stepwise(kind):
    """The same by Keras's cell, whose gradients are TensorFlow's."""

    def outputs(given):
        x, recurrent, bias, begins, *states = given
        gates = GATES[kind]
        cell = kind(UNITS)
        cell.build((None, gates * UNITS))
        cell._kernel = cell.kernel = tf.eye(gates * UNITS)  # x is the product already
        cell.recurrent_kernel = recurrent
        cell.bias = tf.stack([tf.zeros_like(bias), bias]) if gates == 3 else tf.zeros(gates * UNITS)
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


@pytest.mark.parametrize("ours, kind", list(zip((lstm, gru, simple_rnn), GATES)))
def test_values_slopes_and_second_slopes_are_those_of_keras(ours, kind):
    sizes = given(GATES[kind])
    for found, expected in zip(learned(ours, sizes), learned(stepwise(kind), sizes), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
