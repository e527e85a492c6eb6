"""What an agent was compiled with, on its way into a `.keras` file and back."""

from __future__ import annotations

import warnings
from typing import Any

_UNUSED = ("loss", "loss_weights", "weighted_metrics")  # of compiling, but for a train_step of the user's own


def written(agent: Any, config: dict[str, Any]) -> dict[str, Any]:
    """What a file says, made of `config`, which Keras would write."""
    config.pop("jit_compile", None)  # whether XLA suits is the machine's affair, not the file's
    if agent._auto_optimizer:
        config["optimizer"] = "auto"
    if not agent.has_own_train_step:
        config["metrics"] = agent.step_metrics.get_config()
    frozen = [index for index, variable in enumerate(agent.variables) if not variable.trainable]
    return {**config, "trainable": agent.trainable, "frozen": frozen}


def read(agent: Any, config: dict[str, Any]) -> dict[str, Any]:
    """What `compile` takes of a file's `config`. What is frozen in the file is frozen in the agent.

    Raises:
        ValueError: Frozen variables that the agent does not have.
    """
    config = {key: value for key, value in config.items() if key != "jit_compile"}
    # Before the optimizer is made, whose state is that of what may move. Older files do not say it.
    frozen, variables = config.pop("frozen", []), agent.variables
    if not all(type(index) is int and 0 <= index < len(variables) for index in frozen):
        raise ValueError(f"The file's frozen variables must be of the agent's {len(variables)}. Received: {frozen}")
    if not config.pop("trainable", True):
        agent.trainable = False
    for index in frozen:
        variables[index].trainable = False
    if agent.has_own_train_step:
        return config
    # Files of before these were refused.
    unused = [name for name in _UNUSED if config.get(name) is not None]
    if isinstance(config.get("metrics"), list):
        unused.append("metrics")
    if unused:
        warnings.warn(f"What the file's agent was compiled with has no use, and is left out: {unused}", stacklevel=2)
    return {key: value for key, value in config.items() if key not in unused}
