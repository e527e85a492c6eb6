"""Convolutions and pools over the positions of an image or a sequence, as a gather and one matrix product."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from kagent.acting import activations, products
from kagent.acting.operation_base import (
    FLOAT,
    Bound,
    Node,
    Shape,
    Spec,
    Value,
    counts,
    integers,
    operation,
    require,
)

_GATHERED = 1 << 22  # numbers of windows that are laid out at once: 16 MiB
_MOST = 1 << 27  # of one row


def _positions(node: Node, shape: Shape, window: Shape) -> tuple[Shape, list[tuple[int, int]], Shape]:
    """Strides, what is padded before and behind each axis, and how many windows there are along each."""
    rank = len(window)
    require(len(shape) == rank + 1 and rank > 0, node, f"does not fit {shape}")
    strides = integers(node, "strides")
    require(len(strides) == rank and all(n > 0 for n in strides), node, f"needs {rank} `strides` > 0")
    require(node.get("padding") in ("valid", "same"), node, "needs `padding` 'valid' or 'same'")
    padded, made = [], []
    for size, width, stride in zip(shape, window, strides):
        if node["padding"] == "same":  # as TensorFlow has it: the larger half behind
            count = -(-size // stride)
            missing = max((count - 1) * stride + width - size, 0)
            padded.append((missing // 2, missing - missing // 2))
        else:
            count = (size - width) // stride + 1
            padded.append((0, 0))
        require(count > 0, node, f"has a window larger than {shape}")
        made.append(count)
    return tuple(strides), padded, tuple(made)


def _windows(
    bound: Bound, x: np.ndarray, window: Shape, strides: Shape, padded: list[tuple[int, int]], fill: float
) -> np.ndarray:
    """A view `(N, *positions, channels, *window)` of `x`, or of a padded copy that a step keeps up to date."""
    axes = tuple(range(1, 1 + len(window)))
    if any(map(any, padded)):
        shape = [n + sum(padded[i - 1]) if i in axes else n for i, n in enumerate(x.shape)]
        whole = np.full(shape, fill, x.dtype)
        inner = tuple(
            slice(padded[i - 1][0], padded[i - 1][0] + n) if i in axes else slice(None) for i, n in enumerate(x.shape)
        )
        bound.steps.append(partial(np.copyto, whole[inner], x))
        x = whole
    view = np.lib.stride_tricks.sliding_window_view(x, window, axes)
    return view[(slice(None), *(slice(None, None, stride) for stride in strides))]


@operation("convolution")
class Convolution:
    """`activation(x * kernel + bias)` over the axes of a row but the last, which has the channels.

    Weights: kernel `(*window, channels, filters)`, perhaps bias `(filters,)`. Parameters: `strides`, one for each axis of the
    window, and `padding`, "valid" or "same".
    """

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 1, 1, 2)
        kernel, shape = weights[0], inputs[0].shape
        require(
            len(kernel) >= 3 and len(shape) == len(kernel) - 1 and shape[-1] == kernel[-2],
            node,
            f"does not fit {shape}",
        )
        require(len(weights) == 1 or weights[1] == kernel[-1:], node, f"has a bias that does not fit {kernel}")
        activations.check(node.get("activation", "linear"), node)
        _, _, made = _positions(node, shape, kernel[:-2])
        require(math.prod(made) * math.prod(kernel[:-1]) <= _MOST, node, f"lays out more than {_MOST} numbers per row")
        return Spec((*made, kernel[-1]), FLOAT)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        kernel, filters = weights[0], weights[0].shape[-1]
        window, rank = kernel.shape[:-2], kernel.ndim - 2
        strides, padded, positions = _positions(node, inputs[0].array.shape[1:], window)
        x, made = bound.floats(inputs[0]), bound.new(spec.shape)
        view = _windows(bound, x.array, window, strides, padded, 0.0)
        # From (N, *positions, channels, *window) to the order of the kernel: (N, *positions, *window, channels).
        view = np.moveaxis(view, 1 + rank, -1)
        width = math.prod(kernel.shape[:-1])
        per_row = math.prod(positions) * width
        rows = max(1, min(bound.count, _GATHERED // per_row))
        gathered = np.empty((rows, *view.shape[1:]), np.float32)
        flat = kernel.reshape(width, filters)
        for start in range(0, bound.count, rows):
            stop = min(start + rows, bound.count)
            part = gathered[: stop - start]
            out = made.array[start:stop].reshape(-1, filters)
            bound.steps.append(partial(np.copyto, part, view[start:stop]))
            bound.steps.extend(products.steps(part.reshape(-1, width), flat, out))
        out = made.array.reshape(-1, filters)
        bound.steps.extend(partial(np.add, out, bias, out) for bias in weights[1:])
        name, parameters = activations.check(node.get("activation", "linear"), node)
        bound.steps.extend(activations.steps(name, parameters, out, out))
        return made


@operation("pool")
class Pool:
    """The largest, or the mean, of each window of a channel. Parameters: `window`, `strides`, `padding`, `kind` ("max", "average").

    A mean is over the positions within the input alone, as TensorFlow has it.
    """

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 1, 0)
        require(node.get("kind") in ("max", "average"), node, "needs a `kind` 'max' or 'average'")
        window = tuple(integers(node, "window"))
        require(all(n > 0 for n in window), node, "needs a `window` > 0")
        _, _, made = _positions(node, inputs[0].shape, window)
        return Spec((*made, inputs[0].shape[-1]), FLOAT)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        window = tuple(integers(node, "window"))
        strides, padded, _ = _positions(node, inputs[0].array.shape[1:], window)
        x, made, largest = bound.floats(inputs[0]), bound.new(spec.shape), node["kind"] == "max"
        view = _windows(bound, x.array, window, strides, padded, -np.inf if largest else 0.0)
        axes = tuple(range(view.ndim - len(window), view.ndim))
        if largest:
            bound.steps.append(partial(np.max, view, axes, made.array))
            return made
        inside = np.pad(np.ones((1, *x.array.shape[1:]), np.float32), [(0, 0), *padded, (0, 0)])
        sizes = _windows(Bound(1), inside, window, strides, [(0, 0)] * len(window), 0.0).sum(axes, dtype=np.float32)
        bound.steps.append(partial(np.sum, view, axes, None, made.array))
        bound.steps.append(partial(np.divide, made.array, sizes, made.array))
        return made
