"""What of an agent and of `fit` a program cannot contain, refused by name before any timestep."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from kagent.callbacks.callback import Callback
from kagent.environments import checks
from kagent.environments.compiled import CompiledEnv
from kagent.environments.compiled.environment import check_functions
from kagent.memories import Prioritized, Recent, RecentEpisodes, Replay, Rollout
from kagent.training.compiled import preprocessing
from kagent.training.compiled.actor import refused
from kagent.training.compiled.collector import limit_of

_OUTSIDE = "Outside of the program the environment is stepped as kagent.environments.compiled.as_gymnasium(env), which `fit` takes too"


def check_fit(agent: Any, env: CompiledEnv, given: Mapping[str, Any]) -> None:
    """Checks a `fit` in a compiled environment.

    Args:
        agent: Who learns.
        env: Where.
        given: Arguments of `fit` by name, of those that are about environments on the host; None: not given.

    Raises:
        TypeError, ValueError: The environment breaks its word or has other spaces; a part or an argument that is not possible in a
            program.
    """
    check_functions(env)
    checks.check_spaces(agent.observation_space, agent.action_space, env)
    if given.get("n_envs") not in (None, env.num_envs):
        raise ValueError(f"`n_envs` must agree with env.num_envs, {env.num_envs}. Received: {given['n_envs']}")
    for name in ("reset_options", "step_timeout", "replay_limit"):
        if given.get(name) is not None:
            raise ValueError(
                f"`{name}` is about environments that are called from the host; a compiled environment is part of a program. "
                f"Received: {name}={given[name]!r}. {_OUTSIDE}"
            )
    if (replicas := agent.minimizer.strategy.num_replicas_in_sync) > 1:
        raise ValueError(
            f"A compiled environment is part of a program of one device. Received: an agent made in the scope of {replicas} replicas of "
            f"tf.distribute. {_OUTSIDE}"
        )
    limit, own = agent.max_episode_timesteps, env.max_episode_steps
    if None not in (limit, own) and limit > own:
        raise ValueError(
            f"`max_episode_timesteps` must be at most {own}, at which {type(env).__name__} truncates by itself. Received: {limit}"
        )
    for name, received, allowed in _of_parts(agent, env):
        raise ValueError(
            f"`{name}` cannot be part of the program of a compiled environment. Received: {received}. Allowed: {allowed}. {_OUTSIDE}"
        )


def check_hooks(hooks: Iterable[Callback]) -> None:
    """Checks kagent's callbacks.

    Raises:
        ValueError: One of them has `on_timestep_end`.
    """
    for hook in hooks:
        if hook.overrides("on_timestep_end"):
            raise ValueError(
                f"{type(hook).__name__}.on_timestep_end would not be called: timesteps of a compiled environment pass inside a "
                f"program, and callbacks are called once per update. {_OUTSIDE}"
            )


def _of_parts(agent: Any, env: CompiledEnv) -> list[tuple[str, Any, str]]:
    # Name, received value and allowed values of each part that a program cannot contain.
    rule, memory, count = agent.update_rule, agent.memory, env.num_envs
    found = [*preprocessing.refused(agent.preprocessing), *refused(agent)]
    if type(memory) not in (Rollout, Recent, RecentEpisodes, Replay, Prioritized):
        return [*found, ("memory", type(memory).__name__, "Rollout, Recent, RecentEpisodes, Replay or Prioritized")]
    if memory.on_policy:
        if rule.batch_size > memory.steps * count:
            allowed = f"at most {memory.steps * count}, {memory.steps} timesteps of {count} environments"
            found.append(("batch_size", rule.batch_size, allowed))
        return found
    if rule.is_scheduled or rule.episode_ends or rule.period == math.inf:
        found.append(("update", rule, "a frequency that stays, and no updates at the ends of episodes"))
    elif type(memory) is RecentEpisodes:
        for name, value in (("batch_size", rule.batch_size), ("frequency", rule.period)):
            if value != count:
                found.append((f"update.{name}", value, f"{count}, an episode of each environment"))
        if rule.start > count:
            found.append(("update.start", rule.start, "0"))
        if limit_of(agent, env) is None:
            found.append(("max_episode_timesteps", None, "a number: an update has room for episodes of some length"))
    elif type(memory) is Recent:
        if rule.period != rule.batch_size:
            found.append(("update.frequency", rule.period, f"{rule.batch_size}, the batch size"))
        if rule.start > rule.batch_size:
            found.append(("update.start", rule.start, "0"))
    else:
        if rule.period % count:
            found.append(("update.frequency", rule.period, f"multiples of the {count} environments"))
        horizon = agent.reward_estimation.horizon
        if not isinstance(horizon, int):
            return [*found, ("reward_estimation.horizon", horizon, "an integer")]
        if (horizon + 1) * count > memory.capacity:
            windows = f", in {horizon + 1} windows of each" if horizon else ""
            found.append(("memory.capacity", memory.capacity, f"at least the {count} environments{windows}"))
        if memory.directory is not None:
            found.append(("memory.directory", str(memory.directory), "None"))
        if memory.early:
            found.append(("reward_estimation.estimate_horizon", "early", "'late'"))
    return found
