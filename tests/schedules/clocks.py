"""Clocks of tensors, and schedules as the learner runs them."""

from __future__ import annotations

import tensorflow as tf

from kagent.schedules import Clock


def tensors(clock):
    return Clock(*(tf.constant(value, tf.float64) for value in clock[:-1]), seed=clock.seed)


def on_tensors(schedule, time):
    """The value at a time that is a tensor, uncompiled: the compiler takes its tenths of a second."""
    found = schedule(tensors(Clock(time, time, time, time)))
    assert found.dtype == tf.float32 and found.shape == ()
    return float(found)


def compiled(*schedules):
    """`f(time) -> floats`: schedules inside one XLA program, every unit of the clock at `time`."""
    program = tf.function(
        lambda time: [schedule(Clock(time, time, time, time)) for schedule in schedules], jit_compile=True,
        input_signature=[tf.TensorSpec((), tf.float64)],
    )  # fmt: skip

    def values(time):
        found = program(tf.constant(time, tf.float64))
        assert all(value.dtype == tf.float32 and value.shape == () for value in found)
        return [float(value) for value in found]

    return values


def on_host(schedule, time):
    found = schedule(Clock(time, time, time, time))
    assert type(found) is float
    return found
