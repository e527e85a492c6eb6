"""Small problems for optimizers, solved eagerly, as a graph and under XLA."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from modes import compiled

from kagent import optimizers
from kagent.schedules import Clock


def minimized(
    loss: Any,
    start: Any,
    optimizer: Any,
    mode: str = "eager",
    batch: Any = None,
    clock: Clock | None = None,
    seed: tuple[int, int] = (0, 0),
    times: int = 1,
) -> tuple[list[np.ndarray], float]:
    """Variables after steps from `start` (a list of arrays), and the loss that the last of them returned.

    Args:
        loss: From the variables' values and the batch to a scalar.
        optimizer: What an agent takes for one: its modifiers are on.
    """
    variables = [keras.Variable(np.asarray(x, np.float32)) for x in start]
    made, _ = optimizers.get(optimizer, "policy")
    made.build(variables)
    step = optimizers.step_of(made, optimizers.modifiers_of(optimizer))

    def evaluate(part: Any) -> Any:
        return tf.convert_to_tensor(loss([v.value for v in variables], part), tf.float32), {}

    def run(batch: Any) -> tf.Tensor:
        given = Clock() if clock is None else clock
        return step(optimizers.Problem(evaluate, variables, batch, given, tf.constant(seed, tf.int32)))[0]

    program = compiled(run, mode)
    for _ in range(times):
        found = program(batch)
    return [v.numpy() for v in variables], float(found)
