"""Arguments of the plainest kinds, checked."""

from __future__ import annotations

import math
import numbers
from typing import Any

MOST_ENVS = 1 << 16  # environments side by side


def check_count(value: Any, argument: str, least: int = 1, most: int = 2**63 - 1) -> int:
    """An integer from `least` to `most`, as Python's.

    Raises:
        ValueError: Anything else.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"`{argument}` must be an integer >= {least}. Received: {value!r}")
    count = int(value)
    if count > most:
        raise ValueError(f"`{argument}` must be at most {most}. Received: {value!r}")
    return count


def check_flag(value: Any, argument: str) -> None:
    """Raises:
    TypeError: Neither True nor False.
    """
    if not isinstance(value, bool):
        raise TypeError(f"`{argument}` must be True or False. Received: {value!r}")


def check_positive(value: Any, argument: str) -> None:
    """Raises:
    ValueError: Neither None nor a finite number > 0.
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if value is not None and not (number and 0 < value < math.inf):
        raise ValueError(f"`{argument}` must be a number > 0 or None. Received: {value!r}")
