"""The distribution over a whole, possibly nested, action."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from kagent.distributions.distribution import Distribution


@keras.saving.register_keras_serializable(package="kagent")
class Joint:
    """Independent distributions over the leaves of an action: log-probabilities and entropies add up.

    Parameters are one flat list, the heads of every leaf in order (`head_sizes`); actions and masks are lists
    with one entry per leaf. Methods are those of `Distribution`.

    Args:
        distributions: One per action leaf.

    Raises:
        TypeError: Something that is not a `Distribution`.
        ValueError: None at all.

    Example:

    >>> from kagent.distributions import Categorical, Gaussian
    >>> joint = Joint([Categorical([3], shape=()), Gaussian(shape=(2,))])
    >>> joint.head_sizes
    (3, 2, 2)
    """

    def __init__(self, distributions: Sequence[Distribution]):
        self.distributions = tuple(distributions)
        if not self.distributions:
            raise ValueError("`distributions` must hold at least one distribution. Received: none")
        for distribution in self.distributions:
            if not isinstance(distribution, Distribution):
                raise TypeError(f"`distributions` must hold Distribution objects. Received: {distribution!r}")
        self.head_sizes = tuple(size for part in self.distributions for size in part.head_sizes)
        self.has_entropy = all(part.has_entropy for part in self.distributions)

    def split(self, params: Sequence[Any]) -> list[list[Any]]:
        """The flat list of parameters as one list per leaf.

        Raises:
            ValueError: A wrong number of them.
        """
        if len(params) != len(self.head_sizes):
            raise ValueError(
                f"`params` must hold {len(self.head_sizes)} tensors, of widths {self.head_sizes}. "
                f"Received: {len(params)}"
            )
        rest = iter(params)
        return [[next(rest) for _ in part.head_sizes] for part in self.distributions]

    def log_prob(self, params: Sequence[Any], actions: Sequence[Any]) -> tf.Tensor:
        return tf.add_n([part.log_prob(own, action) for part, own, action in self._zip(params, actions)])

    def entropy(self, params: Sequence[Any], seed: Any = None) -> tf.Tensor:
        return tf.add_n([part.entropy(own, own_seed) for part, own, own_seed in self._zip(params, self._seeds(seed))])

    def sample(self, params: Sequence[Any], seed: Any) -> list[tf.Tensor]:
        return self.sample_with_log_prob(params, seed)[0]

    def sample_with_log_prob(self, params: Sequence[Any], seed: Any) -> tuple[list[tf.Tensor], tf.Tensor]:
        drawn = [
            part.sample_with_log_prob(own, own_seed) for part, own, own_seed in self._zip(params, self._seeds(seed))
        ]
        return [action for action, _ in drawn], tf.add_n([log_prob for _, log_prob in drawn])

    def mode(self, params: Sequence[Any]) -> list[tf.Tensor]:
        return [part.mode(own) for part, own in zip(self.distributions, self.split(params))]

    def kl(self, params: Sequence[Any], other: Sequence[Any]) -> tf.Tensor:
        return tf.add_n([part.kl(own, theirs) for part, own, theirs in self._zip(params, self.split(other))])

    def to_env(self, actions: Sequence[Any]) -> list[tf.Tensor]:
        return [part.to_env(action) for part, action in zip(self.distributions, actions, strict=True)]

    def mask(self, params: Sequence[Any], masks: Sequence[Any] | None = None) -> list[tf.Tensor]:
        """The flat list of masked parameters; `masks` has one entry per leaf, None where there is no mask."""
        if masks is None:
            return list(params)
        return [head for part, own, mask in self._zip(params, masks) for head in part.mask(own, mask)]

    def get_config(self) -> dict[str, Any]:
        return {"distributions": [keras.saving.serialize_keras_object(part) for part in self.distributions]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Joint:
        return cls([keras.saving.deserialize_keras_object(part) for part in config["distributions"]])

    def _zip(self, params: Sequence[Any], others: Sequence[Any]) -> Iterator[tuple[Distribution, Any, Any]]:
        return zip(self.distributions, self.split(params), others, strict=True)

    def _seeds(self, seed: Any) -> Sequence[Any]:
        count = len(self.distributions)
        if seed is None or count == 1:
            return [seed] * count
        result: Sequence[Any] = tf.unstack(tf.random.split(seed, count, alg="philox"))
        return result
