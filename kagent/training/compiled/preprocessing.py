"""Preprocessing of observations and rewards inside a program, with statistics that move there."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from kagent import schedules
from kagent.preprocessing import graph, scaling
from kagent.preprocessing.preprocessing import Preprocessing
from kagent.preprocessing.statistics import ReturnScaler, Standardizer
from kagent.schedules import Clock
from kagent.training.compiled.schedules import evaluated
from kagent.training.compiled.variables import ProgramVariable

_MOMENTS = ("weight", "mean", "variance")


class Moments(NamedTuple):
    """Statistics of one layer, float64: as `Standardizer.statistics`."""

    weight: tf.Tensor
    mean: tf.Tensor
    variance: tf.Tensor


class CompiledPreprocessing:
    """What `Preprocessed` environments do, of tensors: observations and rewards of all environments are processed when they come,
    and statistics take them in before.

    Between two calls of the program the statistics are the agent's own, so that evaluation, callbacks and files have them.

    Args:
        preprocessing: The agent's.

    Attributes:
        sums: How many layers keep a discounted sum of each environment's rewards.
    """

    def __init__(self, preprocessing: Preprocessing):
        self._made = preprocessing
        pipelines = preprocessing.all_pipelines
        self._chains = [[] if made is None else list(zip(made.layers, made.bounds, made.spaces)) for made in pipelines]
        self._learning = [bound for chain in self._chains for _, bound, _ in chain if isinstance(bound, Standardizer)]
        self.sums = sum(isinstance(bound, ReturnScaler) for bound in self._learning)
        self._variables: list[Moments] = []

    # On the host -----------------------------------------------------------------------------------------------

    def first(self, leaves: list[tf.Tensor]) -> list[np.ndarray]:
        """Processed observations, each an episode's first, which statistics take in; in stored form."""
        made, count = self._made, leaves[0].shape[0]
        arrays = [leaf.numpy() for leaf in leaves]
        return made.stored(made.observation(arrays, made.begin(count), slice(None), np.ones(count, bool), True))

    def load(self) -> None:
        """Takes the agent's statistics."""
        values = [Moments(*(tf.constant(bound.statistics[name]) for name in _MOMENTS)) for bound in self._learning]
        if not self._variables:
            self._variables = [Moments(*(ProgramVariable(x) for x in part)) for part in values]
        self.finish(values)

    def give_back(self) -> None:
        """Brings the agent's statistics up to date."""
        for bound, moments in zip(self._learning, self._variables):
            bound.statistics = {name: variable.numpy() for name, variable in zip(_MOMENTS, moments)}

    # In the program --------------------------------------------------------------------------------------------

    def begin(self) -> list[Moments]:
        """The statistics at the beginning of a call."""
        return [Moments(*(variable.read_value() for variable in part)) for part in self._variables]

    def finish(self, statistics: list[Moments]) -> None:
        """At the end of a call."""
        for variables, values in zip(self._variables, statistics):
            for variable, value in zip(variables, values):
                variable.assign(value)

    def observe(
        self, statistics: list[Moments], leaves: list[tf.Tensor], rows: tf.Tensor, clock: Clock
    ) -> tuple[list[Moments], list[tf.Tensor]]:
        """Processes observations.

        Args:
            statistics: Of all layers.
            leaves: `(N, *leaf.shape)`, in stored form.
            rows: bool `(N,)`: which of them statistics take in.
            clock: The time now.

        Returns:
            The statistics with them, and the processed leaves, in stored form.
        """
        statistics, found = list(statistics), []
        for chain, x, leaf in zip(self._chains, leaves, self._made.processed.leaves):
            for part, bound, space in chain:
                if isinstance(bound, Standardizer):
                    x = tf.cast(x, tf.float64)
                    moments = self._taken(statistics, bound, x, rows, clock)
                    x = _standardized(bound, x, moments)
                else:
                    x = graph.operation_of(part, bound, space, "float64")(x)
            found.append(tf.cast(x, leaf.stored_dtype))
        return statistics, found

    def reward(
        self, statistics: list[Moments], sums: list[tf.Tensor], reward: tf.Tensor, rows: tf.Tensor, clock: Clock
    ) -> tuple[list[Moments], list[tf.Tensor], tf.Tensor]:
        """Processes the rewards of a timestep of all environments.

        Args:
            statistics: Of all layers.
            sums: Discounted sums of each environment's rewards before, float64 `(N,)` each, 0 where an episode begins.
            reward: float32 `(N,)`.
            rows: bool `(N,)`: which of them statistics take in.
            clock: The time now.

        Returns:
            The statistics and sums with them, and the processed rewards, float32.
        """
        statistics, sums, x = list(statistics), list(sums), tf.cast(reward, tf.float64)
        kept = iter(range(self.sums))
        for part, bound, space in self._chains[-1]:
            if isinstance(bound, ReturnScaler):
                place = next(kept)
                discount = evaluated(bound.discount, clock)
                sums[place] = discount * sums[place] + x
                moments = self._taken(statistics, bound, sums[place], rows, clock)
                x = _standardized(bound, x, moments._replace(mean=tf.zeros((), tf.float64)))
            elif isinstance(bound, Standardizer):
                moments = self._taken(statistics, bound, x, rows, clock)
                x = _standardized(bound, x, moments)
            else:
                x = graph.operation_of(part, bound, space, "float64")(x)
        return statistics, sums, tf.cast(x, tf.float32)

    def _taken(
        self, statistics: list[Moments], bound: Standardizer, x: tf.Tensor, rows: tf.Tensor, clock: Clock
    ) -> Moments:
        # As `Standardizer._learn`, of some rows; puts the result in its place.
        place = next(i for i, one in enumerate(self._learning) if one is bound)
        before, chosen = statistics[place], tf.cast(rows, tf.float64)
        count = tf.reduce_sum(chosen)
        weights = tf.reshape(chosen, (-1, *[1] * (x.shape.rank - 1)))
        shared = tf.cast(count * bound.shared, tf.float64)

        def mean(values: tf.Tensor) -> tf.Tensor:
            total = tf.reduce_sum(values * weights, bound.axes, keepdims=True)[0]
            return tf.math.divide_no_nan(total, shared)

        if bound.decay is None:
            weight, added = before.weight, shared
        else:
            left = tf.pow(evaluated(bound.decay, clock), count)
            weight, added = left * before.weight, 1.0 - left
        own_mean = mean(x)
        own_variance = mean(tf.square(x - own_mean))
        share = tf.math.divide_no_nan(added, weight + added)
        difference = own_mean - before.mean
        variance = (
            (1.0 - share) * before.variance + share * own_variance + share * (1.0 - share) * tf.square(difference)
        )
        statistics[place] = Moments(weight + added, before.mean + share * difference, variance)
        return statistics[place]


def _standardized(bound: Standardizer, x: tf.Tensor, moments: Moments) -> tf.Tensor:
    x = x - moments.mean
    if not bound.only_mean:
        x = x / tf.sqrt(tf.maximum(moments.variance, tf.constant(bound.floor, tf.float64)) + bound.epsilon)
    return tf.clip_by_value(x, -bound.clip, bound.clip) if np.isfinite(bound.clip) else x


def refused(preprocessing: Preprocessing | None) -> list[tuple[str, Any, str]]:
    """The layers that a program cannot contain: name, received value, allowed values."""
    allowed = "layers that scale, clip or standardize, by numbers that stay or by statistics, and remember nothing of an episode"
    unknown, found = graph.operation_of.dispatch(object), []
    for made in () if preprocessing is None else preprocessing.all_pipelines:
        for part, bound in () if made is None else zip(made.layers, made.bounds):
            if type(bound) in (Standardizer, ReturnScaler):
                continue
            scheduled = isinstance(part, scaling.Clipping) and any(map(schedules.is_schedule, (part.lower, part.upper)))
            if bound.remembers or scheduled or graph.operation_of.dispatch(type(part)) is unknown:
                found.append(("preprocessing", part, allowed))
    return found
