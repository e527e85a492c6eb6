"""Layers in a row, for one state or for the reward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from kagent.preprocessing import layer
from kagent.preprocessing.layer import Bound, Layer, Past, Rows
from kagent.preprocessing.statistics import Standardizer
from kagent.spaces import Structure


class Pipeline:
    """Layers that are applied one after the other.

    Args:
        layers: Parts of `preprocessing`.
        space: Of what comes in.
        where: Its path in messages, such as `"preprocessing['float']"`.
        whose: What else messages say of it, such as `" of state 'speed'"`.
        observation: Of a pipeline for rewards, the structure of processed observations.

    Attributes:
        layers: The parts.
        bounds: What they are for values of their spaces.
        spaces: Of what comes into each.
        space: Of what comes out.

    Raises:
        ValueError: A layer that does not fit the values it would get.
    """

    def __init__(
        self,
        layers: list[Layer],
        space: gymnasium.Space,
        where: str,
        whose: str = "",
        observation: Structure | None = None,
    ):
        self.layers, self.bounds, self.spaces = layers, list[Bound](), list[gymnasium.Space]()
        for index, part in enumerate(layers):
            self.spaces.append(space)
            try:
                self.bounds.append(part.bind(space) if observation is None else part.bind_reward(space, observation))
            except ValueError as error:
                raise ValueError(f"`{where}[{index}]`{whose}: {type(part).__name__} {error}") from error
            space = self.bounds[-1].space
        self.space = space
        self.remembers = any(bound.remembers for bound in self.bounds)

    def begin(self, count: int) -> list[Past]:
        """What is remembered of `count` environments, before anything has happened."""
        return [
            {name: np.zeros((count, *shape), dtype) for name, (shape, dtype) in bound.remembers.items()}
            for bound in self.bounds
        ]

    def __call__(self, x: np.ndarray, past: list[Past], rows: Rows, fresh: np.ndarray, learn: bool) -> np.ndarray:
        """Values `(n, *shape)` of the environments `rows`, processed; see `Bound`."""
        for bound, remembered in zip(self.bounds, past):
            x = bound(x, remembered, rows, fresh, learn)
        return x

    def reward(
        self,
        x: np.ndarray,
        past: list[Past],
        rows: Rows,
        fresh: np.ndarray,
        learn: bool,
        successor: Sequence[np.ndarray] | None,
    ) -> np.ndarray:
        """Rewards `(n,)` of the environments `rows`, processed; see `Bound.reward`."""
        for bound, remembered in zip(self.bounds, past):
            x = bound.reward(x, remembered, rows, fresh, learn, successor)
        return x

    @property
    def standardizes(self) -> bool:
        """Whether a layer standardizes the values by statistics: bounds behind it are those of clipping."""
        return any(isinstance(bound, Standardizer) for bound in self.bounds)

    @property
    def statistics(self) -> list[dict[str, np.ndarray]]:
        """What the layers have learned."""
        return [dict(bound.statistics) for bound in self.bounds]

    def set_statistics(self, statistics: list[dict[str, np.ndarray]]) -> None:
        """Takes what `statistics` gave."""
        for bound, found in zip(self.bounds, statistics):
            bound.statistics = dict(found)


def kept(space: gymnasium.Space) -> gymnasium.Space:
    """The space of values as kagent keeps them: boxes of float64 as float32, of bool as uint8."""
    if not isinstance(space, gymnasium.spaces.Box):
        return space
    dtype = np.dtype(space.dtype)
    if dtype.kind == "b":
        return layer.box(space.low, space.high, dtype=np.uint8)
    return final(space)


def final(space: gymnasium.Space) -> gymnasium.Space:
    """The space of processed values as networks and memories take them."""
    if isinstance(space, gymnasium.spaces.Box) and np.dtype(space.dtype).kind == "f":
        return layer.box(space.low, space.high, dtype=np.float32)
    return space


def matching(found: Any, expected: Any, what: str) -> Any:
    """Arrays nested in lists and dicts, as read from a file, if they are nested, shaped and typed as `expected`.

    Raises:
        ValueError: They are not, or hold what is not finite.
    """
    if isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            raise ValueError(f"{what} must be {len(expected)} entries. Received: {type(found).__name__}")
        return [matching(part, like, f"{what}[{i}]") for i, (part, like) in enumerate(zip(found, expected))]
    if isinstance(expected, dict):
        if not isinstance(found, dict) or found.keys() != expected.keys():
            raise ValueError(f"{what} must have {sorted(expected)}. Received: {type(found).__name__}")
        return {key: matching(found[key], like, f"{what}.{key}") for key, like in expected.items()}
    array = np.asarray(found)
    if (array.shape, array.dtype) != (expected.shape, expected.dtype) or not np.isfinite(array).all():
        raise ValueError(
            f"{what} must be finite {expected.dtype} of shape {expected.shape}. Received: {array.dtype} {array.shape}"
        )
    return np.array(array)
