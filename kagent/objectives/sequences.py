"""Experience of recurrent networks: whole sequences, with the states that they begin in."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from kagent.objectives.objective import LearningContext
from kagent.policies.unrolled import Unrolled

BEGINS = "begins"


def is_recurrent(context: LearningContext) -> bool:
    """Whether the policy's or the critic's network carries a state through an episode."""
    roles = (context.policy, context.critic)
    return any(getattr(role, "state_sizes", ()) for role in roles)


def begins_of(experience: dict[str, Any]) -> tf.Tensor:
    """Where an episode begins within consecutive timesteps, float32 `(T, N)`: behind the end of another one, and behind a row
    that is no timestep. At the first row it is not known, and 0: the state beside it is taken in any case."""
    ended = tf.logical_or(experience["terminated"], experience["truncated"])
    behind = tf.logical_or(ended, tf.logical_not(tf.cast(experience["valid"], tf.bool)))
    return tf.cast(tf.concat([tf.zeros_like(behind[:1]), behind[:-1]], axis=0), tf.float32)


def of_experience(context: LearningContext, experience: dict[str, Any]) -> Unrolled:
    """Consecutive timesteps `(T, N, ...)` as sequences of `context.sequence_length`, or of T; rows are `(T * N, ...)`."""
    steps, columns = experience["reward"].shape
    length = context.sequence_length or steps
    flat = lambda x: tf.reshape(x, (steps * columns, *x.shape[2:]))  # noqa: E731
    leaves = [flat(leaf) for leaf in context.policy.leaves(experience["observation"])]
    begins = tf.reshape(begins_of(experience), (steps // length, length, columns))
    return Unrolled(leaves, tuple(flat(part) for part in experience["actor_state"]), begins)


def following(context: LearningContext, seen: Unrolled, successor: Any) -> Unrolled:
    """The observations that timesteps led to, each in the state after its timestep.

    Args:
        context: The networks.
        seen: The timesteps.
        successor: Where each led, `(R, ...)`, nested as the observation.
    """
    states: list[Any] = [None] * len(seen.states)
    for role in (context.policy, context.critic):
        if getattr(role, "state_sizes", ()):
            states[role.carried] = role.unroll(seen)[1]
    return Unrolled.of_single(context.policy.leaves(successor), states)


def flattened(context: LearningContext, batch: dict[str, Any]) -> dict[str, Any]:
    """A minibatch of sequences `(L, B, ...)` as rows `(L * B, ...)`, with `Unrolled` for its observation. Of networks that are
    not recurrent the batch as it is.

    Raises:
        ValueError: The batch holds single timesteps.
    """
    if not is_recurrent(context):
        return batch
    if BEGINS not in batch or "actor_state" not in batch:
        raise ValueError(
            "A recurrent network learns from sequences with the states that they begin in, which `fit`, `act` and `observe` "
            f"gather. Received: a batch with {sorted(batch)}"
        )
    shape = batch[BEGINS].shape
    rows = shape[0] * shape[1]
    flat = tf.nest.map_structure(lambda x: None if x is None else tf.reshape(x, (rows, *x.shape[2:])), batch)
    begins = tf.reshape(batch[BEGINS], (1, *shape))
    leaves = context.policy.leaves(flat["observation"])
    return {**flat, "observation": Unrolled(leaves, tuple(flat["actor_state"]), begins)}
