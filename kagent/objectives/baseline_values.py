"""What a policy gradient's critic says, whether it is of states or of actions."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from kagent import ops
from kagent.objectives.objective import LearningContext
from kagent.objectives.transitions import lowest


def state_values(
    context: LearningContext, observation: Any, mask: list[Any] | None = None, training: bool = False
) -> tf.Tensor:
    """The critic's values of states, `(B,)`.

    Of a critic of actions (`reward_estimation.estimate_actions`) it is that of the policy's most likely action, of several
    members the smallest. Not of the action that was taken: a baseline that depends on it would take away the very
    difference between actions that the policy learns from (Sutton and Barto 2018, section 13.4).

    Args:
        agent: The agent.
        observation: In stored form, `(B, ...)`.
        mask: Its action masks, where there are any.
        training: Whether the critic's layers are in training mode: where it learns from these values.
    """
    critic, policy = context.critic, context.policy
    if not hasattr(critic, "members"):
        return critic.values(observation, training)
    chosen = policy.joint.mode(policy.parameters_of(observation, mask))
    action = tf.nest.map_structure(tf.stop_gradient, policy.action.unflatten(chosen))
    return lowest(critic.values(observation, action, training))


def learned_values(context: LearningContext, batch: dict[str, Any]) -> list[tf.Tensor]:
    """What the critic learns returns by: each member's values, `(B,)`, of the states or of the actions that were taken."""
    critic = context.critic
    if not hasattr(critic, "members"):
        return [critic.values(batch["observation"], training=True)]
    values: list[Any] = critic.values(batch["observation"], batch["action"], training=True)
    return values


def explained_rollout(
    context: LearningContext, values: tf.Tensor, returns: tf.Tensor, weight: tf.Tensor
) -> dict[str, tf.Tensor]:
    """How much of the variance of a rollout's returns the critic explains before it learns from them.

    Args:
        context: The critic is in it. One of actions learns other values than these: nothing is said of it here.
        values: Of the states of the rollout, `(B,)`.
        returns: `(B,)`.
        weight: `(B,)`, 0 of padding.

    Returns:
        `explained_variance`, `(B,)`: the same number in each row, so that minibatches have it.
    """
    if hasattr(context.critic, "members"):
        return {}
    part = ops.explained_variance(values, returns, weight)
    return {"explained_variance": tf.fill(tf.shape(values), tf.stop_gradient(part))}


def explained(values: list[tf.Tensor], batch: dict[str, Any]) -> dict[str, tf.Tensor]:
    """What a critic's loss logs beside itself: the part of the variance of returns that the values explain, of the whole rollout
    where `explained_rollout` found it, else of a minibatch.

    Args:
        values: What `learned_values` gave; the first member's count.
        batch: With `return`, `(B,)`, and perhaps `weight` and `explained_variance`.
    """
    if "explained_variance" in batch:
        return {"explained_variance": batch["explained_variance"][0]}
    return {"explained_variance": ops.explained_variance(values[0], batch["return"], batch.get("weight"))}
