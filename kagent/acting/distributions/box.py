"""Decisions on boxes: bounds, noise, and the environment's units."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kagent.acting.distributions.decision import Decision

_EXACT = 2.0**53  # integers beyond have no exact float64


class Box(Decision):
    """What decisions on a Box have. Canonical actions are in the environment's units, and clipped on their way to it."""

    def __init__(self, leaf: Any):
        if leaf.kind != "box":
            raise ValueError(f"A {self.kind} decision needs a Box. Received: {leaf.kind}")
        super().__init__(leaf)
        self.widths = (math.prod(leaf.shape),) * self.heads
        dtype = np.dtype(leaf.dtype)
        self._integral = dtype.kind != "f"
        # float32 holds the bounds of float32 exactly; other dtypes are clipped in float64
        self._work = np.dtype(np.float32 if dtype.itemsize <= 4 and not self._integral else np.float64)
        self._low, self._high = leaf.low.astype(self._work), leaf.high.astype(self._work)
        if self._integral:
            self._low, self._high = np.maximum(self._low, -_EXACT), np.minimum(self._high, _EXACT)
        self._clipped = bool(np.isfinite(self._low).any() or np.isfinite(self._high).any())

    def random(self, count: int, rng: np.random.Generator, mask: np.ndarray | None = None) -> np.ndarray:
        """Uniform between two bounds; from a single bound away, the distance is exponential of mean 1; without bounds,
        standard normal. Of integers all from bound to bound are as likely, and the distance is rounded down."""
        refuse_mask(mask)
        return self._drawn(count, rng).astype(np.float32)

    def _drawn(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Random actions in the environment's units, `(count, *leaf.shape)`; integers where the leaf has them."""
        shape = (count, *self.leaf.shape)
        drawn = rng.standard_normal(shape, np.float32)
        if not self._clipped:
            return drawn
        low, high = self._low.astype(np.float64), self._high.astype(np.float64)
        below, above = np.isfinite(low), np.isfinite(high)
        low, high = np.where(below, low, 0.0), np.where(above, high, 0.0)
        if (below & above).any():
            share = rng.random(shape)
            if self._integral:  # rounding would give the two outermost integers half of what the others have
                between = np.minimum(np.floor(low + share * (high - low + 1.0)), high)
            else:
                between = low * (1.0 - share) + high * share
            drawn = np.where(below & above, between, drawn)
        if (below != above).any():
            distance = rng.standard_exponential(shape)
            distance = np.floor(distance) if self._integral else distance
            drawn = np.where(below != above, low + high + np.where(below, distance, -distance), drawn)
        return drawn

    def perturb(
        self, canonical: np.ndarray, amount: float, rng: np.random.Generator, mask: np.ndarray | None = None
    ) -> np.ndarray:
        refuse_mask(mask)
        return self.add(canonical, np.float32(amount) * rng.standard_normal(canonical.shape, np.float32))

    def add(self, canonical: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Canonical actions with noise `(N, *leaf.shape)` in the environment's units; a new array."""
        # Not clipped here: the environment gets what is within its bounds, the memory what was drawn.
        return canonical + noise.astype(np.float32, copy=False)

    def to_env(self, canonical: np.ndarray) -> np.ndarray:
        return self._cast(canonical.astype(self._work))

    def from_env(self, taken: np.ndarray) -> np.ndarray:
        return taken.astype(np.float32)

    def _cast(self, values: np.ndarray) -> np.ndarray:
        if self._integral:
            np.rint(values, values)
        if self._clipped:
            np.maximum(values, self._low, out=values)
            np.minimum(values, self._high, out=values)
        return values.astype(self.leaf.dtype, copy=False)


class ScaledBox(Box):
    """Canonical actions in [-1, 1], stretched to finite bounds for the environment."""

    def __init__(self, leaf: Any):
        super().__init__(leaf)
        if not (np.isfinite(leaf.low).all() and np.isfinite(leaf.high).all()):
            raise ValueError(f"A {self.kind} decision needs finite bounds. Received: low={leaf.low}, high={leaf.high}")
        # Halves first: the difference of the bounds may be more than the dtype holds.
        self._middle, self._half = self._high / 2 + self._low / 2, self._high / 2 - self._low / 2

    def random(self, count: int, rng: np.random.Generator, mask: np.ndarray | None = None) -> np.ndarray:
        refuse_mask(mask)
        if self._integral:
            return self.from_env(self._drawn(count, rng))
        return rng.random((count, *self.leaf.shape), np.float32) * np.float32(2.0) - np.float32(1.0)

    def perturb(
        self, canonical: np.ndarray, amount: float, rng: np.random.Generator, mask: np.ndarray | None = None
    ) -> np.ndarray:
        refuse_mask(mask)
        return self.add(canonical, amount * rng.standard_normal(canonical.shape))

    def add(self, canonical: np.ndarray, noise: np.ndarray) -> np.ndarray:
        noisy: np.ndarray = np.clip(canonical + self._scaled(noise), -1.0, 1.0)
        return noisy.astype(np.float32)

    def to_env(self, canonical: np.ndarray) -> np.ndarray:
        values = canonical.astype(self._work)
        values *= self._half
        values += self._middle
        return self._cast(values)

    def from_env(self, taken: np.ndarray) -> np.ndarray:
        scaled: np.ndarray = np.clip(self._scaled(taken.astype(self._work) - self._middle), -1.0, 1.0)
        return scaled.astype(np.float32)

    def _inside(self, canonical: np.ndarray) -> np.ndarray:
        """Flat float64 actions `(N, d)`; -1 and 1, which float32 rounds to, count as their inner neighbours."""
        limit = np.nextafter(np.float32(1.0), np.float32(0.0))
        inside: np.ndarray = np.clip(canonical.reshape((len(canonical), -1)), -limit, limit).astype(np.float64)
        return inside

    def _scaled(self, distance: np.ndarray) -> np.ndarray:
        """Distances in the environment's units as canonical ones; 0 in a component that its bounds fix."""
        with np.errstate(over="ignore"):  # between bounds that almost meet, any distance leads out of them
            result: np.ndarray = np.divide(distance, self._half, out=np.zeros(distance.shape), where=self._half > 0)
            return result


def refuse_mask(mask: np.ndarray | None) -> None:
    """Refuses a mask for a Box action."""
    if mask is not None:
        raise ValueError(f"`mask` must be None for a Box action: only discrete actions are masked. Received: {mask!r}")
