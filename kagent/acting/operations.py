"""The operations of a program: what a policy's layers compute at inference."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from kagent.acting import activations, products
from kagent.acting.activations import constant
from kagent.acting.operation_base import (
    FLOAT,
    Bound,
    Node,
    Shape,
    Spec,
    Value,
    axis,
    counts,
    integers,
    number,
    operation,
    require,
    vector,
)

# --- layers with weights ------------------------------------------------------------------------------------


@operation("dense")
class Dense:
    """`activation(x @ kernel + bias)` over the last axis. Weights: kernel `(in, out)`, perhaps bias."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 1, 1, 2)
        kernel, shape = weights[0], inputs[0].shape
        require(len(kernel) == 2 and len(shape) > 0 and shape[-1] == kernel[0], node, f"does not fit {shape}")
        require(len(weights) == 1 or weights[1] == kernel[1:], node, f"has a bias that does not fit {kernel}")
        activations.check(node.get("activation", "linear"), node)
        return Spec((*shape[:-1], kernel[1]), FLOAT)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        x, kernel = bound.floats(inputs[0]), weights[0]
        made = bound.new(spec.shape)
        name, parameters = activations.check(node.get("activation", "linear"), node)
        if x.extended is not None and len(spec.shape) == 1:
            out = made.array[0]
            if len(weights) == 2 and (both := _stacked(kernel, weights[1])) is not None:
                bound.steps.extend(products.steps(x.extended, both, out))
            else:
                bound.steps.extend(products.steps(x.array[0], kernel, out))
                bound.steps.extend(partial(np.add, out, bias, out) for bias in weights[1:])
        else:
            out = made.array.reshape(-1, kernel.shape[1])
            bound.steps.extend(products.steps(x.array.reshape(-1, kernel.shape[0]), kernel, out))
            for bias in weights[1:]:
                bias = bound.spread(bias, spec.shape).reshape(-1, kernel.shape[1])
                bound.steps.append(partial(np.add, out, bias, out))
        bound.steps.extend(activations.steps(name, parameters, out, out))
        return made


def _stacked(kernel: np.ndarray, bias: np.ndarray) -> np.ndarray | None:
    # Both are views of one buffer; where the bias lies right behind the kernel, together they are one matrix.
    if bias.ctypes.data != kernel.ctypes.data + kernel.nbytes or kernel.base is None:
        return None
    return np.lib.stride_tricks.as_strided(
        kernel, (kernel.shape[0] + 1, kernel.shape[1]), kernel.strides, writeable=False
    )


@operation("embedding")
class Embedding:
    """Rows of a table `(values, width)` by index."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 1, 1)
        require(len(weights[0]) == 2 and weights[0][0] > 0, node, "needs a table of rank 2")
        return Spec((*inputs[0].shape, weights[0][1]), FLOAT)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        index, made = inputs[0].array, bound.new(spec.shape)
        if index.dtype.kind not in "iu":
            whole = np.zeros(index.shape, np.int64)
            bound.steps.append(partial(np.copyto, whole, index, casting="unsafe"))
            index = whole
        # mode="clip" writes straight into `out`; "raise" goes through a copy
        bound.steps.append(partial(weights[0].take, index, 0, made.array, "clip"))
        return made


@operation("broadcast")
class Broadcast:
    """A weight of any shape, the same for every row; the input only says how many rows."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 1, 1)
        return Spec(weights[0], FLOAT)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        made = bound.new(spec.shape)
        bound.refresh.append(partial(np.copyto, made.array, weights[0]))
        return made


# --- shapes -------------------------------------------------------------------------------------------------


@operation("identity")
class Identity:
    """The input itself: linear layers, dropout and noise at inference."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 1, 0)
        return inputs[0]

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        return inputs[0]


def _view(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
    return bound.view(inputs[0], spec.shape)


@operation("flatten")
class Flatten:
    """All axes of a row as one."""

    bind = staticmethod(_view)

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 1, 0)
        return Spec((inputs[0].size,), inputs[0].dtype)


@operation("reshape")
class Reshape:
    """To `shape`, one entry of which may be -1."""

    bind = staticmethod(_view)

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 1, 0)
        shape, size = integers(node, "shape"), inputs[0].size
        require(
            len(shape) <= 16 and all(n >= -1 for n in shape) and shape.count(-1) <= 1,
            node,
            "has a bad `shape`",
        )
        known = math.prod(n for n in shape if n != -1)
        if -1 in shape:
            require(known > 0 and size % known == 0, node, f"does not fit {inputs[0].shape}")
            shape[shape.index(-1)] = size // known
        require(math.prod(shape) == size, node, f"does not fit {inputs[0].shape}")
        return Spec(tuple(shape), inputs[0].dtype)


@operation("transpose")
class Transpose:
    """The axes of a row in another `order`."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 1, 0)
        shape, order = inputs[0].shape, integers(node, "order")
        require(sorted(order) == list(range(len(shape))), node, f"needs every axis of {shape} once in `order`")
        return Spec(tuple(shape[axis] for axis in order), inputs[0].dtype)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        made = bound.new(spec.shape, spec.dtype)
        view = inputs[0].array.transpose(0, *(axis + 1 for axis in node["order"]))
        bound.steps.append(partial(np.copyto, made.array, view))
        return made


@operation("concatenate")
class Concatenate:
    """Side by side along `axis` (-1) of a row."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, None, 0)
        rank = len(inputs[0].shape)
        require(rank > 0 and all(len(x.shape) == rank for x in inputs), node, "needs inputs of one rank > 0")
        at = axis(node, rank)
        rest = {(x.shape[:at], x.shape[at + 1 :]) for x in inputs}
        require(len(rest) == 1, node, f"does not fit {[x.shape for x in inputs]}")
        dtypes = {x.dtype for x in inputs}
        width = sum(x.shape[at] for x in inputs)
        shape = (*inputs[0].shape[:at], width, *inputs[0].shape[at + 1 :])
        return Spec(shape, inputs[0].dtype if len(dtypes) == 1 else FLOAT)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        made = bound.new(spec.shape, spec.dtype)
        parts = tuple(x.array for x in inputs)
        join = partial(np.concatenate, parts, axis(node, len(spec.shape)) + 1, made.array, casting="unsafe")
        bound.steps.append(join)
        return made


@operation("slice")
class Slice:
    """Entries `start` to `stop` of the last axis."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 1, 0)
        shape = inputs[0].shape
        start: Any = node.get("start")
        stop: Any = node.get("stop")
        inside = type(start) is int and type(stop) is int and len(shape) > 0 and 0 <= start < stop <= shape[-1]
        require(inside, node, f"needs 0 <= `start` < `stop` within {shape}")
        return Spec((*shape[:-1], stop - start), inputs[0].dtype)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        made = bound.new(spec.shape, spec.dtype)
        part = inputs[0].array[..., node["start"] : node["stop"]]
        bound.steps.append(partial(np.copyto, made.array, part))
        return made


@operation("cast")
class Cast:
    """To `dtype`, the name of a number's dtype."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 1, 0)
        require(node.get("dtype") in _DTYPES, node, f"needs a `dtype` of {', '.join(_DTYPES)}")
        return Spec(inputs[0].shape, np.dtype(node["dtype"]))

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        made = bound.new(spec.shape, spec.dtype)
        bound.steps.append(partial(np.copyto, made.array, inputs[0].array, casting="unsafe"))
        return made


_DTYPES = ("float32", "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")


@operation("one_hot")
class OneHot:
    """Indices `(*shape)` from 0 to one-hot codes, components side by side: `(sum(nvec),)`."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 1, 0)
        nvec = integers(node, "nvec")
        require(len(nvec) == inputs[0].size and all(n > 0 for n in nvec), node, f"does not fit {inputs[0].shape}")
        return Spec((sum(nvec),), FLOAT)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        made = bound.new(spec.shape)
        nvec = node["nvec"]
        places = np.zeros((bound.count, len(nvec)), np.int64)
        index = inputs[0].array.reshape(places.shape)
        offsets = np.arange(bound.count)[:, None] * sum(nvec) + np.cumsum([0, *nvec[:-1]])
        bound.steps.append(partial(np.add, index, offsets, places, casting="unsafe"))
        bound.steps.append(partial(made.array.fill, 0.0))
        bound.steps.append(partial(made.array.reshape(-1).put, places, 1.0))
        return made


# --- one number at a time -----------------------------------------------------------------------------------


class _Floats:
    """Shape in, same shape out, in float32."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 1, 0)
        return Spec(inputs[0].shape, FLOAT)


@operation("activation")
class Activation(_Floats):
    """`name`, with the parameters of `activations.PARAMETERS`."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        name, _ = activations.check(node.get("name"), node)
        require(not name.endswith("softmax") or len(inputs[0].shape) > 0, node, "needs a row of rank > 0")
        return _Floats.infer(node, inputs, weights)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        x, made = bound.floats(inputs[0]), bound.new(spec.shape)
        name, parameters = activations.check(node["name"], node)
        bound.steps.extend(activations.steps(name, parameters, x.array, made.array))
        return made


@operation("clip")
class Clip(_Floats):
    """To [low, high]."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        require(number(node, "low", -math.inf) <= number(node, "high", math.inf), node, "needs `low` <= `high`")
        return _Floats.infer(node, inputs, weights)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        x, made = bound.floats(inputs[0]).array, bound.new(spec.shape)
        low, high = number(node, "low", -math.inf), number(node, "high", math.inf)
        bound.steps.append(partial(np.maximum, x, constant(low, x), out=made.array))
        bound.steps.append(partial(np.minimum, made.array, constant(high, x), out=made.array))
        return made


@operation("rescaling")
class Rescaling(_Floats):
    """`x * scale + offset`."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        for key in ("scale", "offset"):
            vector(node, key, inputs[0].shape if inputs else ())
        return _Floats.infer(node, inputs, weights)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        scale, offset = (vector(node, key, spec.shape) for key in ("scale", "offset"))
        x = bound.floats(inputs[0])
        if (scale == 1.0).all() and (offset == 0.0).all():
            return x
        made = bound.new(spec.shape)
        bound.steps.append(partial(np.multiply, x.array, bound.spread(scale, spec.shape), made.array))
        if (offset != 0.0).any():
            bound.steps.append(partial(np.add, made.array, bound.spread(offset, spec.shape), made.array))
        return made


@operation("prelu")
class PReLU:
    """`max(x, 0) + slope * min(x, 0)`; the slope is a weight whose shape broadcasts to a row's."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 1, 1)
        shape, slope = inputs[0].shape, weights[0]
        fits = len(slope) == len(shape) and all(n in (1, m) for n, m in zip(slope, shape))
        require(fits, node, f"does not fit {shape}")
        return Spec(shape, FLOAT)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        x, made = bound.floats(inputs[0]).array, bound.new(spec.shape)
        below, zero = np.empty_like(x), constant(0.0, x)
        bound.steps += [
            partial(np.minimum, x, zero, out=below),
            partial(np.multiply, below, bound.spread(weights[0], spec.shape), below),
            partial(np.maximum, x, zero, out=made.array),
            partial(np.add, made.array, below, made.array),
        ]
        return made
