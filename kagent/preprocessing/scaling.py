"""Layers that look at each number alone."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import gymnasium
import numpy as np

from kagent import schedules
from kagent.acting import activations
from kagent.preprocessing import layer
from kagent.preprocessing.equations import linear_normalization
from kagent.preprocessing.layer import LAYERS, Bound, Function, Layer, Past, Rows


@LAYERS.register()
@dataclasses.dataclass(frozen=True)
class LinearNormalization(Layer):
    """`4 (x - min_value) / (max_value - min_value) - 2`: from -2 to 2.

    Args:
        min_value, max_value: A number, or one for each component, nested as the state's shape. None: the bounds of the
            state's space, where components that lack one of their bounds pass as they are, and components whose bounds
            are equal become 0, the middle.

    Raises:
        ValueError: A given `min_value` or `max_value` leaves some component without a range; or, of a state, all components lack a
            bound. A reward has none.
    """

    min_value: Any = None
    max_value: Any = None

    def __post_init__(self) -> None:
        for name in ("min_value", "max_value"):
            value = getattr(self, name)
            found = None if value is None else layer.numbers_of(value, f"linear_normalization.{name}")
            object.__setattr__(self, name, found)

    def bind(self, space: gymnasium.Space) -> Bound:
        space = layer.floats(space)
        low, high = layer.bounds(space)
        if self.min_value is not None:
            low = layer.spread(self.min_value, "min_value", space.shape)
        if self.max_value is not None:
            high = layer.spread(self.max_value, "max_value", space.shape)
        finite = np.isfinite(low) & np.isfinite(high)
        if not finite.any():
            raise ValueError(
                "needs `min_value` and `max_value`, or a space with both bounds in some component. "
                f"Received: min_value={self.min_value}, max_value={self.max_value}, {space}"
            )
        fixed = layer.bounds(space)[0] == layer.bounds(space)[1] if self.min_value is self.max_value is None else False
        wrong = np.argwhere(finite & ~(low < high) & ~np.asarray(fixed))
        if len(wrong):
            index = tuple(wrong[0].tolist())
            where = f" in component {list(index)}" if index else ""
            raise ValueError(f"needs `min_value` < `max_value`. Received: {low[index]} and {high[index]}{where}")
        return layer.increasing(space, lambda x: linear_normalization(x, low, high))


@LAYERS.register("scale")
@dataclasses.dataclass(frozen=True)
class Rescaling(Layer):
    """`scale * x + offset`.

    Args:
        scale, offset: A number, or one for each component, nested as the state's shape.
    """

    scale: Any = 1.0
    offset: Any = 0.0

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            object.__setattr__(self, name, layer.numbers_of(getattr(self, name), f"rescaling.{name}"))

    def bind(self, space: gymnasium.Space) -> Bound:
        space = layer.floats(space)
        scale = layer.spread(self.scale, "scale", space.shape)
        offset = layer.spread(self.offset, "offset", space.shape)
        with np.errstate(invalid="ignore"):
            ends = [np.where(scale == 0.0, offset, scale * bound + offset) for bound in layer.bounds(space)]
        return Function(layer.box(np.minimum(*ends), np.maximum(*ends)), lambda x: scale * x + offset)


@LAYERS.register()
@dataclasses.dataclass(frozen=True)
class Clipping(Layer):
    """Nothing below `lower` and nothing above `upper`.

    Args:
        lower, upper: At least one of them. May be schedules, which are read at each value.

    Raises:
        ValueError: None of them, or `lower` not less than `upper`.
    """

    lower: Any = None
    upper: Any = None

    def __post_init__(self) -> None:
        for name in ("lower", "upper"):
            value = getattr(self, name)
            if schedules.is_schedule(value):
                object.__setattr__(self, name, schedules.get(value, f"clipping.{name}"))
            elif value is not None:
                object.__setattr__(self, name, layer.number(value, f"clipping.{name}"))
        if self.lower is None and self.upper is None:
            raise ValueError("`clipping` needs `lower`, `upper` or both. Received: None for both")
        if not self._range("lower")[0] < self._range("upper")[1]:
            raise ValueError(f"`clipping.lower` must be less than `upper`. Received: {self.lower} and {self.upper}")

    def bind(self, space: gymnasium.Space) -> Bound:
        space = layer.floats(space)
        if not any(isinstance(value, schedules.Schedule) for value in (self.lower, self.upper)):
            lower, upper = self._range("lower")[0], self._range("upper")[0]
            return layer.increasing(space, lambda x: np.clip(x, lower, upper))
        least, most = zip(self._range("lower"), self._range("upper"))
        low, high = layer.bounds(space)
        return ScheduledClipping(layer.box(np.clip(low, *least), np.clip(high, *most)), self)

    def _range(self, name: str) -> tuple[float, float]:
        value = getattr(self, name)
        if value is None:
            value = -np.inf if name == "lower" else np.inf
        return value.bounds if isinstance(value, schedules.Schedule) else (value, value)


class ScheduledClipping(Bound):
    """Clipping whose bounds are schedules.

    Args:
        space: Of its results at any time.
        part: The layer.
    """

    def __init__(self, space: gymnasium.spaces.Box, part: Clipping):
        super().__init__(space)
        self.part = part

    def __call__(self, x: np.ndarray, past: Past, rows: Rows, fresh: np.ndarray, learn: bool) -> np.ndarray:
        now = self.clock()
        lower, upper = (
            None if value is None else schedules.evaluate(value, now) for value in (self.part.lower, self.part.upper)
        )
        return np.clip(x.astype(np.float64), lower, upper)


_INFINITE = (-math.inf, math.inf)
_RANGES = {
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "softplus": (0.0, math.inf),
    "softsign": (-1.0, 1.0),
    "exponential": (0.0, math.inf),
    "softmax": (0.0, 1.0),
}
_OTHER_NAMES = {"none": "linear"}


@LAYERS.register()
@dataclasses.dataclass(frozen=True)
class Activation(Layer):
    """An activation function, of each number alone (`softmax` and `log_softmax`: over the last axis). In float32.

    Args:
        nonlinearity: Its name in Keras, with `_` or `-`; "none" is "linear".
    """

    nonlinearity: str

    def __post_init__(self) -> None:
        name = self.nonlinearity
        folded = name.replace("-", "_").lower() if isinstance(name, str) else name
        try:
            found, _ = activations.check(_OTHER_NAMES.get(folded, folded), {})
        except (TypeError, ValueError):
            known = ", ".join(activations.PARAMETERS)
            raise ValueError(
                f"`activation.nonlinearity` must name an activation. Received: {name!r}. Allowed: {known}"
            ) from None
        object.__setattr__(self, "nonlinearity", found)

    def bind(self, space: gymnasium.Space) -> Bound:
        space = layer.floats(space)
        name = self.nonlinearity
        if name == "linear":
            return layer.increasing(space, lambda x: x)
        if name.endswith("softmax") and not space.shape:
            raise ValueError(f"needs a state with at least one axis for {name!r}. Received: {space}")
        name, parameters = activations.check(name, {})

        def apply(x: np.ndarray) -> np.ndarray:
            x = x.astype(np.float32)
            out = np.empty_like(x)
            for step in activations.steps(name, parameters, x, out):
                step()
            return out.astype(np.float64)

        return Function(layer.box(*_RANGES.get(name, _INFINITE), space.shape), apply)
