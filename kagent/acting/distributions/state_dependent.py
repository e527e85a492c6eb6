"""Normal distributions whose noise is linear in features of the state, and stays for some timesteps."""

from __future__ import annotations

from typing import Any

import numpy as np

from kagent.acting.distributions.box import Box, refuse_mask
from kagent.acting.distributions.decision import State
from kagent.acting.distributions.gaussian import Gaussian, SquashedGaussian
from kagent.config.checks import check_count, check_flag

# Kept by kagent.ops.state_dependent_noise, too.
EPSILON = 1e-6  # of the variance, where all features are 0
_NEVER = -1
_MOST = 1 << 26  # numbers of a matrix


class _StateDependent(Box):
    """A mean, and noise `features @ (E * deviation)`. The matrix E of standard normal numbers is drawn anew at an episode's
    beginning and every `period` timesteps after it, for each environment by itself: in between, noise is a function of the
    state (Raffin et al. 2021, arXiv:2005.05719).

    Heads: mean `(N, A)`, features `(N, F)`, and what is learned for the deviations, in a row. The matrix is kept, and the
    deviation is the present one, so noise is as large as the policy now says.

    `choose` knows no episode: its samples are independent, each from the distribution at its own state.

    Args:
        leaf: The action leaf, of A numbers.
        features: F.
        period: Timesteps of an environment from one matrix to the next; None: the matrix stays for an episode.
        full_std: Whether deviations are `(F, A)`; else `(F, 1)`, the same for each number of an action.
        expln: As for `kagent.ops.deviation`.
    """

    heads = 3
    parts = 2
    options = ("features", "period", "full_std", "expln")

    def __init__(self, leaf: Any, features: int, period: int | None = None, full_std: bool = True, expln: bool = False):
        super().__init__(leaf)
        self.features = check_count(features, "features", most=_MOST)
        self.period = None if period is None else check_count(period, "period", most=2**31 - 1)
        check_flag(full_std, "full_std")
        check_flag(expln, "expln")
        self.full_std, self.expln = full_std, expln
        self.size = self.widths[0]
        check_count(self.features * self.size, "features", most=_MOST)
        self._shape = (self.features, self.size if full_std else 1)
        self.widths = (self.size, self.features, self.features * self._shape[1])

    def initial_state(self, count: int) -> State:
        """Matrices `(count, F, A)`, and timesteps that each still has: 0, so that it is drawn before it is used."""
        return np.zeros((count, self.features, self.size), np.float32), np.zeros(count, np.int32)

    def choose_from(
        self,
        heads: list[np.ndarray],
        state: State,
        rng: np.random.Generator,
        deterministic: bool,
        mask: np.ndarray | None = None,
    ) -> tuple[np.ndarray, State]:
        refuse_mask(mask)
        matrices, left = state
        mean, features, learned = heads
        if deterministic:
            return self._action(mean.astype(np.float32)), (matrices, left - (left > 0))
        due = left == 0
        if due.any():
            matrices = matrices.copy()
            matrices[due] = rng.standard_normal((np.count_nonzero(due), *matrices.shape[1:]), np.float32)
            left = np.where(due, np.int32(_NEVER if self.period is None else self.period), left)
        noise = np.matmul(features[:, None, :], matrices * self._deviation(learned))
        return self._action(noise[:, 0, :] + mean), (matrices, left - (left > 0))

    def choose(
        self, heads: list[np.ndarray], rng: np.random.Generator, deterministic: bool, mask: np.ndarray | None = None
    ) -> np.ndarray:
        refuse_mask(mask)
        mean, features, learned = heads
        if deterministic:
            return self._action(mean.astype(np.float32))
        deviation = np.sqrt(self._variance(features, learned))
        return self._action(mean + deviation * rng.standard_normal(mean.shape, np.float32))

    def log_prob(self, heads: list[np.ndarray], canonical: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        mean, features, learned = heads
        log_std = 0.5 * np.log(self._variance(features, learned))
        return super().log_prob([mean, np.broadcast_to(log_std, mean.shape)], canonical, mask)

    def _variance(self, features: np.ndarray, learned: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.square(features) @ np.square(self._deviation(learned)) + np.float32(EPSILON)
        return found

    def tempered(self, heads: list[np.ndarray], temperature: float) -> list[np.ndarray]:
        mean, features, learned = heads
        return [mean, features * np.float32(temperature), learned]  # noise is linear in the features

    def _deviation(self, learned: np.ndarray) -> np.ndarray:
        log_std = learned[0].reshape(self._shape)  # all rows are the same
        result: np.ndarray
        if not self.expln:
            result = np.exp(log_std)
            return result
        one = np.float32(1.0)
        below, above = np.exp(np.minimum(log_std, 0.0)), one + np.log1p(np.maximum(log_std, 0.0))
        result = np.where(log_std > 0.0, above, below)
        return result

    def _action(self, flat: np.ndarray) -> np.ndarray:
        """Canonical actions of a new array `(N, A)`."""
        return flat.reshape((-1, *self.leaf.shape))


class StateDependentGaussian(_StateDependent, Gaussian):
    """Unbounded, clipped to the bounds for the environment."""

    kind = "state_dependent_gaussian"
    heads = 3


class StateDependentSquashedGaussian(_StateDependent, SquashedGaussian):
    """tanh of it, in [-1, 1], scaled to the bounds for the environment."""

    kind = "state_dependent_squashed_gaussian"
    heads = 3

    def _action(self, flat: np.ndarray) -> np.ndarray:
        return super()._action(np.tanh(flat, flat))
