"""The argument `temperature` of soft actor-critics."""

from __future__ import annotations

import math
import numbers
from typing import Any


def initial_temperature(temperature: Any) -> tuple[Any, bool]:
    """The temperature to begin with, as a part, and whether it is learned.

    Args:
        temperature: "auto" is learned from 1 on, "auto_0.1" from 0.1 on; a number and a part stay as they are.

    Raises:
        ValueError: Another string.

    Example:

    >>> initial_temperature("auto_0.1")
    ({'type': 'Temperature', 'initial': 0.1}, True)
    """
    learned = isinstance(temperature, str)
    initial = _initial(temperature) if learned else temperature
    if isinstance(initial, numbers.Real) and not isinstance(initial, bool):
        initial = {"type": "Temperature", "initial": float(initial)}
    return initial, learned


def temperature_optimizer(rate: Any, otherwise: Any, learned: bool) -> dict[str, Any] | None:
    """Adam for a learned temperature, as a part; None for a fixed one.

    Args:
        rate: What `temperature_learning_rate` received; None: `otherwise`, the policy's.
        otherwise: The policy's learning rate.
        learned: Whether the temperature is learned.

    Raises:
        ValueError: A rate for a temperature that is fixed.
    """
    if learned:
        return {"type": "Adam", "learning_rate": otherwise if rate is None else rate, "epsilon": 1e-8}
    if rate is not None:
        raise ValueError(
            "`temperature_learning_rate` is of a learned temperature: temperature='auto' or 'auto_<initial>'. "
            f"Received: {rate!r} and a fixed temperature"
        )
    return None


def _initial(temperature: str) -> float:
    try:
        initial = 1.0 if temperature == "auto" else float(temperature.removeprefix("auto_"))
    except ValueError:
        initial = 0.0
    if not (temperature == "auto" or temperature.startswith("auto_")) or not 0 < initial < math.inf:
        raise ValueError(
            f"`temperature` must be 'auto', 'auto_<initial>' with a number > 0, or a number > 0. Received: {temperature!r}"
        )
    return initial
