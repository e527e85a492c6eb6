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


def explained(values: list[tf.Tensor], batch: dict[str, Any]) -> dict[str, tf.Tensor]:
    """What a critic's loss logs beside itself: the part of the variance of a minibatch's returns that the values explain.

    Args:
        values: What `learned_values` gave; the first member's count.
        batch: With `return`, `(B,)`, and perhaps `weight`.
    """
    return {"explained_variance": ops.explained_variance(values[0], batch["return"], batch.get("weight"))}
