"""What an agent was compiled with, on its way into a `.keras` file and back."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import keras

from kagent.config import allowed, creation

if TYPE_CHECKING:
    from kagent.agent import Agent

_UNUSED = ("loss", "loss_weights", "weighted_metrics")  # of compiling, but for a train_step of the user's own


def get_compile_config(agent: Agent) -> dict[str, Any]:
    """Keras's hook: the arguments of `compile`, and what of the agent is frozen."""
    config: dict[str, Any] = keras.Model.get_compile_config(agent)
    config.pop("jit_compile", None)  # whether XLA suits is the machine's affair, not the file's
    if agent._auto_optimizer:
        config["optimizer"] = "auto"
    if not creation.has_own_train_step(agent):
        config["metrics"] = agent._step_metrics.get_config()
    frozen = [index for index, variable in enumerate(agent.variables) if not variable.trainable]
    return {**config, "trainable": agent.trainable, "frozen": frozen}


def compile_from_config(agent: Agent, config: dict[str, Any]) -> None:
    """Keras's hook: compiles as a file says. What is frozen in the file is frozen in the agent.

    Raises:
        ValueError: Settings that may run code, that `compile` does not take, or frozen variables that the agent does not
            have.
    """
    allowed.check_settings(config)
    try:
        agent.compile(**keras.saving.deserialize_keras_object(_arguments(agent, config)))
    except TypeError as error:
        raise ValueError(f"The file's settings of `compile` cannot be used: {error}") from error


def _arguments(agent: Agent, config: dict[str, Any]) -> dict[str, Any]:
    config = {key: value for key, value in config.items() if key != "jit_compile"}
    # Before the optimizer is made, whose state is that of what may move. Older files do not say it.
    frozen, variables = config.pop("frozen", []), agent.variables
    if not all(type(index) is int and 0 <= index < len(variables) for index in frozen):
        raise ValueError(f"The file's frozen variables must be of the agent's {len(variables)}. Received: {frozen}")
    if not config.pop("trainable", True):
        agent.trainable = False
    for index in frozen:
        variables[index].trainable = False
    if creation.has_own_train_step(agent):
        return config
    # Files of before these were refused.
    unused = [name for name in _UNUSED if config.get(name) is not None]
    if isinstance(config.get("metrics"), list):
        unused.append("metrics")
    if unused:
        warnings.warn(f"What the file's agent was compiled with has no use, and is left out: {unused}", stacklevel=2)
    return {key: value for key, value in config.items() if key not in unused}
