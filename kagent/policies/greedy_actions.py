"""Greedy actions of a policy as the environment takes them, in TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kagent.spaces import Structure


def greedy_actions(policy: Any, leaves: list[tf.Tensor], action: Structure) -> Any:
    """The greedy actions for a batch of observations.

    Args:
        policy: The agent's.
        leaves: Observations `(N, *leaf.shape)` in stored form, which preprocessing has gone over.
        action: The agent's action space.

    Returns:
        `(N, ...)`, nested as the action space.
    """
    actions = policy.joint.to_env(policy.greedy(leaves))
    return action.unflatten([as_declared(leaf, each) for leaf, each in zip(action.leaves, actions)])


def as_declared(leaf: Any, action: tf.Tensor) -> tf.Tensor:
    """Actions `(N, *leaf.shape)` in the environment's values, as `Decision.to_env` has them in NumPy: from a start that is not 0,
    integers of a Box."""
    if leaf.start is not None and leaf.start.any():
        return action + tf.cast(leaf.start, action.dtype)
    return tf.cast(tf.round(action), leaf.dtype) if leaf.kind == "box" and np.dtype(leaf.dtype).kind != "f" else action
