"""Of which agent a weights file is: format, algorithm, spaces, how its networks take images."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import h5py
import keras
import numpy as np
import tensorflow as tf

from kagent import spaces
from kagent.files import checked_file, json_arrays, packed
from kagent.files.stored_state import FORMAT, arrays_of, read_state, read_text
from kagent.networks import legacy

if TYPE_CHECKING:
    from kagent.agent import Agent


def collect(agent: Agent) -> dict[str, Any]:
    """What a file says of its agent, for `check`."""
    return {
        "format": FORMAT,
        "versions": versions(),
        "algorithm": algorithm_of(agent),
        "observation_space": spaces.to_config(agent.observation_space),
        "action_space": spaces.to_config(agent.action_space),
        "images": agent.parts.image_readings(),
    }


def versions() -> dict[str, str]:
    """Versions of what writes a file, by package. They are for readers: no file is refused because of them."""
    import kagent

    packages = {"kagent": kagent, "keras": keras, "tensorflow": tf, "numpy": np}
    return {name: str(package.__version__) for name, package in packages.items()}


def check(agent: Agent, found: Mapping[str, Any]) -> None:
    """Checks that a file is of such an agent.

    Raises:
        ValueError: It is of an agent with other spaces, another algorithm, or networks that take images otherwise.
        KeyError: A space is missing.
    """
    for role in ("observation_space", "action_space"):
        difference = spaces.difference(getattr(agent, role), spaces.from_config(found[role]))
        if difference:
            raise ValueError(f"The file's {role} is not the agent's. Received (env: the file):\n{difference}")
    other = other_algorithm(agent, found.get("algorithm"))
    if other is not None:
        raise ValueError(
            f"The file's agent is of another algorithm: {other}. To take its networks' weights alone, load it by "
            "kagent.load and use get_weights and set_weights"
        )
    check_images(agent, found.get("images"))


def algorithm_of(agent: Agent) -> dict[str, Any]:
    """What an agent learns by: the name of its preset, None for an agent made of parts, and of its objective."""
    preset = next((cls.__name__ for cls in type(agent).__mro__ if cls.__module__.startswith("kagent.agents.")), None)
    return {"preset": preset, "objective": type(agent.objective).__name__}


def other_algorithm(agent: Agent, found: Any) -> str | None:
    """How an agent's algorithm differs from that of a state, in words; None where it does not.

    Args:
        agent: The agent.
        found: `algorithm_of` the saved one; None in files of format 1, which do not say it.
    """
    if found is None:
        return None
    own = algorithm_of(agent)
    if not isinstance(found, dict) or found.keys() != own.keys():
        return f"an algorithm that is not described as one. Received: {found!r}"
    for part, name in own.items():
        if name != found[part] and None not in (name, found[part]):
            return f"{part} {found[part]!r}, the agent's is {name!r}"
    return None


def check_images(agent: Agent, recorded: Any) -> None:
    """Compares how the networks of an agent take images with how those of a file do.

    Args:
        agent: The agent.
        recorded: The file's record of it; None in files from before images were read from their shapes.

    Raises:
        ValueError: They take them otherwise.
    """
    expected, found = _readings(agent, recorded), agent.parts.image_readings()
    if expected == found:
        return
    if recorded is not None:
        former = recorded == agent.parts.image_readings(legacy.UNBOUNDED)
        way = (
            f". As the file's does network=kagent.networks.Legacy(network, images={legacy.UNBOUNDED})" if former else ""
        )
        raise ValueError(f"The file's networks take images otherwise. Received: {recorded}. The agent's: {found}{way}")
    message = (
        f"The file was written when networks took images otherwise: its weights are for {expected}. The agent's networks "
        f"take {found}. "
    )
    if getattr(agent.policy, "trace", None) is None:
        raise ValueError(f"{message}As then does network=kagent.networks.Legacy(network)")
    warnings.warn(f"{message}Let the function begin with keras.layers.Rescaling(1 / 255)", stacklevel=2)


def _readings(agent: Agent, recorded: Any) -> Any:
    """How an agent's networks must take images to go with a file with such a record; former files have none."""
    return agent.parts.image_readings(legacy.UNNAMED) if recorded is None else recorded


def is_of_another(agent: Agent, filepath: Any) -> bool:
    """Whether a `.weights.h5` file which was refused is of an agent with other spaces, another algorithm or other
    preprocessing, of one whose networks take images otherwise, or of a newer kagent.

    A damaged file is none of these: it cannot say whose it is.
    """
    try:
        checked_file.check(filepath)
        with h5py.File(filepath, "r") as file:
            entries = file["vars"]
            state = json_arrays.load(read_text(entries, "state"), arrays_of(entries))
        roles = ("observation_space", "action_space")
        return (
            state["format"] > FORMAT
            or any(spaces.difference(getattr(agent, role), spaces.from_config(state[role])) for role in roles)
            or other_algorithm(agent, state.get("algorithm")) is not None
            or agent._adapter.differs(state.get("preprocessing"))
            or _readings(agent, state.get("images")) != agent.parts.image_readings()
        )
    except Exception:  # a damaged file raises whatever HDF5 does
        return False


def spaces_of(filepath: Any) -> tuple[Any, Any]:
    """The observation space and the action space of the agent in a `.weights.h5` file.

    Raises:
        ValueError: The file is damaged, or of no kagent agent.
        PermissionError: It may not be read.
    """
    try:
        checked_file.check(filepath)
        with h5py.File(filepath, "r") as file:
            packed.check_hdf5(file)
            state = read_state(file["vars"])
        observation, action = (spaces.from_config(state[role]) for role in ("observation_space", "action_space"))
    except PermissionError:
        raise
    except Exception as error:  # a damaged file raises whatever HDF5 does
        raise ValueError(f"{str(filepath)!r} holds no agent that can be read: {error}") from error
    return observation, action
