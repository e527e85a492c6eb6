"""Operations that standardise. What depends on weights alone is computed once per change of them."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from kagent.acting.activations import constant
from kagent.acting.operation_base import (
    FLOAT,
    Bound,
    Node,
    Shape,
    Spec,
    Value,
    axes,
    axis,
    counts,
    number,
    operation,
    require,
    vector,
)


@operation("normalization")
class Normalization:
    """`(x - mean) / max(sqrt(variance + variance_epsilon), epsilon)`, clipped to [-clip, clip] if `clip` is
    given.

    Mean and variance are two weights, or numbers in the node.
    """

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 1, 0, 2)
        shape = inputs[0].shape
        for weight in weights:
            fits = len(weight) <= len(shape) and all(n in (1, m) for n, m in zip(weight[::-1], shape[::-1]))
            require(fits, node, f"does not fit {shape}")
        if not weights:
            vector(node, "mean", shape)
            require(bool((vector(node, "variance", shape) >= 0.0).all()), node, "needs `variance` >= 0")
        floor, inside = number(node, "epsilon", 1e-7), number(node, "variance_epsilon", 0.0)
        require(floor >= 0.0 and inside >= 0.0 and floor + inside > 0.0, node, "needs an epsilon > 0")
        require(number(node, "clip", math.inf) > 0.0, node, "needs `clip` > 0")
        return Spec(shape, FLOAT)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        x, made = bound.floats(inputs[0]), bound.new(spec.shape)
        mean, variance = weights or (vector(node, key, spec.shape) for key in ("mean", "variance"))
        deviation = np.empty_like(variance)
        inside, floor = np.float32(number(node, "variance_epsilon", 0.0)), number(node, "epsilon", 1e-7)
        bound.refresh += [
            partial(np.add, variance, inside, deviation),
            partial(np.sqrt, deviation, deviation),
            partial(np.maximum, deviation, np.float32(floor), out=deviation),
        ]
        out = made.array
        bound.steps.append(partial(np.subtract, x.array, bound.spread(mean, spec.shape), out))
        bound.steps.append(partial(np.divide, out, bound.spread(deviation, spec.shape), out))
        if (clip := number(node, "clip", math.inf)) != math.inf:
            bound.steps.append(partial(np.maximum, out, constant(-clip, out), out=out))
            bound.steps.append(partial(np.minimum, out, constant(clip, out), out=out))
        return made


@operation("batch_normalization")
class BatchNormalization:
    """Moving statistics over `axis` (-1). Weights: gamma if `scale`, beta if `center`, mean, variance."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        scale, center = bool(node.get("scale")), bool(node.get("center"))
        counts(node, inputs, weights, 1, 2 + scale + center)
        shape = inputs[0].shape
        require(len(shape) > 0, node, "needs a row of rank > 0")
        at = axis(node, len(shape))
        require(all(w == (shape[at],) for w in weights), node, f"does not fit {shape}")
        require(number(node, "epsilon", 1e-3) > 0.0, node, "needs `epsilon` > 0")
        return Spec(shape, FLOAT)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        x, made = bound.floats(inputs[0]), bound.new(spec.shape)
        behind = len(spec.shape) - 1 - axis(node, len(spec.shape))
        weights = [w.reshape(-1, *(1,) * behind) for w in weights]
        mean, variance = weights[-2:]
        factor = np.empty_like(variance)
        bound.refresh += [
            partial(np.add, variance, np.float32(number(node, "epsilon", 1e-3)), factor),
            partial(np.sqrt, factor, factor),
            partial(np.divide, weights[0] if node.get("scale") else np.float32(1.0), factor, factor),
        ]
        out = made.array
        bound.steps.append(partial(np.subtract, x.array, bound.spread(mean, spec.shape), out))
        bound.steps.append(partial(np.multiply, out, bound.spread(factor, spec.shape), out))
        if node.get("center"):
            bound.steps.append(partial(np.add, out, bound.spread(weights[-3], spec.shape), out))
        return made


class _RowNormalization:
    """Over the last axes of each row. Weights of their shape: a factor if `scale`, a term if `center`."""

    centred: bool

    @classmethod
    def infer(cls, node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        scale, center = bool(node.get("scale")), bool(node.get("center"))
        counts(node, inputs, weights, 1, scale + center)
        shape = inputs[0].shape
        over = axes(node, len(shape))
        require(over == tuple(range(len(shape) - len(over), len(shape))), node, "needs the last `axes`")
        require(all(w == shape[over[0] :] for w in weights), node, f"does not fit {shape}")
        require(number(node, "epsilon", 1e-3) > 0.0, node, "needs `epsilon` > 0")
        return Spec(shape, FLOAT)

    @classmethod
    def bind(cls, bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        made = bound.new(spec.shape)
        size = math.prod(spec.shape[axes(node, len(spec.shape))[0] :])
        x, out = bound.floats(inputs[0]).array.reshape(-1, size), made.array.reshape(-1, size)
        # A product with a vector of 1/size is a mean, four times as fast as np.mean on a short row.
        share, line, squares = (
            np.full(size, 1.0 / size, np.float32),
            np.empty(len(x), np.float32),
            np.empty_like(out),
        )
        column = line[:, None]
        if cls.centred:
            bound.steps += [partial(x.dot, share, line), partial(np.subtract, x, column, out)]
            x = out
        bound.steps += [
            partial(np.multiply, x, x, squares),
            partial(squares.dot, share, line),
            partial(np.add, line, constant(number(node, "epsilon", 1e-3), line), line),
            partial(np.sqrt, line, line),
            partial(np.divide, x, column, out),
        ]
        # `made` and `out` are one memory; the weights broadcast against the unflattened rows
        for weight, function in zip(weights, _functions(node)):
            bound.steps.append(partial(function, made.array, bound.spread(weight, spec.shape), made.array))
        return made


def _functions(node: Node) -> list[np.ufunc]:
    return [np.multiply] * bool(node.get("scale")) + [np.add] * bool(node.get("center"))


@operation("layer_normalization")
class LayerNormalization(_RowNormalization):
    """To mean 0 and variance 1: Ba et al. 2016, arXiv:1607.06450."""

    centred = True


@operation("rms_normalization")
class RMSNormalization(_RowNormalization):
    """To a mean square of 1: Zhang & Sennrich 2019, arXiv:1910.07467."""

    centred = False
