"""The argument `temperature` of soft actor-critics."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from kagent import objectives


def initial_temperature(
    temperature: Any, target_entropy: Any = "auto", parts: Mapping[str, Any] = MappingProxyType({})
) -> tuple[Any, bool]:
    """The temperature to begin with, as a part, and whether it is learned.

    Args:
        temperature: "auto" is learned from 1 on, "auto_0.1" from 0.1 on; a number and a part stay as they are.
        target_entropy: What the preset received.
        parts: What it received in place of its parts. An objective among them says itself whether it learns.

    Raises:
        ValueError: Another string; an entropy that a fixed temperature does not hold; a number beside an objective that
            learns it, a string but "auto" beside one that does not.

    Example:

    >>> initial_temperature("auto_0.1")
    ({'type': 'Temperature', 'initial': 0.1}, True)
    """
    learned = isinstance(temperature, str)
    initial = _initial(temperature) if learned else temperature
    if isinstance(initial, numbers.Real) and not isinstance(initial, bool):
        initial = {"type": "Temperature", "initial": float(initial)}
    if "objective" in parts:
        return initial, _learned_by(parts["objective"], temperature, learned)
    if not learned and target_entropy != "auto":
        raise ValueError(
            "`target_entropy` is what a learned temperature holds the policy at, and `temperature` is fixed. Received: "
            f"target_entropy={target_entropy!r} and temperature={temperature!r}. Allowed: target_entropy='auto', or "
            "temperature='auto' or 'auto_<initial>'"
        )
    return initial, learned


def _learned_by(objective: Any, temperature: Any, learned: bool) -> bool:
    learns = getattr(objectives.get(objective), "learn_temperature", None)
    both = f"Received: temperature={temperature!r} and objective={objective!r}"
    if isinstance(temperature, numbers.Real) and learns is True:
        raise ValueError(
            f"`temperature` as a number is fixed, and `objective` learns it. {both}. Allowed: "
            f"temperature='auto_{temperature}', or learn_temperature=False"
        )
    if learned and temperature != "auto" and learns is False:
        raise ValueError(
            f"`temperature` as a string is learned, and `objective` does not learn it. {both}. Allowed: a number, or "
            "learn_temperature=True"
        )
    return learned if learns is None else bool(learns)


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
