"""Actors from files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from kagent.acting import archive, spaces
from kagent.acting import distributions as decisions
from kagent.acting.actor import Actor
from kagent.acting.program import Program


def load(path: str | Path, seed: int | None = None) -> Actor:
    """The actor of a saved agent, with NumPy alone.

    Args:
        path: A `.keras` file that an agent wrote (or the folder of `zipped=False`), or a directory that `Actor.save` or
            `agent.export(format="numpy")` wrote. Not trusted: nothing in it is executed, and sizes are checked before they are believed.
        seed: Seed of the samples of `act(..., deterministic=False)`; None: unpredictable.

    Returns:
        An `Actor`; its `act` takes raw observations.

    Raises:
        FileNotFoundError: There is nothing at `path`.
        ValueError: Not a kagent agent, or one that has layers or preprocessing without a NumPy form, which the message
            names (`agent.save(path, servable=True)` refuses these); or a damaged file.

    Example:

    >>> actor = kagent.acting.load("agent.keras")
    >>> observation, info = env.reset()
    >>> observation, reward, terminated, truncated, info = env.step(actor.act(observation))
    """
    path = Path(path)
    about = archive.about(path)
    try:
        made = from_config(about, np.random.Generator(np.random.Philox(seed)))
        program: Any = made.program
        program.set_weights(archive.weights(path, program.size, about.get("checksum")))
        return made
    except (KeyError, TypeError, ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise ValueError(f"The actor in {str(path)!r} is damaged, or of another version of kagent: {error}") from error


def from_config(config: dict[str, Any], rng: np.random.Generator | None = None) -> Actor:
    """The actor of `Actor.to_config`, with weights of 0.

    Args:
        config: It may come from an untrusted file.
        rng: As for `Actor`.

    Raises:
        KeyError, TypeError, ValueError, OverflowError, MemoryError, RecursionError: It is not of an actor.
    """
    made = [decisions.from_config(one) for one in config["decisions"]]
    frozen, carried = config.get("standardization"), config.get("network_state", [])
    temperature = config.get("temperature", 1.0)
    program = Program(config["program"])
    found = Actor(None, config["observation"], made, rng, program, config["action"], temperature, frozen, carried)
    # Decisions are described without the path of their leaf, by which explorations know an action.
    for decision, leaf in zip(made, spaces.Layout(config["action"], "action").leaves):
        decision.leaf = dataclasses.replace(decision.leaf, path=leaf.path)
    return found
