"""Decisions that leave nothing to chance, or everything."""

from __future__ import annotations

from typing import Any

import numpy as np

from kagent.acting.distributions.box import Box, ScaledBox, refuse_mask
from kagent.acting.distributions.categorical import Categorical
from kagent.acting.distributions.decision import Decision
from kagent.acting.distributions.gaussian import Gaussian


class Direct(Box):
    """The head itself is the action, in the environment's units, clipped to the bounds for the environment."""

    kind = "direct"
    heads = 1

    def choose(
        self, heads: list[np.ndarray], rng: np.random.Generator, deterministic: bool, mask: np.ndarray | None = None
    ) -> np.ndarray:
        refuse_mask(mask)
        return heads[0].astype(np.float32).reshape((-1, *self.leaf.shape))

    def tempered(self, heads: list[np.ndarray], temperature: float) -> list[np.ndarray]:
        return heads


class Deterministic(ScaledBox):
    """The head itself is the action, in [-1, 1], scaled to the bounds for the environment: nothing is sampled."""

    kind = "deterministic"
    heads = 1

    def choose(
        self, heads: list[np.ndarray], rng: np.random.Generator, deterministic: bool, mask: np.ndarray | None = None
    ) -> np.ndarray:
        refuse_mask(mask)
        result: np.ndarray = np.clip(heads[0], -1.0, 1.0).astype(np.float32, copy=False).reshape((-1, *self.leaf.shape))
        return result

    def tempered(self, heads: list[np.ndarray], temperature: float) -> list[np.ndarray]:
        return heads


class Random(Decision):
    """Random actions whatever the head says, of which only the number of rows matters; `deterministic` changes nothing.

    See `Decision.random`.
    """

    kind = "random"
    heads = 1
    widths = (1,)

    def __init__(self, leaf: Any):
        super().__init__(leaf)
        self._drawn = Categorical(leaf) if leaf.nvec is not None else Gaussian(leaf)

    def choose(
        self, heads: list[np.ndarray], rng: np.random.Generator, deterministic: bool, mask: np.ndarray | None = None
    ) -> np.ndarray:
        return self._drawn.random(len(heads[0]), rng, mask)

    def tempered(self, heads: list[np.ndarray], temperature: float) -> list[np.ndarray]:
        return heads

    def random(self, count: int, rng: np.random.Generator, mask: np.ndarray | None = None) -> np.ndarray:
        return self._drawn.random(count, rng, mask)

    def perturb(
        self, canonical: np.ndarray, amount: float, rng: np.random.Generator, mask: np.ndarray | None = None
    ) -> np.ndarray:
        return self._drawn.perturb(canonical, amount, rng, mask)

    def to_env(self, canonical: np.ndarray) -> np.ndarray:
        return self._drawn.to_env(canonical)

    def from_env(self, taken: np.ndarray) -> np.ndarray:
        return self._drawn.from_env(taken)
