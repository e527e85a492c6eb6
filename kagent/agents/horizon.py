"""The horizon of presets of values where the user gives none."""

from __future__ import annotations

from typing import Any


def unless_shorter(given: Any, default: int, max_episode_timesteps: Any) -> Any:
    """The horizon of a preset: as given, else the default, or the agent's limit of timesteps where episodes are shorter.

    Example:

    >>> unless_shorter(None, 4, None), unless_shorter(None, 4, 3), unless_shorter(0, 4, 3)
    (4, 3, 0)
    """
    if given is not None:
        return given
    # A limit that is no count is refused by the agent itself.
    counts = isinstance(max_episode_timesteps, int) and max_episode_timesteps > 0
    return min(default, max_episode_timesteps) if counts else default
