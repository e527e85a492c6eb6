"""One step of an optimizer, and of an agent's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from kagent import ops
from kagent.optimizers import replicas
from kagent.optimizers.evolutionary import Evolutionary
from kagent.optimizers.flat_adam import FlatAdam
from kagent.optimizers.modifiers import Modifier, Step
from kagent.optimizers.natural_gradient import NaturalGradient

if TYPE_CHECKING:
    from kagent.agent import Agent
    from kagent.optimizers.minimizer import Found, Minimizer, Problem


def apply(optimizer: Any, gradients: list[Any], variables: list[Any]) -> tf.Tensor | None:
    """`optimizer.apply`, with `global_clipnorm` by `ops.clip_by_global_norm`, which XLA compiles to faster code.

    `FlatAdam` clips by it itself.

    Over several replicas of `tf.distribute` all of them take it.

    Returns:
        The norm of all gradients before they are clipped by it, a float32 scalar; None where they are not, or Keras does it.
    """
    limit = getattr(optimizer, "global_clipnorm", None)
    dense = all(isinstance(gradient, tf.Tensor) for gradient in gradients)
    strategy = replicas.strategy_here() if tf.distribute.has_strategy() else None
    if strategy is not None:
        norm = None if limit is None or not dense else ops.global_norm(gradients)
        replicas.apply(strategy, optimizer, gradients, variables)
        return norm
    if type(optimizer).apply is FlatAdam.apply:
        found: tf.Tensor | None = optimizer.descend(gradients, variables)
        return found
    if limit is None or not dense or isinstance(optimizer, FlatAdam):
        optimizer.apply(gradients, variables)
        return None
    norm = ops.global_norm(gradients)
    optimizer.global_clipnorm = None
    try:
        optimizer.apply(ops.clip_by_global_norm(gradients, limit, norm), variables)
    finally:
        optimizer.global_clipnorm = limit
    return norm


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


def minimize(agent: Agent, role: str | tuple[str, ...], loss: Callable[..., Found], batch: Any = None) -> Found:
    """One optimizer step of a role, or of several together, on their own variables only.

    Optimizers may evaluate the loss several times, with other values of the variables and on parts of the batch;
    `kagent.optimizers.modifiers_of` says which do.

    Args:
        role: `"policy"`, `"critic"`, `"temperature"`, or a tuple of them.
        loss: Returns the loss and a dict of other values, from `batch` or, without one, from nothing.
        batch: What it is called with: nested tensors `(B, ...)`, rows of which belong together.

    Returns:
        The loss, regularization included, and the dict, of the whole batch before the step. What is not `trainable`
        stays as it is. Where there is regularization, the dict holds it as `"regularization_loss"`, a critic's as
        `"critic_regularization_loss"`. Where an optimizer clips gradients by `global_clipnorm`, it holds their norm before as
        `"gradient_norm"`, that of a critic's own as `"critic_gradient_norm"`.
    """
    minimizer: Minimizer = agent.minimizer
    return minimizer.minimize(role, loss, batch, agent.clock, agent.step_seed)
