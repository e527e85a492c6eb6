"""Actions without chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import keras
import tensorflow as tf

from kagent.distributions.box import BoxDistribution, ScaledDistribution
from kagent.distributions.distribution import Distribution


class _Point(Distribution):
    """All probability on one action. It has a mode; densities, draws and entropies it has not."""

    head_names = ("action",)
    has_entropy = False

    def mode(self, params: Sequence[Any]) -> tf.Tensor:
        return self._shaped(params[0])

    def log_prob(self, params: Sequence[Any], action: Any) -> tf.Tensor:
        self._refuse("log_prob")

    def entropy(self, params: Sequence[Any], seed: Any = None) -> tf.Tensor:
        self._refuse("entropy")

    def sample_with_log_prob(self, params: Sequence[Any], seed: Any) -> tuple[tf.Tensor, tf.Tensor]:
        self._refuse("sample_with_log_prob")

    def kl(self, params: Sequence[Any], other: Sequence[Any]) -> tf.Tensor:
        self._refuse("kl")

    def _refuse(self, method: str) -> NoReturn:
        raise NotImplementedError(
            f"A {type(self).__name__} action has no `{method}`: there is no density at a single point. "
            "Objectives that need one need a StochasticPolicy"
        )


@keras.saving.register_keras_serializable(package="kagent")
class Deterministic(_Point, ScaledDistribution):
    """One action in [-1, 1], stretched to finite bounds on the way to the environment.

    Parameters: the action `(B, d)`, d = prod(shape). `mode` gives it, with its gradient; there is nothing else.

    Args:
        shape: Shape of one action.
        low, high: Finite bounds, a number or an array that broadcasts to `shape`.

    Raises:
        ValueError: An infinite bound, or what `Gaussian` refuses.
    """


@keras.saving.register_keras_serializable(package="kagent")
class Direct(_Point, BoxDistribution):
    """One action in the environment's units, clipped to the bounds on its way there.

    Parameters: the action `(B, d)`, d = prod(shape).

    Args:
        shape: Shape of one action.
        low, high: Bounds, as for `Gaussian`.

    Raises:
        ValueError: As `Gaussian`.
    """
