"""Where the spaces of an agent come from: an environment, the spaces themselves, or specifications."""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent import environments, specifications


def spaces_of(
    env: Any, observation_space: Any, action_space: Any, states: Any, actions: Any
) -> tuple[gymnasium.Space, gymnasium.Space, int | None]:
    """Observation space, action space, and the timesteps at which the environment cuts episodes off (None: it does not).

    Args: as of `kagent.Agent`.

    Raises:
        ValueError: Not exactly one source; specifications that are none.
    """
    sources = {
        "env": (env,),
        "observation_space and action_space": (observation_space, action_space),
        "states and actions": (states, actions),
    }
    given = [name for name, values in sources.items() if any(value is not None for value in values)]
    if len(given) != 1 or any(value is None for value in sources[given[0]]):
        raise ValueError(
            "Give either `env`, or both `observation_space` and `action_space`, or both `states` and `actions`. "
            f"Received: env={env!r}, observation_space={observation_space!r}, action_space={action_space!r}, "
            f"states={states!r}, actions={actions!r}"
        )
    limit = None
    if env is not None:
        observation_space, action_space, limit = _of_environment(env)
    elif states is not None:
        specifications.check_names(states, actions)
        observation_space = specifications.to_space(states, "states")
        action_space = specifications.to_space(actions, "actions")
    return observation_space, action_space, limit


def _of_environment(env: Any) -> tuple[gymnasium.Space, gymnasium.Space, int | None]:
    made = environments.make(env)
    try:
        return made.observation_space, made.action_space, made.time_limit
    finally:
        if made.owned:
            made.close()
