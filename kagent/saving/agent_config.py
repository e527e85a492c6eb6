"""An agent as data, and back."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from kagent import spaces
from kagent.config import allowed, budget, creation
from kagent.memories.storage import free_memory
from kagent.saving import older_configs

if TYPE_CHECKING:
    from kagent.agent import Agent


def get_config(agent: Agent) -> dict[str, Any]:
    """Spaces and parts, JSON-ready; `from_config` is the inverse.

    Where files go (`saver`, `summarizer`, `recorder`) is not in it: that belongs to the machine, not to the agent.
    """
    return {
        "agent": creation.name_of(type(agent)),
        "images": older_configs.IMAGES,
        "observation_space": spaces.to_config(agent.observation_space),
        "action_space": spaces.to_config(agent.action_space),
        **agent.parts.serialize(),
        "preprocessing": None if agent.preprocessing is None else agent.preprocessing.get_config(),
        "max_episode_timesteps": agent.max_episode_timesteps,
        "parallel_interactions": agent.parallel_interactions,
        "device": agent.device,
        "execution": dict(agent.execution),
        "n_envs": agent.n_envs,
        "seed": agent.seed,
        "name": agent.name,
    }


def from_config(cls: type[Agent], config: dict[str, Any], custom_objects: Any = None, **places: Any) -> Agent:
    """The agent that `get_config` describes, untrained.

    Args:
        config: What `get_config` gave, perhaps by way of JSON.
        custom_objects: Keras's; not used.
        **places: `saver`, `summarizer` and `recorder`.

    Raises:
        ValueError: It describes no agent, or names an environment or a place.
    """
    found = [name for name in creation.PLACES if config.get(name) is not None]
    if found:
        raise ValueError(f"A config says nothing of places on this machine. Received: {found}")
    if "env" in config:  # gymnasium imports the module that an id names; a file may not choose one
        raise ValueError(f"A config holds spaces, never an `env`. Received: env={config['env']!r}")
    memory = config.get("memory")
    if isinstance(memory, dict) and memory.get("directory") is not None:
        raise ValueError(
            f"A config says nothing of places on this machine. Received: memory.directory={memory['directory']!r}"
        )
    allowed.check_settings(config)  # before any of it is made, or copied
    config = older_configs.modernized(copy.deepcopy(config))
    config.pop("agent", None)
    for key in ("observation_space", "action_space"):
        if isinstance(config.get(key), dict):
            config[key] = spaces.from_config(config[key])
    try:
        with budget.of_variables(free_memory(), "no more memory is free"):
            return cls(**config, **places)
    except TypeError as error:
        raise ValueError(str(error)) from error
    except (ArithmeticError, AttributeError, ImportError, LookupError, RuntimeError, tf.errors.OpError) as error:
        raise ValueError(f"The config makes no agent: {type(error).__name__}: {error}") from error
