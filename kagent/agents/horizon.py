"""The horizon of presets of values where the user gives none."""

from __future__ import annotations

from typing import Any

from kagent.config.checks import check_count_or_none


def unless_shorter(given: Any, default: int, max_episode_timesteps: Any) -> Any:
    """The horizon of a preset: as given, else the default, or the agent's limit of timesteps where episodes are shorter.

    Raises:
        ValueError: `max_episode_timesteps` is neither None nor an integer >= 1.

    Example:

    >>> unless_shorter(None, 4, None), unless_shorter(None, 4, 3), unless_shorter(0, 4, 3)
    (4, 3, 0)
    """
    limit = check_count_or_none(max_episode_timesteps, "max_episode_timesteps")
    if given is not None:
        return given
    return default if limit is None else min(default, limit)
