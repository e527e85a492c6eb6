"""Steps of a bounded divergence: the natural gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def conjugate_gradient(
    product: Callable[[tf.Tensor], tf.Tensor], target: Any, iterations: int, tolerance: float = 1e-10
) -> tf.Tensor:
    """The `x` with `A x = target`, from products with `A` alone (Hestenes and Stiefel 1952; Nocedal and Wright 2006,
    algorithm 5.2), starting from 0.

    Args:
        product: From a float32 `(n,)` to `A` times it; `A` symmetric and positive definite.
        target: float32 `(n,)`.
        iterations: At most so many products; `n` are exact but for rounding.
        tolerance: It ends where the squared norm of `target - A x` is at most this part of that of `target`, and in any
            direction in which `A` is not positive.

    Returns:
        float32 `(n,)`.

    Example:

    >>> conjugate_gradient(lambda v: v * [2.0, 4.0], [2.0, 2.0], 2).numpy().round(3).tolist()
    [1.0, 0.5]
    """
    target = tf.convert_to_tensor(target, tf.float32)
    squared = _dot(target, target)
    least = tolerance * squared

    def proceed(i: Any, x: Any, residual: Any, direction: Any, squared: Any) -> Any:
        return tf.logical_and(i < iterations, squared > least)

    def advance(i: Any, x: Any, residual: Any, direction: Any, squared: Any) -> Any:
        image = product(direction)
        curvature = _dot(direction, image)
        positive = curvature > 0.0
        length = tf.where(positive, squared / tf.where(positive, curvature, 1.0), 0.0)
        x, residual = x + length * direction, residual - length * image
        following = tf.where(positive, _dot(residual, residual), 0.0)
        return i + 1, x, residual, residual + following / squared * direction, following

    start = (tf.constant(0), tf.zeros_like(target), target, target, squared)
    return tf.while_loop(proceed, advance, start)[1]


def line_search(
    loss: Callable[[tf.Tensor], tf.Tensor],
    start: Any,
    step: Any,
    expected_improvement: Any = 0.0,
    max_backtracks: int = 10,
    accept_ratio: float = 0.1,
    backtracking: float = 0.5,
    before: Any = None,
    within: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Backtracks along a step until a loss has become smaller by enough of what was expected (Armijo 1966; Nocedal and
    Wright 2006, algorithm 3.1).

    Args:
        loss: From a float32 tensor to a scalar.
        start: float32 tensor.
        step: Of that shape: where it goes at most.
        expected_improvement: By how much the whole step would make the loss smaller if it were linear, >= 0; 0: anything
            that makes it smaller is enough.
        max_backtracks: At most so many shares of the step are tried, the whole one first.
        accept_ratio: Which part of the expected improvement of a share is enough, >= 0.
        backtracking: Factor from one share to the next, in (0, 1).
        before: The loss at `start`, where it is known.
        within: Says whether a tensor is allowed, just after its loss was computed. None: all are.

    Returns:
        Whether there was one, a bool scalar; and the tensor found, or `start`.

    Example:

    >>> found = line_search(lambda x: x * x, 1.0, step=-4.0, expected_improvement=8.0)
    >>> [x.numpy().item() for x in found]
    [True, 0.0]
    """
    start, step = tf.convert_to_tensor(start, tf.float32), tf.convert_to_tensor(step, tf.float32)
    before = loss(start) if before is None else before
    enough = accept_ratio * tf.cast(expected_improvement, tf.float32)

    def attempt(i: Any, share: Any, improved: Any, x: Any) -> Any:
        tried = start + share * step
        good = before - loss(tried) > share * enough
        if within is not None:
            good = tf.logical_and(good, within(tried))
        return i + 1, share * backtracking, good, tf.where(good, tried, start)

    initial = (tf.constant(0), tf.constant(1.0), tf.constant(False), start)
    proceed = lambda i, share, improved, x: tf.logical_and(i < max_backtracks, tf.logical_not(improved))  # noqa: E731
    _, _, improved, x = tf.while_loop(proceed, attempt, initial)
    return improved, x


def trust_region_length(curvature: Any, radius: Any) -> tf.Tensor:
    """How far to go in a direction `d` for a divergence of `radius`: `sqrt(2 * radius / (d' F d))`, where
    `d' F d / 2` is the divergence to second order (Schulman et al. 2015, arXiv:1502.05477, appendix C).

    Args:
        curvature: float32 scalar, `d' F d`.
        radius: float32 scalar, at least 0.

    Returns:
        float32 scalar, a factor of `d`; 0 where the curvature is not positive and finite.

    Example:

    >>> float(trust_region_length(8.0, 1.0))
    0.5
    """
    curvature, radius = tf.cast(curvature, tf.float32), tf.cast(radius, tf.float32)
    usable = tf.logical_and(curvature > 0.0, tf.math.is_finite(curvature))
    return tf.where(usable, tf.sqrt(2.0 * radius / tf.where(usable, curvature, 1.0)), 0.0)


def _dot(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(a * b)
