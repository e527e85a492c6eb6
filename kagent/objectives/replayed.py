"""A policy gradient's experience from a replay memory of timesteps: rows that do not follow one another."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from kagent.objectives.baseline_values import state_values
from kagent.objectives.objective import LearningContext, estimated_next_values


def prepare_replayed(objective: Any, context: LearningContext, experience: dict[str, Any]) -> dict[str, Any]:
    """Drawn transitions `(K, B, ...)` with the values that the policy learns by, of the same shape.

    A row's return is the discounted sum of rewards that was stored with it, up to the horizon, and the critic's value of
    the observation behind, where there is one and the horizon is estimated. Its advantage is that minus the critic's value of
    its own observation. `old_log_prob` is that of the policy now, before the update's first gradient step, as it is with
    every other memory: how far the policy moved since the action was taken is not corrected.
    """
    estimation = context.reward_estimation
    shape = experience["reward"].shape
    rows = _each(lambda x: tf.reshape(x, (-1, *x.shape[2:])), experience)
    returns = rows["reward"]
    if context.critic is not None:
        following = estimated_next_values(objective, context, rows)
        returns = returns + estimation.bootstrap_discounts(rows, context.clock) * following
    returns = estimation.processed_returns(returns, rows.get("weight"))
    advantage = returns
    if estimation.estimate_advantage:
        advantage = returns - state_values(context, rows["observation"], rows.get("action_mask"))
        advantage = estimation.processed_advantages(advantage, rows.get("weight"))
    masks = rows.get("action_mask")
    log_prob = context.policy.log_prob(context.policy.parameters_of(rows["observation"], masks), rows["action"])
    prepared = {
        **rows,
        "old_log_prob": tf.stop_gradient(log_prob),
        "advantage": tf.stop_gradient(advantage),
        "return": tf.stop_gradient(returns),
    }
    return dict(_each(lambda x: tf.reshape(x, (*shape, *x.shape[1:])), prepared))


def check_replayed(estimation: Any, objective: str, memory: Any) -> None:
    """Checks what a policy gradient needs of a replay memory of timesteps.

    Args:
        estimation: The agent's `RewardEstimation`.
        objective: Name of the objective's class.
        memory: The agent's memory.

    Raises:
        ValueError: `reward_estimation` needs consecutive timesteps.
    """
    for name in ("gae_lambda", "return_lambda"):
        value = getattr(estimation, name)
        if value is not None:
            raise ValueError(
                f"`reward_estimation.{name}` mixes the values of consecutive timesteps, and a {type(memory).__name__} memory "
                f"gives `objective` {objective} single ones. Received: {value!r}. Allowed: None (horizon and "
                "estimate_advantage work), or a memory of consecutive timesteps: 'recent', 'rollout', or a replay memory "
                "of episodes (update.unit='episodes')"
            )


def _each(function: Any, tree: Any) -> Any:
    return tf.nest.map_structure(lambda x: None if x is None else function(x), tree)
