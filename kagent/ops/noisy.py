"""Linear layers with noise on their weights (Fortunato et al. 2018, arXiv:1706.10295).

Written with `keras.ops`: symbolic tensors of a model's functional graph are taken too.
"""

from __future__ import annotations

from typing import Any

from keras import ops


def scaled_noise(x: Any) -> Any:
    """`f(x) = sign(x) * sqrt(|x|)`, section 3.1: of standard normal numbers, the factors of the noise on weights.

    Args:
        x: float32 tensor of any shape.

    Returns:
        float32 tensor of that shape.

    Example:

    >>> scaled_noise([4.0, -9.0, 0.0]).numpy().tolist()
    [2.0, -3.0, 0.0]
    """
    x = ops.convert_to_tensor(x)
    return ops.sign(x) * ops.sqrt(ops.abs(x))


def noisy_linear(
    x: Any, kernel: Any, bias: Any, kernel_deviation: Any, bias_deviation: Any, in_noise: Any, out_noise: Any
) -> Any:
    """A linear layer with factorised noise, eq. 9 to 11: `x @ (kernel + kernel_deviation * outer(in_noise, out_noise)) + bias +
    bias_deviation * out_noise`.

    Args:
        x: float32 `(..., p)`.
        kernel, kernel_deviation: float32 `(p, q)`.
        bias, bias_deviation: float32 `(q,)`.
        in_noise, out_noise: What `scaled_noise` gives, float32 `(p,)` and `(q,)`: the same for all rows of `x`.

    Returns:
        float32 `(..., q)`.

    Example:

    >>> noisy_linear([[1.0, 2.0]], [[1.0], [1.0]], [0.0], [[0.5], [0.25]], [1.0], [2.0, 4.0], [-1.0]).numpy().tolist()
    [[-1.0]]
    """
    x, in_noise, out_noise = (ops.convert_to_tensor(each) for each in (x, in_noise, out_noise))
    # The outer product is not formed: it would be as large as the kernel.
    noise = ops.matmul(x * in_noise, kernel_deviation) * out_noise
    return ops.matmul(x, kernel) + bias + noise + ops.convert_to_tensor(bias_deviation) * out_noise
