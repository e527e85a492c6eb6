"""How much a memory must hold, and the memory of an agent's parts."""

from __future__ import annotations

import math
from typing import Any

from kagent import schedules
from kagent.memories.identifiers import get
from kagent.memories.memory import Memory
from kagent.memories.rollout import Rollout


def required_capacity(update: Any, reward_estimation: Any, max_episode_timesteps: int | None = None) -> int:
    """The least number of timesteps a memory must hold.

    `batch_size + 1 + horizon`, with `max_episode_timesteps` for a horizon of "episode" and the largest value of one that is
    a schedule, but at least `max_episode_timesteps`; of a rule that counts episodes
    `(batch_size + 1) * max_episode_timesteps`.

    Args:
        update: An `Update`.
        reward_estimation: A `RewardEstimation`.
        max_episode_timesteps: Upper bound of an episode's timesteps, if there is one.

    Raises:
        ValueError: It depends on `max_episode_timesteps`, which is None, or on a horizon without bound.

    Example:

    >>> required_capacity(kagent.Update(batch_size=8), kagent.RewardEstimation(horizon=3))
    12
    >>> required_capacity(kagent.Update("episodes", batch_size=3), kagent.RewardEstimation(), max_episode_timesteps=100)
    400
    """
    horizon = reward_estimation.horizon
    if update.unit == "episodes" or horizon == "episode":
        if max_episode_timesteps is None:
            because = "update.unit" if update.unit == "episodes" else "reward_estimation.horizon"
            kind = "'episodes'" if update.unit == "episodes" else "'episode'"
            raise ValueError(
                f"`memory.capacity` cannot be inferred with {because}={kind}: give it, or max_episode_timesteps. "
                f"Received: capacity=None, max_episode_timesteps=None"
            )
        if update.unit == "episodes":
            return (int(update.batch_size) + 1) * max_episode_timesteps
        horizon = max_episode_timesteps
    if isinstance(horizon, schedules.Schedule):
        largest = horizon.bounds[1]
        if largest == math.inf:
            raise ValueError(
                "`memory.capacity` cannot be inferred of a reward_estimation.horizon without upper bound: give it. "
                f"Received: capacity=None, horizon={reward_estimation.horizon}"
            )
        horizon = math.floor(largest)
    return max(int(update.batch_size + 1 + horizon), max_episode_timesteps or 0)


def resolve(
    identifier: Any,
    update: Any,
    reward_estimation: Any,
    max_episode_timesteps: int | None = None,
    time_limit: int | None = None,
    n_envs: int = 1,
) -> Memory:
    """The memory that an agent with these parts has.

    Args:
        identifier: None: a replay memory. A name ("replay", "recent", "prioritized", "rollout"), a dict, an int (the
            capacity of a replay memory), or a memory. Of "replay" and "recent" the update's unit decides whether
            timesteps or episodes are kept. Where a capacity is left out, it is `required_capacity`; where the steps of a
            rollout are, so many that those of `n_envs` environments are a batch.
        update: An `Update`.
        reward_estimation: A `RewardEstimation`.
        max_episode_timesteps: Upper bound of an episode's timesteps, if there is one.
        time_limit: The environment's own bound, which only takes its place where a capacity is inferred.
        n_envs: Environments that the agent trains in by default.

    Raises:
        ValueError: An unknown memory; a capacity that is too small, or cannot be inferred.
    """
    memory = get("Replay" if identifier is None else identifier, update.unit)
    if not hasattr(memory, "capacity"):
        if isinstance(memory, Rollout) and memory.steps is None:
            memory.steps = -(-update.batch_size // n_envs)
        return memory
    if memory.capacity is None:
        memory.capacity = required_capacity(update, reward_estimation, max_episode_timesteps or time_limit)
        return memory
    memory.check(update.batch_size)
    if hasattr(memory, "batch_size"):  # it says itself how much is learned from, and holds as much
        return memory
    try:
        least = required_capacity(update, reward_estimation, max_episode_timesteps)
    except ValueError:
        return memory
    if memory.capacity < least:
        raise ValueError(
            f"`memory.capacity` must be at least {least} with update.batch_size={update.batch_size} {update.unit}, "
            f"reward_estimation.horizon={reward_estimation.horizon!r} and "
            f"max_episode_timesteps={max_episode_timesteps}. Received: {memory.capacity}"
        )
    return memory
