"""Layers that standardise."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import gymnasium
import numpy as np

from kagent import schedules
from kagent.preprocessing import layer
from kagent.preprocessing.equations import merged_moments, running_return, standardize
from kagent.preprocessing.layer import LAYERS, Bound, Function, Layer, Past, Rows

Axes = tuple[int, ...] | None


def _axes(value: Any, name: str) -> Axes:
    if value is None:
        return None
    given = value if isinstance(value, list | tuple) else (value,)
    return tuple(layer.integer(axis, name) for axis in given)


def _axes_of(axes: Axes, default: tuple[int, ...], rank: int) -> tuple[int, ...]:
    if axes is None:
        return default
    found = tuple(sorted(layer.axis_of(axis, rank, "axes") for axis in axes))
    if len(set(found)) < len(found):
        raise ValueError(f"needs each of `axes` once. Received: {axes}")
    return found


class Standardizer(Bound):
    """Mean and variance of the values so far, shared by all environments.

    Its statistics are `weight`, how much went into them (0: nothing yet, and values pass as they are), `mean` and
    `variance`, float64, with axes of length 1 where components share them.

    Args:
        space: Of the values.
        axes: Axes whose components share mean and variance.
        only_mean: Whether the variance is left alone.
        decay: What a value's weight is multiplied by in each step, perhaps a schedule; None: all count the same.
        floor, epsilon: See `standardize`.
        clip: Results are kept from `-clip` to `clip`.
    """

    def __init__(
        self,
        space: gymnasium.spaces.Box,
        axes: tuple[int, ...],
        only_mean: bool,
        decay: Any,
        floor: float,
        epsilon: float,
        clip: float,
    ):
        super().__init__(layer.box(-clip, clip, space.shape))
        self.axes = (0, *(axis + 1 for axis in axes))
        self.shared = math.prod(space.shape[axis] for axis in axes)
        self.only_mean, self.decay, self.floor, self.epsilon, self.clip = only_mean, decay, floor, epsilon, clip
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(space.shape))
        self.statistics = {"weight": np.zeros(()), "mean": np.zeros(shape), "variance": np.ones(shape)}

    def __call__(self, x: np.ndarray, past: Past, rows: Rows, fresh: np.ndarray, learn: bool) -> np.ndarray:
        x = x.astype(np.float64)
        if learn and len(x):
            self._learn(x)
        mean, variance = self.statistics["mean"], self.statistics["variance"]
        if self.only_mean:
            x = x - mean
        else:
            x = standardize(x, mean, variance, self.floor, self.epsilon)
        return np.clip(x, -self.clip, self.clip) if self.clip < math.inf else x

    def frozen(self) -> dict[str, Any]:
        """JSON-ready: `mean`, `deviation` and `clip` (None: there is none) as they are now."""
        deviation = np.sqrt(np.maximum(self.statistics["variance"], self.floor) + self.epsilon)
        clip = self.clip if self.clip < math.inf else None
        return {"mean": self.statistics["mean"].tolist(), "deviation": deviation.tolist(), "clip": clip}

    def _learn(self, x: np.ndarray) -> None:
        weight, mean, variance = float(self.statistics["weight"]), self.statistics["mean"], self.statistics["variance"]
        if self.decay is None:
            added = float(len(x) * self.shared)
        else:
            left = schedules.evaluate(self.decay, self.clock()) ** len(x)
            weight, added = left * weight, 1.0 - left
        if len(x) == 1 and self.shared == 1:
            new_mean, new_variance = x[0], np.zeros_like(x[0])
        else:
            new_mean = x.mean(self.axes, keepdims=True)
            new_variance = np.square(x - new_mean).mean(self.axes, keepdims=True)[0]
            new_mean = new_mean[0]
        merged = merged_moments(weight, mean, variance, added, new_mean, new_variance)
        self.statistics = dict(zip(("weight", "mean", "variance"), map(np.asarray, merged)))


@LAYERS.register()
@dataclasses.dataclass(frozen=True)
class ExponentialNormalization(Layer):
    """`(x - mean) / sqrt(max(variance, min_variance))`, with moving averages of mean and variance.

    A value that is k timesteps old counts `decay**k`; the sum of these is divided by, so that the first values are not
    drawn towards zero. The values of several environments in one step count the same. All environments share them; they
    move in training alone, before the value is standardised that they take in; before the first value, x passes as it is.

    Args:
        decay: From 0 to below 1; larger remembers longer. May be a schedule.
        axes: Axes of the state, counted without that of environments, whose components share mean and variance. None:
            all but the last one.
        only_mean: Whether only the mean is subtracted.
        min_variance: The least variance that is divided by, > 0.
    """

    decay: Any
    axes: Any = None
    only_mean: bool = False
    min_variance: float = 1e-4

    def __post_init__(self) -> None:
        name = "exponential_normalization"
        if schedules.is_schedule(self.decay):
            decay = schedules.get(self.decay, f"{name}.decay", 0.0, 1.0)
        else:
            decay = layer.number(self.decay, f"{name}.decay", 0.0, 1.0)
        object.__setattr__(self, "decay", decay)
        if decay == 1.0:
            raise ValueError(f"`{name}.decay` must be less than 1: nothing would be learned. Received: 1")
        object.__setattr__(self, "axes", _axes(self.axes, f"{name}.axes"))
        layer.flag(self.only_mean, f"{name}.only_mean")
        least = layer.number(self.min_variance, f"{name}.min_variance", 0.0, above=True)
        object.__setattr__(self, "min_variance", least)

    def bind(self, space: gymnasium.Space) -> Bound:
        space = layer.floats(space)
        rank = len(space.shape)
        axes = _axes_of(self.axes, tuple(range(rank - 1)), rank)
        return Standardizer(space, axes, self.only_mean, self.decay, self.min_variance, 0.0, math.inf)


@LAYERS.register()
@dataclasses.dataclass(frozen=True)
class RunningNormalization(Layer):
    """`(x - mean) / sqrt(variance + epsilon)`, kept from `-clip` to `clip`, with mean and variance of all values so far.

    All environments share mean and variance (Welford 1962; Chan, Golub and LeVeque 1979). They move in training alone,
    before the value is standardised that they take in; before the first value, x passes as it is.

    Args:
        axes: Axes of the state, counted without that of environments, whose components share mean and variance. None:
            all but the last one.
        only_mean: Whether only the mean is subtracted.
        epsilon: Added to the variance, > 0.
        clip: Bound of the results, > 0; None: there is none.
    """

    axes: Any = None
    only_mean: bool = False
    epsilon: float = 1e-8
    clip: float | None = 10.0

    def __post_init__(self) -> None:
        name = "running_normalization"
        object.__setattr__(self, "axes", _axes(self.axes, f"{name}.axes"))
        layer.flag(self.only_mean, f"{name}.only_mean")
        object.__setattr__(self, "epsilon", layer.number(self.epsilon, f"{name}.epsilon", 0.0, above=True))
        if self.clip is not None:
            object.__setattr__(self, "clip", layer.number(self.clip, f"{name}.clip", 0.0, above=True))

    def bind(self, space: gymnasium.Space) -> Bound:
        space = layer.floats(space)
        rank = len(space.shape)
        axes = _axes_of(self.axes, tuple(range(rank - 1)), rank)
        clip = math.inf if self.clip is None else self.clip
        return Standardizer(space, axes, self.only_mean, None, 0.0, self.epsilon, clip)


class ReturnScaler(Standardizer):
    """`ReturnNormalization`, bound: the statistics are of discounted sums, each environment's `return`."""

    def __init__(self, discount: Any, epsilon: float, clip: float):
        super().__init__(layer.box(-math.inf, math.inf, ()), (), False, None, 0.0, epsilon, clip)
        self.discount = discount
        self.remembers = {"return": ((), np.dtype(np.float64))}

    def __call__(self, x: np.ndarray, past: Past, rows: Rows, fresh: np.ndarray, learn: bool) -> np.ndarray:
        discount = schedules.evaluate(self.discount, self.clock())
        past["return"][rows] = sums = running_return(past["return"][rows], x, discount, fresh)
        if learn and len(x):
            self._learn(sums)
        scaled = standardize(x, 0.0, self.statistics["variance"], self.floor, self.epsilon)
        return np.clip(scaled, -self.clip, self.clip) if self.clip < math.inf else scaled


@LAYERS.register()
@dataclasses.dataclass(frozen=True)
class ReturnNormalization(Layer):
    """`x / sqrt(variance + epsilon)` of a reward x, kept from `-clip` to `clip`, with the variance of discounted sums of rewards.

    The sum of each environment begins anew with its episodes (`kagent.preprocessing.equations.running_return`); nothing is subtracted,
    so that the sign of a reward stays. All environments share the variance. It moves in training alone, before the reward is
    divided that it takes in; before the first one, rewards pass as they are.

    Args:
        discount: Weight in the sums of a reward one timestep earlier, from 0 to 1: that of the agent's own returns. May be a
            schedule.
        epsilon: Added to the variance, > 0.
        clip: Bound of the results, > 0; None: there is none.

    Raises:
        ValueError, TypeError: Arguments outside their range; at the agent's making, a state in place of the reward.
    """

    discount: Any = 0.99
    epsilon: float = 1e-8
    clip: float | None = 10.0

    def __post_init__(self) -> None:
        name = "return_normalization"
        if schedules.is_schedule(self.discount):
            discount = schedules.get(self.discount, f"{name}.discount", 0.0, 1.0)
        else:
            discount = layer.number(self.discount, f"{name}.discount", 0.0, 1.0)
        object.__setattr__(self, "discount", discount)
        object.__setattr__(self, "epsilon", layer.number(self.epsilon, f"{name}.epsilon", 0.0, above=True))
        if self.clip is not None:
            object.__setattr__(self, "clip", layer.number(self.clip, f"{name}.clip", 0.0, above=True))

    def bind(self, space: gymnasium.Space) -> Bound:
        if layer.floats(space).shape != ():
            raise ValueError(f"needs the reward, one number. Received: {space}")
        return ReturnScaler(self.discount, self.epsilon, math.inf if self.clip is None else self.clip)


@LAYERS.register()
@dataclasses.dataclass(frozen=True)
class InstanceNormalization(Layer):
    """`(x - mean) / sqrt(max(variance, min_variance))`, with mean and variance of the components of the value itself.

    Args:
        axes: Axes of the state, counted without that of environments, over which mean and variance are taken. None: all.
        only_mean: Whether only the mean is subtracted.
        min_variance: The least variance that is divided by, > 0.

    Raises:
        ValueError: Of a state of one number.
    """

    axes: Any = None
    only_mean: bool = False
    min_variance: float = 1e-4

    def __post_init__(self) -> None:
        name = "instance_normalization"
        object.__setattr__(self, "axes", _axes(self.axes, f"{name}.axes"))
        layer.flag(self.only_mean, f"{name}.only_mean")
        least = layer.number(self.min_variance, f"{name}.min_variance", 0.0, above=True)
        object.__setattr__(self, "min_variance", least)

    def bind(self, space: gymnasium.Space) -> Bound:
        space = layer.floats(space)
        rank = len(space.shape)
        if not rank:
            raise ValueError(f"needs a state with at least one axis. Received: {space}")
        axes = tuple(axis + 1 for axis in _axes_of(self.axes, tuple(range(rank)), rank))

        def apply(x: np.ndarray) -> np.ndarray:
            x = x.astype(np.float64)
            mean = x.mean(axes, keepdims=True)
            if self.only_mean:
                result: np.ndarray = x - mean
                return result
            return standardize(x, mean, np.square(x - mean).mean(axes, keepdims=True), self.min_variance)

        return Function(layer.box(-math.inf, math.inf, space.shape), apply)
