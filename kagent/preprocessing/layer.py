"""What a preprocessing layer is: a part without state, and what it becomes for one state or for the reward."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np

from kagent.config.registry import Part, Registry
from kagent.schedules import Clock
from kagent.spaces import Structure

LAYERS = Registry("preprocessing")
Past = dict[str, np.ndarray]
Rows = Any  # an index array, or slice(None) for all environments


class Layer(Part):
    """A part of `preprocessing`. Subclasses are frozen dataclasses with `bind`."""

    def bind(self, space: gymnasium.Space) -> Bound:
        """The layer for values of a space.

        Args:
            space: Of one value; its dtype is that of the arrays. Discrete values are indices from 0 there, whatever the
                space's `start`.

        Raises:
            ValueError: The layer is not for such values; the message begins with what it needs.
        """
        raise NotImplementedError

    def bind_reward(self, space: gymnasium.Space, observation: Structure) -> Bound:
        """The layer for rewards; one that only looks at them is that of `bind`.

        Args:
            space: Of one reward.
            observation: Of processed observations.

        Raises:
            ValueError: As `bind` does.
        """
        return self.bind(space)


class Bound:
    """A layer for values of one space.

    Attributes:
        space: Of what it gives.
        statistics: What it has learned of the values, shared by all environments; arrays that are exchanged, never
            changed in place.
        remembers: What it remembers of an episode, one row per environment: name to shape and dtype of a row.
        clock: Says what time it is, for schedules; that of the agent.
    """

    def __init__(self, space: gymnasium.Space):
        self.space = space
        self.statistics: dict[str, np.ndarray] = {}
        self.remembers: dict[str, tuple[tuple[int, ...], np.dtype]] = {}
        self.clock: Callable[[], Clock] = Clock

    def start(self, clock: Callable[[], Clock]) -> None:
        """Gives it the agent's time, with the seed of what is drawn without a seed of its own. Called once, by the agent."""
        self.clock = clock

    def __call__(self, x: np.ndarray, past: Past, rows: Rows, fresh: np.ndarray, learn: bool) -> np.ndarray:
        """Processes values of some environments.

        Args:
            x: `(n, *shape)`; left as it is.
            past: What is remembered, arrays `(N, ...)` of all N environments; rows `rows` are brought up to date.
            rows: Which environments these are.
            fresh: bool `(n,)`: where an episode begins.
            learn: Whether statistics take these values in.

        Returns:
            `(n, *self.space.shape)`.
        """
        raise NotImplementedError

    def reward(
        self,
        x: np.ndarray,
        past: Past,
        rows: Rows,
        fresh: np.ndarray,
        learn: bool,
        successor: Sequence[np.ndarray] | None,
    ) -> np.ndarray:
        """Processes rewards `(n,)` of some environments, with the processed observations that came with them.

        Args:
            successor: `(n, *leaf.shape)` of each leaf; None where an episode's last observation is not known.
        """
        return self(x, past, rows, fresh, learn)


class Function(Bound):
    """A layer that looks at each value alone.

    Args:
        space: Of its results.
        function: From `(n, *shape)` to `(n, *space.shape)`.
    """

    def __init__(self, space: gymnasium.Space, function: Callable[[np.ndarray], np.ndarray]):
        super().__init__(space)
        self.function = function

    def __call__(self, x: np.ndarray, past: Past, rows: Rows, fresh: np.ndarray, learn: bool) -> np.ndarray:
        return self.function(x)


def box(low: Any, high: Any, shape: tuple[int, ...] | None = None, dtype: Any = np.float64) -> gymnasium.spaces.Box:
    """A `Box` with these bounds (numbers, or arrays of the shape)."""
    shape = np.shape(low) if shape is None else shape
    dtype = np.dtype(dtype)
    with np.errstate(over="ignore"):
        low, high = (np.broadcast_to(np.asarray(value), shape).astype(dtype) for value in (low, high))
    return gymnasium.spaces.Box(low, high, shape, dtype.type)


def increasing(space: gymnasium.spaces.Box, function: Callable[[np.ndarray], np.ndarray]) -> Function:
    """A layer that applies a non-decreasing function of float64: its results lie between those of the bounds."""

    def apply(x: np.ndarray) -> np.ndarray:
        return function(x.astype(np.float64))

    low, high = bounds(space)
    return Function(box(function(low), function(high)), apply)


def bounds(space: gymnasium.spaces.Box) -> tuple[np.ndarray, np.ndarray]:
    """Bounds as float64; infinite where an integer box says that it has none."""
    low = np.where(space.bounded_below, space.low.astype(np.float64), -np.inf)
    high = np.where(space.bounded_above, space.high.astype(np.float64), np.inf)
    return low, high


def floats(space: gymnasium.Space) -> gymnasium.spaces.Box:
    """`space`, if it is a box.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(space, gymnasium.spaces.Box):
        raise ValueError(f"needs a state of type float (a Box). Received: {space}")
    return space


def number(value: Any, name: str, least: float = -np.inf, most: float = np.inf, above: bool = False) -> float:
    """`value` as float, if it is a finite number in a range.

    Args:
        value: What was given.
        name: Of the argument.
        least, most: The range.
        above: Whether it must be more than `least`.

    Raises:
        TypeError: Not a number.
        ValueError: Outside the range, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"`{name}` must be a number. Received: {value!r}")
    found = float(value)
    if not np.isfinite(found) or not least <= found <= most or (above and found == least):
        bounded = [f"{'>' if above else '>='} {least:g}"] * (least > -np.inf) + [f"<= {most:g}"] * (most < np.inf)
        raise ValueError(f"`{name}` must be finite{''.join(f' and {part}' for part in bounded)}. Received: {value!r}")
    return found


def numbers_of(value: Any, name: str) -> Any:
    """A finite number as float, or nested lists or an array of them as nested tuples.

    Raises:
        TypeError, ValueError: Anything else.
    """
    if not isinstance(value, list | tuple | np.ndarray) or np.ndim(value) == 0:
        return number(value.item() if isinstance(value, np.ndarray) else value, name)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    found = tuple(numbers_of(part, name) for part in value)
    if not found:
        raise ValueError(f"`{name}` must hold numbers. Received: {value!r}")
    return found


def spread(value: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """What `numbers_of` gave, as float64 array of `shape`.

    Raises:
        ValueError: It does not fit.
    """
    try:
        return np.broadcast_to(np.asarray(value, np.float64), shape)
    except ValueError:
        raise ValueError(f"needs `{name}` as a number or of the state's shape {shape}. Received: {value}") from None


def integer(value: Any, name: str, least: int | None = None) -> int:
    """`value` as int.

    Raises:
        TypeError: Not an integer.
        ValueError: Less than `least`.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` must be an integer. Received: {value!r}")
    if least is not None and value < least:
        raise ValueError(f"`{name}` must be at least {least}. Received: {value!r}")
    return int(value)


def flag(value: Any, name: str) -> None:
    """Refuses what is not True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` must be True or False. Received: {value!r}")


def axis_of(axis: int, rank: int, name: str) -> int:
    """An axis of `rank` axes, counted from 0.

    Raises:
        ValueError: There is none.
    """
    if not -rank <= axis < rank:
        raise ValueError(f"needs `{name}` among the {rank} axes that there are. Received: {axis}")
    return axis % rank
