"""Agents from `.keras` files."""

from __future__ import annotations

import os
import warnings
from typing import Any

import keras

from kagent import environments
from kagent.agent import Agent
from kagent.config import allowed, budget
from kagent.config.signatures import answering
from kagent.files import checked_file, packed
from kagent.memories.storage import postponing
from kagent.saving.agent_files import check_weights

_FREE = 64 << 20  # bytes of variables, beside what the file holds: those of optimizers are made twice


@answering("custom_objects", "compile", "safe_mode")
def load(filepath: Any, env: Any = None, **kwargs: Any) -> Any:
    """Loads an agent from a `.keras` file.

    Args:
        filepath: A file written by `agent.save`.
        env: Where given, its spaces must be the agent's.
        **kwargs: Passed on to `keras.saving.load_model` (`custom_objects`, `compile`, `safe_mode`).

    Returns:
        The agent, which goes on as the saved one would have. One whose memory does not fit into this machine's free memory
        comes with a warning that says which capacity would: it acts and is evaluated, and `fit` refuses.

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
        most = None if "://" in str(filepath) else _FREE + 2 * packed.weights_size(filepath)
        with postponing() as too_large, budget.of_variables(most, "the file holds fewer weights"):
            agent = keras.saving.load_model(filepath, **kwargs)
    if not isinstance(agent, Agent):
        raise ValueError(f"{str(filepath)!r} holds a {type(agent).__name__}, not a kagent agent")
    check_weights(agent)
    if too_large:
        warnings.warn(
            f"{str(filepath)!r}: {too_large[0]} The agent can act and be evaluated, without what the file holds of its memory; "
            "it cannot be trained on this machine as it is",
            stacklevel=3,
        )
    if env is not None:
        made = environments.make(env)
        try:
            environments.check_spaces(agent.observation_space, agent.action_space, made)
        finally:
            if made.owned:
                made.close()
    return agent
