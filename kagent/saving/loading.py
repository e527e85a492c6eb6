"""Agents from `.keras` files."""

from __future__ import annotations

import os
from typing import Any

import keras

from kagent.saving import checked_file
from kagent.saving.state import check_weights


def load(filepath: Any, env: Any = None, **kwargs: Any) -> Any:
    """Loads an agent from a `.keras` file.

    Args:
        filepath: A file written by `agent.save`.
        env: Where given, its spaces must be the agent's.
        **kwargs: Passed on to `keras.saving.load_model` (`custom_objects`, `compile`, `safe_mode`).

    Returns:
        The agent, which goes on as the saved one would have.

    Raises:
        ValueError: Not an agent's file; weights that are not finite; spaces unlike the environment's (shown side by side).
        OSError: The file cannot be read, or is damaged (then it is a ValueError, too).
    """
    from kagent import environments
    from kagent.agent import Agent

    if os.path.isfile(filepath):
        checked_file.check(filepath)
    agent = keras.saving.load_model(filepath, **kwargs)
    if not isinstance(agent, Agent):
        raise ValueError(f"{str(filepath)!r} holds a {type(agent).__name__}, not a kagent agent")
    check_weights(agent)
    if env is not None:
        made = environments.make(env)
        try:
            environments.check_spaces(agent.observation_space, agent.action_space, made)
        finally:
            if made.owned:
                made.close()
    return agent
