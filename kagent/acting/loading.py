"""Actors from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kagent.acting import archive
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
        program = Program(about["program"])
        program.set_weights(archive.weights(path, program.size, about.get("checksum")))
        made = [decisions.from_config(config) for config in about["decisions"]]
        rng = np.random.Generator(np.random.Philox(seed))
        temperature = about.get("temperature", 1.0)
        frozen, carried = about.get("standardization"), about.get("network_state", [])
        return Actor(None, about["observation"], made, rng, program, about["action"], temperature, frozen, carried)
    except (KeyError, TypeError, ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise ValueError(f"The actor in {str(path)!r} is damaged, or of another version of kagent: {error}") from error
