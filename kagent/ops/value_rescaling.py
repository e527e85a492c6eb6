"""Values on a scale where large ones differ less (Pohlen et al. 2018, arXiv:1805.11593, section 3.2)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def rescaled_value(value: Any, epsilon: float = 1e-3) -> tf.Tensor:
    """`h(x) = sign(x) (sqrt(|x| + 1) - 1) + epsilon x`: rewards of any size make values that a network can learn.

    Args:
        value: float32 of any shape.
        epsilon: At least 0. The slope of h never falls below it.

    Returns:
        float32 of that shape.

    Example:

    >>> rescaled_value([0.0, 3.0, -8.0], epsilon=0.0).numpy().tolist()
    [0.0, 1.0, -2.0]
    """
    x = tf.convert_to_tensor(value, tf.float32)
    size = tf.abs(x)
    return tf.sign(x) * (size / (tf.sqrt(size + 1.0) + 1.0)) + epsilon * x  # sqrt(|x| + 1) - 1, exact near 0


def restored_value(value: Any, epsilon: float = 1e-3) -> tf.Tensor:
    """The inverse of `rescaled_value`.

    Args:
        value: float32 of any shape.
        epsilon: As there.

    Returns:
        float32 of that shape.

    Example:

    >>> restored_value([0.0, 1.0, -2.0], epsilon=0.0).numpy().tolist()
    [0.0, 3.0, -8.0]
    """
    y = tf.convert_to_tensor(value, tf.float32)
    size = tf.abs(y)
    # epsilon s**2 + s - (1 + epsilon + |y|) = 0 of s = sqrt(|x| + 1); this form of its root loses no digits.
    further = 2.0 * (size + 1.0 + epsilon) / (1.0 + tf.sqrt(1.0 + 4.0 * epsilon * (size + 1.0 + epsilon)))
    return tf.sign(y) * (further * further - 1.0)
