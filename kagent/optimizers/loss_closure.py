"""What one call of `Agent.minimize` asks of an optimizer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from kagent.schedules import Clock

Found = tuple[tf.Tensor, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A loss to make smaller, evaluated as often as an optimizer likes.

    Attributes:
        loss: From a batch to the loss, a float32 scalar with all regularization, and a dict of other values.
        variables: Keras variables that may move; the loss is always that of their present values.
        batch: What `loss` is called with: nested tensors `(B, ...)`, or None.
        clock: The time now, for schedules.
        seed: `(2,)`, of whatever is drawn: the same problem always draws the same. None where nothing is.
        policy: The policy that learns, where nothing else does; None elsewhere.
        states: Variables that an evaluation of the loss moves by itself, such as moving statistics and the states of random
            layers, with their values before the first: each evaluation begins from these, so that all of them draw the same,
            and a gradient step moves them once.
    """

    loss: Callable[[Any], Found]
    variables: list[Any]
    batch: Any
    clock: Clock
    seed: Any = None
    policy: Any = None
    states: Sequence[tuple[Any, tf.Tensor]] = ()

    def evaluate(self) -> Found:
        """The loss and the other values, now."""
        self.rewind()
        return self.loss(self.batch)

    def rewind(self) -> None:
        """Brings `states` back to where evaluations begin."""
        for state, value in self.states:
            state.assign(value)

    def value(self) -> tf.Tensor:
        """The loss, now."""
        return self.evaluate()[0]

    def gradients(self, scale: Callable[[tf.Tensor], tf.Tensor] = lambda loss: loss) -> tuple[Found, list[Any]]:
        """What `evaluate` returns, and the gradients of `scale(loss)`, None where a variable has no part in it."""
        variables = [variable.value for variable in self.variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for variable in variables:
                tape.watch(variable)
            found = self.evaluate()
            scaled = scale(found[0])
        gradients = tape.gradient(scaled, variables)
        # All that was found before a variable moves: TensorFlow's optimizer of graphs (that of dependencies, in 2.21) does
        # not keep to that by itself, and of a thousand updates one then mixed values of before and after its step.
        with tf.control_dependencies(tf.nest.flatten(found)):
            return found, [None if gradient is None else tf.identity(gradient) for gradient in gradients]

    def snapshot(self) -> list[tf.Tensor]:
        """The variables' present values."""
        return [tf.identity(variable.value) for variable in self.variables]

    def assign(self, values: list[tf.Tensor]) -> None:
        """Gives the variables these values, moved to where their constraints allow."""
        for variable, value in zip(self.variables, values):
            variable.assign(value if variable.constraint is None else variable.constraint(value))

    def restore_unless(self, condition: tf.Tensor, before: list[tf.Tensor]) -> None:
        """Leaves the variables as they are where the scalar is True, else brings back what they were, to the bit."""
        for variable, value in zip(self.variables, before):
            variable.assign(tf.where(condition, variable.value, value))

    def with_seed(self, number: Any) -> Problem:
        """The same problem with another seed."""
        seed = tf.random.fold_in(self.seed, number, alg="philox")
        return dataclasses.replace(self, seed=seed, states=values_of([state for state, _ in self.states]))


def values_of(variables: Sequence[Any]) -> list[tuple[Any, tf.Tensor]]:
    """Variables with the values they have now."""
    return [(variable, tf.identity(variable.value)) for variable in variables]
