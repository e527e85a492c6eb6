"""Polyaxon's explorations by their names, which are kagent's: see `kagent.exploration.names`.

Time is in timesteps (`global_timestep`). `EstimatorSpec.exploration` takes what these functions return.
"""

from __future__ import annotations

from typing import Any

from kagent.exploration import EXPLORATIONS
from kagent.exploration.names import constant, decay, greedy, ornstein_uhlenbeck, random, random_decay

__all__ = ["constant", "decay", "get", "greedy", "ornstein_uhlenbeck", "random", "random_decay"]


def get(identifier: Any) -> Any:
    """An exploration from one of the names here, or a dict `{"type": name, **arguments}`; None is a rate of 0: the actions
    that the model gives.

    Anything else is returned as it is: `kagent.Agent` reads it.

    Raises:
        TypeError, ValueError: An unknown name, or arguments that the exploration refuses.

    Example:

    >>> get({"type": "constant", "value": 0.25})
    0.25
    """
    if identifier is None:
        return 0.0
    named = isinstance(identifier, dict) and EXPLORATIONS.knows(identifier.get("type"))
    return EXPLORATIONS.get(identifier) if named or isinstance(identifier, str) else identifier
