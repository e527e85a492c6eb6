"""Agents from `.keras` files."""

from __future__ import annotations

import os
from typing import Any

import keras

from kagent import environments
from kagent.agent import Agent
from kagent.config import allowed
from kagent.files import checked_file, packed
from kagent.saving.agent_files import check_weights


def load(filepath: Any, env: Any = None, **kwargs: Any) -> Any:
    """Loads an agent from a `.keras` file.

    Args:
        filepath: A file written by `agent.save`.
        env: Where given, its spaces must be the agent's.
        **kwargs: Passed on to `keras.saving.load_model` (`custom_objects`, `compile`, `safe_mode`).

    Returns:
        The agent, which goes on as the saved one would have.

    Raises:
        ValueError: Not an agent's file, or one that names what may run code or read other files; weights that are not
            finite; spaces unlike the environment's (shown side by side).
        OSError: The file cannot be read, or is damaged (then it is a ValueError, too).
    """
    if os.path.isfile(filepath):
        checked_file.check(filepath)
    with packed.reading(filepath), keras.saving.custom_object_scope(kwargs.get("custom_objects") or {}):
        if "://" not in str(filepath):
            config = packed.read_config(filepath)
            name = config.get("registered_name") or config.get("class_name")
            found = keras.saving.get_registered_object(name) if isinstance(name, str) else None
            if not (isinstance(found, type) and issubclass(found, Agent)):
                raise ValueError(
                    f"{str(filepath)!r} holds a {name}, not a kagent agent. A class of your own is registered by "
                    "@kagent.register_agent where it is defined: import its module before, or give the class in `custom_objects`"
                )
            settings = [config.get(key) or {} for key in ("config", "build_config", "compile_config")]
            for part in settings if kwargs.get("safe_mode", True) else []:
                allowed.check_settings(part)
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
