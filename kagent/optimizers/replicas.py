"""Gradient steps over the replicas of a `tf.distribute` strategy: each has a part of the minibatch, and all the same weights.

An update runs once, outside of the replicas, on their first device: what is drawn from the memory, targets, and what follows a step.
Loss and gradient of a minibatch are each replica's of its own rows (`kagent.ops.replicas`), reduced to those of the whole; then all
replicas take the same step.
"""

from __future__ import annotations

import contextlib
import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import tensorflow as tf

from kagent import ops
from kagent.optimizers.flat_adam import FlatAdam

Found = tuple[Any, dict[str, Any]]

_strategies: dict[tuple[str, ...], weakref.ref[tf.distribute.Strategy]] = {}  # the first one, by its devices


def joined() -> tf.distribute.Strategy:
    """The strategy in whose scope an agent is made. A second one of the same devices in a process is warned of.

    TensorFlow numbers the exchanges between devices anew in each strategy, and knows them by device and number: those of other
    shapes under a number of before fail in the middle of a gradient step.
    """
    strategy = tf.distribute.get_strategy()
    if strategy.num_replicas_in_sync > 1:
        first = _strategies.setdefault(tuple(strategy.extended.worker_devices), weakref.ref(strategy))
        if first() is not strategy:
            warnings.warn(
                f"A second {type(strategy).__name__} of the same devices in one process: TensorFlow confuses the exchanges of agents of "
                "both where their networks differ, which fails with 'Shape mismatch in the collective instance'. Make one strategy, and "
                "all agents in its scope",
                stacklevel=6,
            )
    return strategy


def strategy_here() -> tf.distribute.Strategy | None:
    """The strategy in whose scope the program is outside of its replicas, where these are several; else None."""
    if not tf.distribute.has_strategy() or not tf.distribute.in_cross_replica_context():
        return None
    strategy = tf.distribute.get_strategy()
    return strategy if strategy.num_replicas_in_sync > 1 else None


def scope(strategy: tf.distribute.Strategy) -> AbstractContextManager[Any]:
    """The scope that an agent was made in, to be entered again.

    Args:
        strategy: `tf.distribute.get_strategy()` where it was made.

    Raises:
        ValueError: The scope of another one is open.
    """
    if tf.distribute.has_strategy() and tf.distribute.get_strategy() is not strategy:
        raise ValueError(
            "An agent learns within the scope of the tf.distribute strategy that it was made or loaded in, which `fit` opens itself. "
            f"Received: an agent of {type(strategy).__name__}, in the scope of {type(tf.distribute.get_strategy()).__name__}"
        )
    return strategy.scope() if strategy.num_replicas_in_sync > 1 else contextlib.nullcontext()


def gradients(
    strategy: tf.distribute.Strategy, own: Callable[[Any], tuple[Found, list[Any]]], batch: Any, states: Sequence[Any]
) -> tuple[Found, list[Any]]:
    """Loss, values and gradients of a batch whose rows are spread over replicas.

    Args:
        strategy: Whose replicas they are.
        own: Function that gives all these of the rows that it gets. Gradients may be None.
        batch: Nested tensors `(B, ...)`, or None: every replica evaluates the same.
        states: Variables of numbers that the loss moves by itself, as moving statistics. Each becomes the mean over replicas.

    Returns:
        The loss, a dict of values whose rows are those of the batch where they have rows, and dense gradients.
    """
    rows = [tf.shape(x)[0] for x in tf.nest.flatten(batch) if x is not None and x.shape.rank]

    def replica() -> Any:
        context = tf.distribute.get_replica_context()
        before = [tf.identity(state.value) for state in states]
        found, each = own(ops.replicas.own_rows(batch))
        mean = tf.distribute.ReduceOp.MEAN

        def joined(value: Any) -> Any:
            value = tf.identity(value)  # on this replica's device, where it was made outside, too
            if value.shape.rank:
                return ops.replicas.all_rows(value)[: rows[0]] if rows else value
            return context.all_reduce(mean, value) if value.dtype.is_floating else value

        dense = [None if gradient is None else tf.convert_to_tensor(gradient) for gradient in each]
        known = [gradient for gradient in dense if gradient is not None]
        reduced = iter(context.all_reduce(mean, known) if known else [])
        # By their changes: what did not move stays as it is, to the bit.
        changes = [context.all_reduce(mean, state.value - value) for state, value in zip(states, before)]
        moved = [value + change for value, change in zip(before, changes)]
        return tf.nest.map_structure(joined, found), [x if x is None else next(reduced) for x in dense], moved

    found, each, moved = tf.nest.map_structure(
        lambda value: None if value is None else strategy.experimental_local_results(value)[0], strategy.run(replica)
    )
    for state, value in zip(states, moved):
        state.assign(value)
    return found, each


def apply(strategy: tf.distribute.Strategy, optimizer: Any, gradients: Sequence[Any], variables: Sequence[Any]) -> None:
    """One step of an optimizer on each replica, by the same gradients."""
    # Keras's optimizers add the gradients of the replicas up.
    share = 1 if isinstance(optimizer, FlatAdam) else strategy.num_replicas_in_sync

    def replica() -> None:
        optimizer.apply([None if gradient is None else gradient / share for gradient in gradients], variables)

    strategy.run(replica)


def check(optimizers: Sequence[Any], closures: bool, networks: Sequence[Any]) -> None:
    """Checks that an agent can learn over the replicas of the scope around it.

    Args:
        optimizers: All of its optimizers.
        closures: Whether one of them, or a modifier, evaluates its loss several times.
        networks: Its policy and critic.

    Raises:
        ValueError: There are several replicas, and they cannot share these steps.
    """
    if strategy_here() is None:
        return
    if closures:
        names = ", ".join(sorted({type(optimizer).__name__ for optimizer in optimizers}))
        raise ValueError(
            "`optimizer` over several replicas of tf.distribute must step by one gradient: a Keras optimizer without modifiers. "
            f"Received: {names}, one of which evaluates its loss several times. Make the agent outside of the strategy's scope"
        )
    if any(getattr(network, "state_sizes", ()) for network in networks):
        raise ValueError(
            "`network` over several replicas of tf.distribute must not be recurrent: minibatches are split by timesteps. Make the "
            "agent outside of the strategy's scope"
        )
