"""Whether the elements of a `tf.data.Dataset` are transitions that an agent learns from."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from kagent.acting.distributions.box import ScaledBox
from kagent.memories.columns import Column, columns_of
from kagent.objectives import BehaviorCloningObjective
from kagent.policies.unrolled import carried_sizes
from kagent.spaces import Structure
from kagent.traces import array_name

_REFUSED = re.compile(r"assertion failed: \[(`[^\]]* of a dataset must be [^\]]*)\] \[([^\]]*)\]")
_ROUNDING = 1e-5  # of float32, where an action at a bound is scaled


def checked(agent: Any, dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset, with a check of the values of each element.

    An agent with a `train_step` or an objective of the user's own takes columns of its own: nothing is checked there. The same is true of
    objectives that learn from other elements than single transitions.

    Args:
        agent: Who learns.
        dataset: Of dicts, with `reward`.

    Raises:
        ValueError: There is no element. A column is missing, or has other leaves, another shape or another dtype than the agent's
            memory gives it. In a block of `values_refused`, also an element with a reward that is not finite, or an action outside
            its space.
    """
    objective = agent.objective
    own = not all(x.__module__.startswith("kagent.") for x in (agent.train_step, objective.update, objective.terms))
    if dataset.cardinality().numpy() == 0:
        raise ValueError("A dataset must have an element. Received: one without")
    sequences = objective.needs_sequences or carried_sizes(agent.policy, agent.critic)
    if own or sequences or objective.memory != "Replay" or agent.memory.on_policy:
        return dataset
    spec, columns = dataset.element_spec, columns_of(agent._observation, agent._action)
    _check_names(agent, spec)
    for name, structure in _structures(agent):
        if name in spec:
            own_columns = [column for column in columns if column.name.partition(".")[0] == name]
            for leaf, column, part in zip(structure.leaves, own_columns, _leaves(spec[name], structure, name)):
                _check_column(array_name(name, leaf), column, part)
    for column in columns:
        if "." not in column.name and column.name in spec:
            _check_column(column.name, column, spec[column.name])
    return dataset.map(lambda element: _checked_values(agent, element))


@contextlib.contextmanager
def values_refused() -> Iterator[None]:
    """In the block, what the values of an element break is a ValueError that says it, in place of TensorFlow's own error."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = _REFUSED.search(error.message)
        if found is None:
            raise
        raise ValueError(f"{found[1]} {found[2]}") from error


def _structures(agent: Any) -> list[tuple[str, Structure]]:
    return [("observation", agent._observation), ("next_observation", agent._observation), ("action", agent._action)]


def _check_names(agent: Any, spec: dict[str, Any]) -> None:
    cloned = isinstance(agent.objective, BehaviorCloningObjective)
    needed = ["observation", "action", *([] if cloned else ["next_observation"])]
    if not cloned and "discount" not in spec:
        needed.append("terminated")
    missing = [name for name in needed if name not in spec]
    if missing:
        raise ValueError(
            f"A dataset of transitions lacks {missing}, which {type(agent).__name__} learns from. Received: {sorted(spec)}. "
            "`agent.memory.dataset` shows the form"
        )


def _leaves(part: Any, structure: Structure, name: str) -> list[tf.TensorSpec]:
    try:
        found: list[tf.TensorSpec] = structure.flatten(part)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"`{name}` of a dataset must be nested as {structure.space}. Received: {part}") from error
    return found


def _check_column(name: str, column: Column, part: Any) -> None:
    expected = f"(B{''.join(f', {size}' for size in column.shape)}) of {column.dtype}"
    if not isinstance(part, tf.TensorSpec):
        raise ValueError(f"`{name}` of a dataset must be a tensor {expected}. Received: {part}")
    integral = column.dtype.kind == "i" and part.dtype.is_integer  # any integers are indices
    same_dtype = integral or part.dtype == tf.as_dtype(column.dtype)
    if not same_dtype or not part.shape.is_compatible_with((None, *column.shape)):
        raise ValueError(
            f"`{name}` of a dataset must be {expected}, as `agent.memory.dataset` gives it. Received: {part.shape} of "
            f"{part.dtype.name}"
        )


def _checked_values(agent: Any, element: dict[str, Any]) -> dict[str, Any]:
    # Observations that are not finite make a loss that is not, which is refused at its gradient step.
    checks = [_assert(tf.math.is_finite(element["reward"]), "`reward` of a dataset must be finite", element["reward"])]
    pairs = zip(agent._action.leaves, agent.actor.decisions, agent._action.flatten(element["action"]))
    for leaf, decision, part in pairs:
        where = f"`{array_name('action', leaf)}` of a dataset must be"
        if leaf.nvec is not None:
            good = tf.logical_and(part >= 0, part < tf.cast(np.asarray(leaf.nvec), part.dtype))
            allowed = "indices from 0 on, as many as the space has values, and without its `start`"
        elif isinstance(decision, ScaledBox):
            good = tf.abs(part) <= 1.0 + _ROUNDING
            allowed = "within -1 and 1, which stand for the bounds of the space"
        else:
            good, allowed = tf.math.is_finite(part), "finite"
        checks.append(_assert(good, f"{where} {allowed}", part))
    with tf.control_dependencies(checks):
        return {**element, "reward": tf.identity(element["reward"])}


def _assert(good: tf.Tensor, message: str, values: tf.Tensor) -> Any:
    worst = tf.boolean_mask(values, tf.logical_not(good))[:3]
    return tf.debugging.Assert(tf.reduce_all(good), [f"{message}. Received:", worst])
