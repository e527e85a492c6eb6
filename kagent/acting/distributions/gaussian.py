"""Normal distributions, free and squashed into bounds."""

from __future__ import annotations

import math

import numpy as np

from kagent.acting.distributions.box import Box, ScaledBox, refuse_mask


class Gaussian(Box):
    """An unbounded Gaussian, clipped to the bounds for the environment. Heads: mean, log deviation."""

    kind = "gaussian"
    heads = 2

    def choose(
        self, heads: list[np.ndarray], rng: np.random.Generator, deterministic: bool, mask: np.ndarray | None = None
    ) -> np.ndarray:
        refuse_mask(mask)
        return _drawn(heads, rng, deterministic).reshape((-1, *self.leaf.shape))

    def log_prob(self, heads: list[np.ndarray], canonical: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        refuse_mask(mask)
        return _log_normal(heads, canonical.reshape(heads[0].shape).astype(np.float64))

    def tempered(self, heads: list[np.ndarray], temperature: float) -> list[np.ndarray]:
        return _spread(heads, temperature)


class SquashedGaussian(ScaledBox):
    """tanh of a Gaussian, in [-1, 1], scaled to the bounds for the environment. Heads: mean, log deviation.

    Haarnoja et al. 2018, arXiv:1812.05905, appendix C.
    """

    kind = "squashed_gaussian"
    heads = 2

    def choose(
        self, heads: list[np.ndarray], rng: np.random.Generator, deterministic: bool, mask: np.ndarray | None = None
    ) -> np.ndarray:
        refuse_mask(mask)
        sample = _drawn(heads, rng, deterministic)
        result: np.ndarray = np.tanh(sample, sample).reshape((-1, *self.leaf.shape))
        return result

    def log_prob(self, heads: list[np.ndarray], canonical: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        refuse_mask(mask)
        free = np.arctanh(self._inside(canonical))
        slope = 2.0 * (math.log(2.0) - free - np.logaddexp(0.0, -2.0 * free))  # log(1 - tanh(free)**2)
        result: np.ndarray = _log_normal(heads, free) - slope.sum(-1)
        return result

    def tempered(self, heads: list[np.ndarray], temperature: float) -> list[np.ndarray]:
        return _spread(heads, temperature)


def _drawn(heads: list[np.ndarray], rng: np.random.Generator, deterministic: bool) -> np.ndarray:
    mean, log_std = heads
    if deterministic:
        return mean.astype(np.float32)
    sample = rng.standard_normal(mean.shape, np.float32)
    sample *= np.exp(log_std)
    sample += mean
    return sample


def _log_normal(heads: list[np.ndarray], sample: np.ndarray) -> np.ndarray:
    mean, log_std = (head.astype(np.float64) for head in heads)
    each = -0.5 * np.square((sample - mean) * np.exp(-log_std)) - log_std - 0.5 * math.log(2.0 * math.pi)
    result: np.ndarray = each.sum(-1)
    return result


def _spread(heads: list[np.ndarray], temperature: float) -> list[np.ndarray]:
    # The deviation times the temperature.
    mean, log_std = heads
    return [mean, log_std + np.float32(math.log(temperature))]
