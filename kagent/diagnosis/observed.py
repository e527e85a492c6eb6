"""Single observations: what is wrong with one, copies, and comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kagent.spaces import Leaf, Structure


class Fault(NamedTuple):
    """What is wrong with an observation.

    Attributes:
        text: In words.
        advice: What to do.
        fatal: Whether nothing can be said of further ones.
        name, severity: Of the finding.
    """

    text: str
    advice: str
    fatal: bool = True
    name: str = "observation_outside"
    severity: str = "severe"


def fault(structure: Structure, value: Any) -> Fault | None:
    """The first thing that is wrong with an observation, or None.

    Args:
        structure: Of the observation space.
        value: As the environment returned it.
    """
    try:
        leaves = structure.flatten(value)
    except ValueError as error:
        return Fault(str(error), "Return what `observation_space` declares, nested alike.")
    for leaf, part in zip(structure.leaves, leaves):
        if (found := _of_leaf(leaf, part)) is not None:
            return found
    return None


def copied(structure: Structure, value: Any) -> list[Any]:
    """Copies of an observation's leaves."""
    return [np.array(part) for part in structure.flatten(value)]


def equal(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether leaves are equal to the bit."""
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other))


def _of_leaf(leaf: Leaf, value: Any) -> Fault | None:
    at = f" of leaf {leaf.name!r}" if leaf.name else ""
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        return Fault(f"The observation{at} is not numeric but {type(value).__name__}.", "Return a NumPy array.")
    if array.shape != leaf.shape:
        return Fault(
            f"The observation{at} has shape {array.shape}; the space says {leaf.shape}.", "Correct one of the two."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return Fault(
            f"The observation{at} holds NaN or infinity{_where(~np.isfinite(array))}.", "Look for a division by zero."
        )
    if leaf.kind != "box":
        assert leaf.nvec is not None and leaf.start is not None
        outside = (array < leaf.start) | (array >= leaf.start + leaf.nvec) | (array != np.floor(array))
        if outside.any():
            return Fault(
                f"The observation{at} is {array.tolist()}; allowed are the integers from {leaf.start.tolist()} to "
                f"{(leaf.start + leaf.nvec - 1).tolist()}.",
                "Correct one of the two.",
            )
        return None
    assert leaf.low is not None and leaf.high is not None
    outside = (array < leaf.low) | (array > leaf.high)
    if outside.any():
        index = tuple(np.argwhere(outside)[0].tolist())
        return Fault(
            f"The observation{at} is {float(array[index]):.6g}{_where(outside)}; declared are {float(leaf.low[index]):.6g} to "
            f"{float(leaf.high[index]):.6g}.",
            "Widen `observation_space`, or clip.",
            fatal=False,
        )
    if not np.can_cast(array.dtype, leaf.dtype) or not isinstance(value, np.ndarray | np.generic):
        kind = array.dtype if isinstance(value, np.ndarray | np.generic) else type(value).__name__
        return Fault(
            f"The observation{at} is of {kind}; the space says an array of {leaf.dtype}.",
            f"np.asarray(observation, np.{leaf.dtype.name})",
            fatal=False,
            name="observation_dtype",
            severity="warning",
        )
    return None


def _where(wrong: np.ndarray) -> str:
    index = np.argwhere(wrong)[0].tolist()
    return f" at index {tuple(index)}" if index else ""
