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

    def choose(self, heads, rng, deterministic, mask=None):
        refuse_mask(mask)
        return heads[0].astype(np.float32).reshape((-1, *self.leaf.shape))

    def tempered(self, heads, temperature):
        return heads


class Deterministic(ScaledBox):
    """The head itself is the action, in [-1, 1], scaled to the bounds for the environment: nothing is sampled."""

    kind = "deterministic"
    heads = 1

    def choose(self, heads, rng, deterministic, mask=None):
        refuse_mask(mask)
        return np.clip(heads[0], -1.0, 1.0).astype(np.float32, copy=False).reshape((-1, *self.leaf.shape))

    def tempered(self, heads, temperature):
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

    def choose(self, heads, rng, deterministic, mask=None):
        return self._drawn.random(len(heads[0]), rng, mask)

    def tempered(self, heads, temperature):
        return heads

    def random(self, count, rng, mask=None):
        return self._drawn.random(count, rng, mask)

    def perturb(self, canonical, amount, rng, mask=None):
        return self._drawn.perturb(canonical, amount, rng, mask)

    def to_env(self, canonical):
        return self._drawn.to_env(canonical)

    def from_env(self, taken):
        return self._drawn.from_env(taken)
