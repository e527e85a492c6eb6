"""Activation functions as steps: calls without arguments, bound to arrays that were allocated once.

A step is a `functools.partial` of a C function, so that a whole network runs without a Python frame per
operation. NumPy is fastest when both operands have the same shape and layout (no broadcasting), hence the
constants of full size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

Step = Callable[[], Any]
_FULL = 4096  # up to this size constants are repeated to the array's shape; beyond, memory traffic costs more

# What each function takes, with Keras's defaults.
PARAMETERS: dict[str, dict[str, float]] = {
    "linear": {},
    "relu": {"negative_slope": 0.0, "max_value": math.inf},
    "relu6": {},
    "leaky_relu": {"negative_slope": 0.2},
    "elu": {"alpha": 1.0},
    "celu": {"alpha": 1.0},
    "selu": {},
    "gelu": {},
    "sigmoid": {},
    "log_sigmoid": {},
    "hard_sigmoid": {},
    "silu": {},
    "hard_silu": {},
    "tanh": {},
    "hard_tanh": {},
    "softplus": {},
    "softsign": {},
    "mish": {},
    "exponential": {},
    "softmax": {},
    "log_softmax": {},
}
ALIASES = {"swish": "silu", "hard_swish": "hard_silu"}


def check(name: Any, parameters: dict[str, Any]) -> tuple[str, dict[str, float]]:
    """The canonical name, and the parameters completed by their defaults.

    Raises:
        ValueError: Unknown name, or a parameter that is not a number.
    """
    name = ALIASES.get(name, name) if isinstance(name, str) else name
    if not isinstance(name, str) or name not in PARAMETERS:
        raise ValueError(f"Unknown activation. Received: {name!r}. Allowed: {', '.join(PARAMETERS)}")
    complete = dict(PARAMETERS[name])
    for key in complete:
        value = parameters.get(key)
        if value is None:
            continue
        if not isinstance(value, int | float) or math.isnan(value):
            raise ValueError(f"`{key}` of activation {name!r} must be a number. Received: {value!r}")
        complete[key] = float(value)
    if name == "celu" and complete["alpha"] == 0.0:
        raise ValueError("`alpha` of activation 'celu' must not be 0. Received: 0")
    return name, complete


def constant(value: float, like: np.ndarray) -> np.ndarray:
    """`value` as float32 array that is cheap to combine with `like`."""
    return np.full(like.shape if like.size <= _FULL else (), value, np.float32)


def steps(name: str, parameters: dict[str, float], x: np.ndarray, out: np.ndarray) -> list[Step]:
    """Steps that compute `name(x)` into `out`.

    Args:
        name, parameters: As `check` returns them.
        x: Input, float32 `(N, ...)`; left as it is unless it is `out`.
        out: Result, of the same shape; may be `x`.
    """
    if name == "linear":
        return [] if x is out else [partial(np.copyto, out, x)]
    if name in ("tanh", "exponential"):
        return [partial(np.tanh if name == "tanh" else np.exp, x, out)]
    return _COMPOSED[name](x, out, **parameters)


def _maximum(x: np.ndarray, floor: float, out: np.ndarray) -> Step:
    return partial(np.maximum, x, constant(floor, x), out=out)


def _minimum(x: np.ndarray, ceiling: float, out: np.ndarray) -> Step:
    return partial(np.minimum, x, constant(ceiling, x), out=out)


def _times(x: np.ndarray, factor: float, out: np.ndarray) -> Step:
    return partial(np.multiply, x, constant(factor, x), out)


def _plus(x: np.ndarray, term: float, out: np.ndarray) -> Step:
    return partial(np.add, x, constant(term, x), out)


def _relu(x: np.ndarray, out: np.ndarray, negative_slope: float, max_value: float) -> list[Step]:
    if negative_slope == 0.0:
        made = [_maximum(x, 0.0, out)]
    else:
        made = _leaky_relu(x, out, negative_slope)
    return made if max_value == math.inf else [*made, _minimum(out, max_value, out)]


def _relu6(x: np.ndarray, out: np.ndarray) -> list[Step]:
    return _relu(x, out, 0.0, 6.0)


def _leaky_relu(x: np.ndarray, out: np.ndarray, negative_slope: float) -> list[Step]:
    below = np.empty_like(x)
    if 0.0 <= negative_slope <= 1.0:
        return [_times(x, negative_slope, below), partial(np.maximum, x, below, out=out)]
    return [
        _minimum(x, 0.0, below),
        _times(below, negative_slope, below),
        _maximum(x, 0.0, out),
        partial(np.add, out, below, out),
    ]


def _exponential_unit(x: np.ndarray, out: np.ndarray, slope: float, scale: float, rate: float) -> list[Step]:
    # scale * max(x, 0) + slope * (exp(min(x, 0) / rate) - 1), one branch of which is always 0
    below = np.empty_like(x)
    made = [_minimum(x, 0.0, below)]
    if rate != 1.0:
        made.append(_times(below, 1.0 / rate, below))
    made.append(partial(np.expm1, below, below))
    if slope != 1.0:
        made.append(_times(below, slope, below))
    made.append(_maximum(x, 0.0, out))
    if scale != 1.0:
        made.append(_times(out, scale, out))
    return [*made, partial(np.add, out, below, out)]


def _elu(x: np.ndarray, out: np.ndarray, alpha: float) -> list[Step]:
    return _exponential_unit(x, out, alpha, 1.0, 1.0)


def _celu(x: np.ndarray, out: np.ndarray, alpha: float) -> list[Step]:
    return _exponential_unit(x, out, alpha, 1.0, alpha)


def _selu(x: np.ndarray, out: np.ndarray) -> list[Step]:
    # The two constants of Klambauer et al. 2017, arXiv:1706.02515, equation 2.
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    return _exponential_unit(x, out, alpha * scale, scale, 1.0)


def _sigmoid(x: np.ndarray, out: np.ndarray) -> list[Step]:
    # (1 + tanh(x/2)) / 2: no overflow at either end.
    return [_times(x, 0.5, out), partial(np.tanh, out, out), _times(out, 0.5, out), _plus(out, 0.5, out)]


def _silu(x: np.ndarray, out: np.ndarray) -> list[Step]:
    gate = np.empty_like(x)
    return [*_sigmoid(x, gate), partial(np.multiply, x, gate, out)]


def _hard_sigmoid(x: np.ndarray, out: np.ndarray) -> list[Step]:
    return [_times(x, 1.0 / 6.0, out), _plus(out, 0.5, out), _maximum(out, 0.0, out), _minimum(out, 1.0, out)]


def _hard_silu(x: np.ndarray, out: np.ndarray) -> list[Step]:
    gate = np.empty_like(x)
    return [*_hard_sigmoid(x, gate), partial(np.multiply, x, gate, out)]


def _hard_tanh(x: np.ndarray, out: np.ndarray) -> list[Step]:
    return [_maximum(x, -1.0, out), _minimum(out, 1.0, out)]


def _softplus(x: np.ndarray, out: np.ndarray) -> list[Step]:
    return [partial(np.logaddexp, x, constant(0.0, x), out)]


def _log_sigmoid(x: np.ndarray, out: np.ndarray) -> list[Step]:
    return [partial(np.negative, x, out), *_softplus(out, out), partial(np.negative, out, out)]


def _softsign(x: np.ndarray, out: np.ndarray) -> list[Step]:
    below = np.empty_like(x)
    return [partial(np.absolute, x, below), _plus(below, 1.0, below), partial(np.divide, x, below, out)]


def _mish(x: np.ndarray, out: np.ndarray) -> list[Step]:
    gate = np.empty_like(x)
    return [*_softplus(x, gate), partial(np.tanh, gate, gate), partial(np.multiply, x, gate, out)]


def _gelu(x: np.ndarray, out: np.ndarray) -> list[Step]:
    gate = np.empty_like(x)
    return [
        _times(x, math.sqrt(0.5), gate),
        partial(_erf, gate, np.empty_like(x), np.empty_like(x)),
        _plus(gate, 1.0, gate),
        _times(gate, 0.5, gate),
        partial(np.multiply, x, gate, out),
    ]


def _erf(x: np.ndarray, t: np.ndarray, tail: np.ndarray) -> None:
    # In place. Abramowitz & Stegun 1964, formula 7.1.26: absolute error below 1.5e-7, float32's own
    # resolution near 1.
    sign = np.sign(x)
    np.abs(x, x)
    np.multiply(x, np.float32(0.3275911), t)
    np.add(t, np.float32(1.0), t)
    np.reciprocal(t, t)
    tail.fill(1.061405429)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        np.multiply(tail, t, tail)
        np.add(tail, np.float32(coefficient), tail)
    np.multiply(tail, t, tail)
    np.multiply(x, x, x)
    np.negative(x, x)
    np.exp(x, x)
    np.multiply(tail, x, tail)
    np.subtract(np.float32(1.0), tail, x)
    np.multiply(x, sign, x)


def _softmax(x: np.ndarray, out: np.ndarray) -> list[Step]:
    line = np.empty((*x.shape[:-1], 1), np.float32)
    return [
        partial(np.maximum.reduce, x, axis=-1, keepdims=True, out=line),
        partial(np.subtract, x, line, out),
        partial(np.exp, out, out),
        partial(np.add.reduce, out, axis=-1, keepdims=True, out=line),
        partial(np.divide, out, line, out),
    ]


def _log_softmax(x: np.ndarray, out: np.ndarray) -> list[Step]:
    line, powers = np.empty((*x.shape[:-1], 1), np.float32), np.empty_like(x)
    return [
        partial(np.maximum.reduce, x, axis=-1, keepdims=True, out=line),
        partial(np.subtract, x, line, out),
        partial(np.exp, out, powers),
        partial(np.add.reduce, powers, axis=-1, keepdims=True, out=line),
        partial(np.log, line, line),
        partial(np.subtract, out, line, out),
    ]


_COMPOSED: dict[str, Callable[..., list[Step]]] = {
    "relu": _relu,
    "relu6": _relu6,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "celu": _celu,
    "selu": _selu,
    "gelu": _gelu,
    "sigmoid": _sigmoid,
    "log_sigmoid": _log_sigmoid,
    "hard_sigmoid": _hard_sigmoid,
    "silu": _silu,
    "hard_silu": _hard_silu,
    "hard_tanh": _hard_tanh,
    "softplus": _softplus,
    "softsign": _softsign,
    "mish": _mish,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
}
