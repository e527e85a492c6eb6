"""Beta distributions between bounds."""

from __future__ import annotations

import math

import numpy as np

from kagent.acting.distributions.box import ScaledBox, refuse_mask

# Kept by kagent.distributions.beta, too.
LEAST = 1e-6  # of what a parameter is above 1; a distribution flat up to rounding still has a mode


class Beta(ScaledBox):
    """Beta distributions in [-1, 1], scaled to the bounds for the environment. Heads: what gives alpha, what gives beta.

    Both are `1 + softplus(head)`, above 1: one peak inside the bounds (Chou et al. 2017, "Improving stochastic policy
    gradients in continuous control with deep reinforcement learning using the Beta distribution", ICML). The
    deterministic action is that peak, `(alpha - 1) / (alpha + beta - 2)`. At temperature T samples follow the density to
    the power of 1 / T, again a Beta distribution with the same peak.
    """

    kind = "beta"
    heads = 2

    def choose(
        self, heads: list[np.ndarray], rng: np.random.Generator, deterministic: bool, mask: np.ndarray | None = None
    ) -> np.ndarray:
        refuse_mask(mask)
        alpha, beta = (_excess(head) for head in heads)
        share = alpha / (alpha + beta) if deterministic else rng.beta(1.0 + alpha, 1.0 + beta)
        return (2.0 * share - 1.0).astype(np.float32).reshape((-1, *self.leaf.shape))

    def log_prob(self, heads: list[np.ndarray], canonical: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        refuse_mask(mask)
        action, (a, b) = self._inside(canonical), (_excess(head) for head in heads)
        log_beta = _log_gamma(1.0 + a) + _log_gamma(1.0 + b) - _log_gamma(2.0 + a + b)
        each = a * np.log(0.5 + 0.5 * action) + b * np.log(0.5 - 0.5 * action) - log_beta - math.log(2.0)
        result: np.ndarray = each.sum(-1)
        return result

    def tempered(self, heads: list[np.ndarray], temperature: float) -> list[np.ndarray]:
        return [_head(_excess(head) / temperature) for head in heads]


_log_gamma = np.vectorize(math.lgamma, otypes=[np.float64])  # NumPy has none


def _excess(head: np.ndarray) -> np.ndarray:
    """What alpha or beta is above 1, float64."""
    return np.logaddexp(0.0, head.astype(np.float64)) + LEAST


def _head(excess: np.ndarray) -> np.ndarray:
    # The inverse of `_excess`: log(exp(x) - 1) in a form that overflows nowhere.
    rest = np.maximum(excess - LEAST, np.finfo(np.float64).tiny)
    return rest + np.log(-np.expm1(-rest))
