"""Experience of recurrent networks: whole sequences, with the states that they begin in."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from kagent import ops
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
    flat = as_rows(batch)
    begins = tf.reshape(batch[BEGINS], (1, *batch[BEGINS].shape))
    leaves = context.policy.leaves(flat["observation"])
    return {**flat, "observation": Unrolled(leaves, tuple(flat["actor_state"]), begins)}


def as_rows(batch: dict[str, Any]) -> dict[str, Any]:
    """Sequences `(L, B, ...)` as rows `(L * B, ...)`."""
    found: dict[str, Any] = tf.nest.map_structure(
        lambda x: None if x is None else tf.reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:])), batch
    )
    return found


def with_windows(context: LearningContext, experience: dict[str, Any], rows: dict[str, Any]) -> dict[str, Any]:
    """Transitions `(T * N, ...)` of consecutive timesteps with what recurrent networks need: `begins`, and `last`, the timestep
    that the window of each ends with. Of other networks, and of single timesteps, as they are."""
    if not is_recurrent(context) or "valid" not in experience:
        return rows
    ended = tf.logical_or(experience["terminated"], experience["truncated"])
    horizon = context.reward_estimation.horizon
    further = ended.shape[0] if horizon == "episode" else context.now(horizon)
    ends = ops.window_ends(ended, further if isinstance(further, int) else tf.cast(further, tf.int32))
    return {**rows, BEGINS: tf.reshape(begins_of(experience), (-1,)), "last": tf.reshape(ends, (-1,))}


def successor(role: Any, batch: dict[str, Any]) -> Any:
    """Where the windows of a flattened batch led, each in the state that `role` has after its last timestep; of a role that is
    not recurrent the observations as they are."""
    seen = batch["observation"]
    if not isinstance(seen, Unrolled) or not role.state_sizes:
        return batch["next_observation"]
    _, steps, columns = seen.begins.shape
    places = batch["last"] * columns + tf.tile(tf.range(columns), [steps])
    after = [tf.gather(part, places) for part in role.unroll(seen)[1]]
    return Unrolled.of_single(role.leaves(batch["next_observation"]), [*[None] * role.carried.start, *after])


def behind_burn_in(role: Any, batch: dict[str, Any], burn_in: int) -> dict[str, Any]:
    """A flattened batch without the first timesteps of its sequences, which begin in the states that `role` has behind these.

    Args:
        role: Whose states: the only recurrent one.
        batch: With `Unrolled` for its observation; another one stays as it is.
        burn_in: How many timesteps.
    """
    seen = batch["observation"]
    if not burn_in or not isinstance(seen, Unrolled):
        return batch
    columns = seen.begins.shape[2]
    cut = burn_in * columns
    front = Unrolled([x[:cut] for x in seen.leaves], tuple(x[:cut] for x in seen.states), seen.begins[:, :burn_in])
    begin = seen.begins[0, burn_in, :, tf.newaxis] > 0.5
    states = []
    for stored, after in zip(seen.states, role.unroll(front)[1]):
        first = tf.where(begin, stored[cut : cut + columns], after[cut - columns :])
        states.append(tf.stop_gradient(tf.concat([first, stored[cut + columns :]], axis=0)))
    behind = Unrolled([x[cut:] for x in seen.leaves], tuple(states), seen.begins[:, burn_in:])
    others = {name: value for name, value in batch.items() if name != "observation"}
    rest = tf.nest.map_structure(lambda x: None if x is None else x[cut:], others)
    return {**rest, "observation": behind}
