"""Adam with the moments of variables side by side."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from kagent import ops
from kagent.ops.vectors import LARGE

# What `FlatAdam` knows of the arguments of Keras's Adam.
ARGUMENTS = frozenset(("learning_rate", "beta_1", "beta_2", "epsilon", "global_clipnorm", "name"))


@keras.saving.register_keras_serializable("kagent")
class FlatAdam(keras.optimizers.Adam):
    """Keras's Adam, whose momentum and velocity are two vectors for all variables but large ones, not two for each.

    The steps are the same but for rounding. What differs is what an update costs beside its arithmetic: every variable
    that it reads or writes takes some microseconds of each call, and small variables a loop each. Of large variables in
    float32, each has two moments of its own shape, and its step is one pass over memory, TensorFlow's own kernel of this
    equation.

    `"adam"` as an agent's optimizer, or a learning rate, is this one; with any other argument than these it is Keras's.

    Args:
        learning_rate, beta_1, beta_2, epsilon, global_clipnorm, name: As of `keras.optimizers.Adam`.

    Example:

    >>> optimizer, variable = FlatAdam(0.5), keras.Variable([1.0, 2.0])
    >>> optimizer.apply([tf.constant([3.0, -3.0])], [variable])
    >>> [round(x, 3) for x in variable.numpy().tolist()]
    [0.5, 2.5]
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        global_clipnorm: float | None = None,
        name: str = "adam",
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, global_clipnorm=global_clipnorm, name=name)

    def build(self, variables: list[Any]) -> None:
        if self.built:
            return
        super(keras.optimizers.Adam, self).build(variables)  # Keras's Adam makes its own moments
        self._trained = lambda: list(variables)  # as an attribute, Keras would count them among the optimizer's own
        small = [variable for variable in variables if math.prod(variable.shape) < LARGE]
        large = [[variable] for variable in variables if math.prod(variable.shape) >= LARGE]
        self._groups = [_Group(self, i, group) for i, group in enumerate(([small] if small else []) + large)]

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """As `keras.optimizers.Optimizer.apply`. Variables without a gradient, or not given, stay as they are, and so do
        their moments.

        Raises:
            ValueError: No gradient at all, no variables, or others than the optimizer was built for.
        """
        self.descend(grads, trainable_variables)

    def descend(self, grads: Any, trainable_variables: Any = None) -> tf.Tensor | None:
        """As `apply`.

        Returns:
            The norm of all gradients before they are clipped by it, a float32 scalar; None without `global_clipnorm`.
        """
        if not self.built:
            if trainable_variables is None:
                raise ValueError("The optimizer does not know its variables yet: give them, or `build` it with them")
            with keras.name_scope(self.name):
                self.build(list(trainable_variables))
        variables = self._trained() if trainable_variables is None else list(trainable_variables)
        self._check(grads, variables)
        found = {id(v): tf.cast(tf.convert_to_tensor(g), tf.float32) for v, g in zip(variables, grads) if g is not None}
        groups = [group for group in self._groups if any(key in found for key in group.places)]
        joined = [group.joined(found) for group in groups]
        norm = None
        if self.global_clipnorm is not None:
            norm = ops.global_norm(joined)
            joined = ops.clip_by_global_norm(joined, self.global_clipnorm, norm)
        time = tf.cast(self.iterations.value + 1, tf.float32)
        rate = tf.cast(self.learning_rate, tf.float32)
        for group, gradient in zip(groups, joined):
            group.step(gradient, found, time, rate, self.beta_1, self.beta_2, self.epsilon)
        for variable in variables:
            if id(variable) in found and variable.constraint is not None:
                variable.assign(variable.constraint(variable))
        self.iterations.assign_add(1)
        return norm

    def _check(self, gradients: Any, variables: list[Any]) -> None:
        if len(gradients) != len(variables):
            raise ValueError(f"`grads` must be one for each variable, {len(variables)}. Received: {len(gradients)}")
        if all(gradient is None for gradient in gradients):
            raise ValueError(f"No gradient for any variable. Variables: {[variable.path for variable in variables]}")
        known = {key for group in self._groups for key in group.places}
        unknown = [variable.path for variable in variables if id(variable) not in known]
        if unknown:
            raise ValueError(f"The optimizer was built for other variables. Received: {unknown}")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {name: config[name] for name in config if name in ARGUMENTS}


class _Group:
    # Variables whose moments lie side by side, or a single large one, which TensorFlow's kernel takes in float32 only.

    def __init__(self, optimizer: FlatAdam, number: int, variables: list[Any]):
        sizes = [math.prod(variable.shape) for variable in variables]
        self.places = dict(zip(map(id, variables), zip(variables, sizes)))
        self.alone: Any = variables[0] if sizes[0] >= LARGE and variables[0].dtype == "float32" else None
        shape = (sum(sizes),) if self.alone is None else self.alone.shape
        self.momentum, self.velocity = (
            optimizer.add_variable(shape, dtype="float32", name=f"{name}_{number}") for name in ("momentum", "velocity")
        )

    def joined(self, found: dict[int, tf.Tensor]) -> tf.Tensor:
        # Gradients in the order of the moments, 0 where there is none.
        if self.alone is not None:
            return found[id(self.alone)]
        return ops.flatten(
            [found[key] if key in found else tf.zeros((size,)) for key, (_, size) in self.places.items()]
        )

    def step(self, gradient: tf.Tensor, found: Any, time: tf.Tensor, rate: tf.Tensor, *constants: float) -> None:
        if self.alone is not None:
            self._step_alone(gradient, time, rate, *constants)
            return
        momentum, velocity = self.momentum.value, self.velocity.value
        moments = ops.adam(gradient, momentum, velocity, time, rate, *constants)
        new = [moments.momentum, moments.velocity]
        if any(key not in found for key in self.places):
            has = ops.flatten([tf.fill((size,), float(key in found)) for key, (_, size) in self.places.items()])
            new = [tf.where(has > 0.0, one, other) for one, other in zip(new, (momentum, velocity))]
        self.momentum.assign(new[0])
        self.velocity.assign(new[1])
        variables = [variable for variable, _ in self.places.values()]
        for variable, change in zip(variables, ops.unflatten(moments.change, variables)):
            if id(variable) in found:
                variable.assign_sub(tf.cast(change, variable.dtype))

    def _step_alone(
        self, gradient: tf.Tensor, time: tf.Tensor, rate: tf.Tensor, beta_1: float, beta_2: float, epsilon: float
    ) -> None:
        tf.raw_ops.ResourceApplyAdam(
            var=self.alone.value.handle,
            m=self.momentum.value.handle,
            v=self.velocity.value.handle,
            beta1_power=beta_1**time,
            beta2_power=beta_2**time,
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=gradient,
        )
