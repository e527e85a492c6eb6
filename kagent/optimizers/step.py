"""One step of an optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from kagent import ops
from kagent.optimizers.evolutionary import Evolutionary
from kagent.optimizers.flat_adam import FlatAdam
from kagent.optimizers.modifiers import Modifier, Step
from kagent.optimizers.natural_gradient import NaturalGradient

if TYPE_CHECKING:
    from kagent.optimizers.minimizer import Found, Problem


def apply(optimizer: Any, gradients: list[Any], variables: list[Any]) -> None:
    """`optimizer.apply`, with `global_clipnorm` by `ops.clip_by_global_norm`, which XLA compiles to faster code.

    `FlatAdam` clips by it itself.
    """
    norm = None if isinstance(optimizer, FlatAdam) else getattr(optimizer, "global_clipnorm", None)
    if norm is None or any(not isinstance(gradient, tf.Tensor) for gradient in gradients):
        optimizer.apply(gradients, variables)
        return
    optimizer.global_clipnorm = None
    try:
        optimizer.apply(ops.clip_by_global_norm(gradients, norm), variables)
    finally:
        optimizer.global_clipnorm = norm


def uses_closure(optimizer: Any) -> bool:
    """Whether it steps by more than gradients: from a `Problem`."""
    return isinstance(optimizer, NaturalGradient | Evolutionary)


def step_of(optimizer: Any, modifiers: Sequence[Modifier] = ()) -> Step:
    """What an optimizer does with a problem, modified from the inside (the last) to the outside (the first)."""

    def by_gradient(problem: Problem) -> Found:
        found, gradients = problem.gradients(optimizer.scale_loss)
        apply(optimizer, gradients, problem.variables)
        return found

    step = optimizer.step if uses_closure(optimizer) else by_gradient
    for modifier in reversed(modifiers):
        step = step if modifier.idle else modifier.wrap(step)
    return step
