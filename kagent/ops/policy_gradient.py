"""Policy gradients: PPO's surrogate and what one watches beside it. All tensors are `(B,)`."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from . import replicas
from .td import as_floats, spread, weighted_mean

LARGEST_LOG_RATIO = math.log(1e6)


def clipped_surrogate(log_prob: Any, old_log_prob: Any, advantage: Any, clip_range: Any) -> tf.Tensor:
    """PPO's loss per sample: the negative of Schulman et al. 2017, eq. 7.

    `-min(ratio * advantage, clip(ratio, 1 - clip_range, 1 + clip_range) * advantage)` with
    `ratio = exp(log_prob - old_log_prob)`.

    Args:
        log_prob: float32 `(B,)`, of the actions taken, under the policy that learns.
        old_log_prob: The same under the policy that acted. No gradient flows through it.
        advantage: float32 `(B,)`. No gradient flows through it.
        clip_range: Number or scalar tensor.

    Returns:
        float32 `(B,)`, to be averaged by `weighted_mean`.

    Example:

    >>> clipped_surrogate([0.0], [0.0], [2.0], clip_range=0.2).numpy().tolist()
    [-2.0]
    """
    log_prob, old_log_prob, advantage = as_floats(log_prob=log_prob, old_log_prob=old_log_prob, advantage=advantage)
    advantage = tf.stop_gradient(advantage)
    ratio = tf.exp(log_prob - tf.stop_gradient(old_log_prob))
    clip_range = tf.cast(clip_range, tf.float32)
    clipped = tf.clip_by_value(ratio, 1.0 - clip_range, 1.0 + clip_range)
    return -tf.minimum(ratio * advantage, clipped * advantage)


def clipped_value_loss(value: Any, old_value: Any, target: Any, clip_range: Any) -> tf.Tensor:
    """The squared error of values that an update moves by `clip_range` at most, or their own where that is larger.

    `max((value - target)^2, (old_value + clip(value - old_value, -clip_range, clip_range) - target)^2)`, which is in the PPO of
    OpenAI Baselines (Dhariwal et al. 2017) and examined by Engstrom et al. 2020 (arXiv:2005.12729) and Andrychowicz et al. 2021
    (arXiv:2006.05990). Stable-Baselines3 takes the second term alone.

    Args:
        value: float32 `(B,)`, of the critic that learns.
        old_value: The same before the update. No gradient flows through it.
        target: float32 `(B,)`, returns. No gradient flows through it.
        clip_range: Number or scalar tensor.

    Returns:
        float32 `(B,)`, to be averaged by `weighted_mean`.

    Example:

    >>> clipped_value_loss([3.0], [1.0], [3.0], clip_range=0.5).numpy().tolist()
    [2.25]
    """
    value, old_value, target = as_floats(value=value, old_value=old_value, target=target)
    old_value, target = tf.stop_gradient(old_value), tf.stop_gradient(target)
    clip_range = tf.cast(clip_range, tf.float32)
    clipped = old_value + tf.clip_by_value(value - old_value, -clip_range, clip_range)
    return tf.maximum(tf.square(value - target), tf.square(clipped - target))


def policy_gradient(
    log_prob: Any, old_log_prob: Any, advantage: Any, importance_sampling: bool = False, clipping: Any = None
) -> tf.Tensor:
    """The loss of the policy gradient theorem (Sutton and Barto 2018, eq. 13.11), plain or against another policy.

    Plain it is `-log_prob * advantage`; with importance sampling `-ratio * advantage`, where
    `ratio = exp(log_prob - old_log_prob)`. Both have the same gradient where the two policies are the same. With
    clipping, `-min(x * advantage, clip(x) * advantage)` for `x` the ratio within `[1 / (1 + clipping), 1 + clipping]`,
    or the log-probability within `old_log_prob +- log(1 + clipping)`: the interval is symmetric in the logarithm, unlike
    that of `clipped_surrogate`.

    Args:
        log_prob: float32 `(B,)`, of the actions taken, under the policy that learns.
        old_log_prob: The same under the policy that acted. No gradient flows through it.
        advantage: float32 `(B,)`, or returns. No gradient flows through it.
        importance_sampling: Whether the ratio takes the place of the log-probability.
        clipping: Number or scalar tensor > 0, or None.

    Returns:
        float32 `(B,)`, to be averaged by `weighted_mean`.

    Example:

    >>> policy_gradient([-1.0], [-1.0], [2.0]).numpy().tolist()
    [2.0]
    >>> policy_gradient([-1.0], [-1.0], [2.0], importance_sampling=True).numpy().tolist()
    [-2.0]
    """
    log_prob, old_log_prob, advantage = as_floats(log_prob=log_prob, old_log_prob=old_log_prob, advantage=advantage)
    advantage, old_log_prob = tf.stop_gradient(advantage), tf.stop_gradient(old_log_prob)
    if importance_sampling:
        x = tf.exp(tf.clip_by_value(log_prob - old_log_prob, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO))
    else:
        x = log_prob
    if clipping is None:
        return -x * advantage
    reach = 1.0 + tf.cast(clipping, tf.float32)
    if importance_sampling:
        clipped = tf.clip_by_value(x, 1.0 / reach, reach)
    else:
        clipped = old_log_prob + tf.clip_by_value(log_prob - old_log_prob, -tf.math.log(reach), tf.math.log(reach))
    return -tf.minimum(x * advantage, clipped * advantage)


def normalize_advantage(advantage: Any, weight: Any = None) -> tf.Tensor:
    """Advantages with mean 0 and standard deviation 1: `(advantage - mean) / (std + 1e-8)`.

    The standard deviation is the unbiased one (divisor `sum(weight) - 1`), as in Stable-Baselines3, whose
    tuned settings kagent ships; weights are read as counts. Up to one sample is left as it is, having no
    deviation.

    Args:
        advantage: float32 `(B,)`.
        weight: `(B,)`, 0 for padding; None counts all. Entries of weight 0 come out finite but mean nothing.

    Returns:
        float32 `(B,)`.

    Example:

    >>> normalize_advantage([1.0, 2.0, 3.0]).numpy().round(3).tolist()
    [-1.0, 0.0, 1.0]
    """
    advantage = tf.cast(advantage, tf.float32)
    weight = tf.ones_like(advantage) if weight is None else spread(weight, advantage)
    count = replicas.total(tf.reduce_sum(weight))
    centred = advantage - weighted_mean(advantage, weight)
    squares = replicas.total(tf.reduce_sum(tf.where(weight > 0.0, weight * tf.square(centred), 0.0)))
    deviation = tf.sqrt(squares / tf.maximum(count - 1.0, 1e-12))
    return tf.where(count > 1.0, centred / (deviation + 1e-8), advantage)


def approx_kl(log_prob: Any, old_log_prob: Any, weight: Any = None) -> tf.Tensor:
    """KL divergence from the acting to the learning policy, estimated from samples of the former.

    Schulman's estimator k3 (2020, "Approximating KL divergence"): the mean of `(ratio - 1) - log(ratio)`;
    unbiased, and never negative.

    Args:
        log_prob, old_log_prob: float32 `(B,)`.
        weight: `(B,)` or None.

    Returns:
        float32 scalar.

    Example:

    >>> float(approx_kl([0.0], [0.0]))
    0.0
    """
    log_ratio = _log_ratio(log_prob, old_log_prob)
    return weighted_mean(tf.math.expm1(log_ratio) - log_ratio, weight)


def clip_fraction(log_prob: Any, old_log_prob: Any, clip_range: Any, weight: Any = None) -> tf.Tensor:
    """The part of the samples whose ratio is further than `clip_range` from 1.

    Arguments as in `clipped_surrogate`, and `weight`: `(B,)` or None.

    Returns:
        float32 scalar in [0, 1].

    Example:

    >>> float(clip_fraction([0.0, 1.0], [0.0, 0.0], clip_range=0.2))
    0.5
    """
    away = tf.abs(tf.math.expm1(_log_ratio(log_prob, old_log_prob)))
    return weighted_mean(away > tf.cast(clip_range, tf.float32), weight)


def explained_variance(value: Any, target: Any, weight: Any = None) -> tf.Tensor:
    """`1 - Var(target - value) / Var(target)`: 1 is a perfect value function, 0 one as good as a constant.

    Args:
        value, target: float32 `(B,)`, the prediction and what it should have been.
        weight: `(B,)` or None.

    Returns:
        float32 scalar, unbounded below; 0 where `target` has no variance to explain.

    Example:

    >>> float(explained_variance([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]))
    1.0
    """
    value, target = as_floats(value=value, target=target)
    unexplained, variance = _variance(target - value, weight), _variance(target, weight)
    return tf.where(variance > 0.0, 1.0 - tf.math.divide_no_nan(unexplained, variance), 0.0)


def _log_ratio(log_prob: Any, old_log_prob: Any) -> tf.Tensor:
    log_prob, old_log_prob = as_floats(log_prob=log_prob, old_log_prob=old_log_prob)
    return log_prob - old_log_prob


def _variance(values: tf.Tensor, weight: Any) -> tf.Tensor:
    return weighted_mean(tf.square(values - weighted_mean(values, weight)), weight)
