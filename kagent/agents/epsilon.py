"""The exploration of presets of values where the user gives none."""

from __future__ import annotations

from typing import Any

from kagent.exploration import EpsilonGreedy


def unless_noisy(given: Any, default: EpsilonGreedy, noisy: bool | float) -> Any:
    """The part `exploration` of a preset: as given, else without random actions where noisy layers explore, else the default.

    Example:

    >>> unless_noisy(None, EpsilonGreedy(), noisy=True).epsilon(kagent.schedules.Clock())
    0.0
    """
    if given is not None:
        return given
    return EpsilonGreedy(initial=0.0, final=0.0) if noisy is not False else default
