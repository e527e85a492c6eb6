"""What an optimizer is asked for."""

import keras
import tensorflow as tf

from kagent.optimizers.minimizer import Problem
from kagent.schedules import Clock


def test_all_that_is_found_comes_before_any_step():
    """TensorFlow's graph optimizer would else mix values of before and after it, of one update in a thousand."""
    variable = keras.Variable([1.0, 2.0])

    @tf.function(autograph=False)
    def step(batch):
        aside = tf.reduce_sum(variable.value * 3.0)  # part of what is logged, and not of the gradient
        problem = Problem(lambda x: (tf.reduce_sum(x * variable.value), {"aside": aside}), [variable], batch, Clock())
        found, (gradient,) = problem.gradients()
        assert set(gradient.op.control_inputs) >= {found[0].op, found[1]["aside"].op}
        variable.assign_sub(gradient)
        return found[1]["aside"]

    assert float(step(tf.constant([1.0, 1.0]))) == 9.0
    assert variable.numpy().tolist() == [0.0, 1.0]
