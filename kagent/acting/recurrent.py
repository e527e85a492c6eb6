"""Recurrent cells: one timestep from features and a state to the state after it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from kagent.acting import activations, products
from kagent.acting.activations import Step
from kagent.acting.operation_base import FLOAT, Bound, Node, Shape, Spec, Value, counts, operation, require


def _infer(node: Node, inputs: list[Spec], weights: list[Shape], parts: int, gates: int) -> int:
    """Checks a cell with so many parts of state and gates; returns its units."""
    counts(node, inputs, weights, 1 + parts, 2, 3)
    kernel, recurrent = weights[:2]
    require(len(kernel) == len(recurrent) == 2, node, "needs kernels of rank 2")
    units = recurrent[0]
    require(recurrent[1] == kernel[1] == gates * units > 0, node, f"has kernels that do not fit: {kernel}, {recurrent}")
    shapes = [spec.shape for spec in inputs]
    require(shapes == [kernel[:1], *[(units,)] * parts], node, f"does not fit {shapes}")
    require(all(spec.dtype == FLOAT for spec in inputs[1:]), node, "needs states of float32")
    for key in ("activation", "recurrent_activation")[: 1 + (gates > 1)]:
        name, _ = activations.check(node.get(key), {})
        require(not name.endswith("softmax"), node, f"needs an `{key}` of one number at a time")
    return units


def _activated(name: Any, x: np.ndarray, out: np.ndarray) -> list[Step]:
    found, parameters = activations.check(name, {})
    return activations.steps(found, parameters, x, out)


def _product(bound: Bound, x: np.ndarray, kernel: np.ndarray, bias: Any, out: np.ndarray) -> None:
    """`x @ kernel + bias` into `out`; no bias: None."""
    bound.steps.extend(products.steps(x, kernel, out))
    if bias is not None:
        bound.steps.append(partial(np.add, out, bound.spread(bias, out.shape[1:]), out))


@operation("simple_rnn")
class SimpleRNN:
    """`activation(x @ kernel + h @ recurrent + bias)`. Weights: kernels `(F, U)` and `(U, U)`, perhaps bias `(U,)`."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        units = _infer(node, inputs, weights, 1, 1)
        require(len(weights) == 2 or weights[2] == (units,), node, "has a bias that does not fit")
        return Spec((units,), FLOAT)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        x, h = (bound.floats(value).array for value in inputs)
        made, other = bound.new(spec.shape), np.empty((bound.count, *spec.shape), np.float32)
        _product(bound, x, weights[0], weights[2] if len(weights) == 3 else None, made.array)
        _product(bound, h, weights[1], None, other)
        bound.steps.append(partial(np.add, made.array, other, made.array))
        bound.steps += _activated(node["activation"], made.array, made.array)
        return made


@operation("gru")
class GRU:
    """A gated recurrent unit, as Keras has it. Weights: kernels `(F, 3U)` and `(U, 3U)`, perhaps bias, `(2, 3U)` where
    `reset_after`, else `(3U,)`; gates in the order update, reset, candidate."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        units = _infer(node, inputs, weights, 1, 3)
        require(isinstance(node.get("reset_after"), bool), node, "needs a bool `reset_after`")
        bias = (2, 3 * units) if node["reset_after"] else (3 * units,)
        require(len(weights) == 2 or weights[2] == bias, node, "has a bias that does not fit")
        return Spec((units,), FLOAT)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        x, h = (bound.floats(value).array for value in inputs)
        made, units, after = bound.new(spec.shape), spec.shape[0], node["reset_after"]
        kernel, recurrent, *rest = weights
        own, other = (np.empty((bound.count, 3 * units), np.float32) for _ in range(2))
        bias, inner = None, None
        if rest:
            bias, inner = rest[0] if after else (rest[0], None)
        steps = bound.steps
        _product(bound, x, kernel, bias, own)
        gates, candidate = own[:, : 2 * units], own[:, 2 * units :]
        if after:
            _product(bound, h, recurrent, inner, other)
            steps.append(partial(np.add, gates, other[:, : 2 * units], gates))
            steps += _activated(node["recurrent_activation"], gates, gates)
            part = other[:, 2 * units :]
            steps.append(partial(np.multiply, gates[:, units:], part, part))
        else:
            pair, part, reset = (np.empty((bound.count, n * units), np.float32) for n in (2, 1, 1))
            halves: list[np.ndarray] = []

            def split() -> None:  # a product needs kernels in one piece
                halves[:] = [
                    np.ascontiguousarray(recurrent[:, : 2 * units]),
                    np.ascontiguousarray(recurrent[:, 2 * units :]),
                ]

            bound.refresh.append(split)
            steps.append(lambda: h.dot(halves[0], pair))
            steps.append(partial(np.add, gates, pair, gates))
            steps += _activated(node["recurrent_activation"], gates, gates)
            steps.append(partial(np.multiply, gates[:, units:], h, reset))
            steps.append(lambda: reset.dot(halves[1], part))
        steps.append(partial(np.add, candidate, part, candidate))
        steps += _activated(node["activation"], candidate, candidate)
        # update * h + (1 - update) * candidate
        steps.append(partial(np.subtract, h, candidate, made.array))
        steps.append(partial(np.multiply, gates[:, :units], made.array, made.array))
        steps.append(partial(np.add, made.array, candidate, made.array))
        return made


@operation("lstm")
class LSTM:
    """Long short-term memory, as Keras has it: of x, h and c the new h and c side by side, `(2U,)`. Weights: kernels `(F, 4U)`
    and `(U, 4U)`, perhaps bias `(4U,)`; gates in the order input, forget, candidate, output."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        units = _infer(node, inputs, weights, 2, 4)
        require(len(weights) == 2 or weights[2] == (4 * units,), node, "has a bias that does not fit")
        return Spec((2 * units,), FLOAT)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        x, h, c = (bound.floats(value).array for value in inputs)
        made, units = bound.new(spec.shape), spec.shape[0] // 2
        own, other = (np.empty((bound.count, 4 * units), np.float32) for _ in range(2))
        _product(bound, x, weights[0], weights[2] if len(weights) == 3 else None, own)
        _product(bound, h, weights[1], None, other)
        first, candidate, last = own[:, : 2 * units], own[:, 2 * units : 3 * units], own[:, 3 * units :]
        new_h, new_c = made.array[:, :units], made.array[:, units:]
        bound.steps.append(partial(np.add, own, other, own))
        bound.steps += _activated(node["recurrent_activation"], first, first)
        bound.steps += _activated(node["recurrent_activation"], last, last)
        bound.steps += _activated(node["activation"], candidate, candidate)
        bound.steps += [
            partial(np.multiply, first[:, :units], candidate, candidate),
            partial(np.multiply, first[:, units:], c, new_c),
            partial(np.add, new_c, candidate, new_c),
            *_activated(node["activation"], new_c, new_h),
            partial(np.multiply, last, new_h, new_h),
        ]
        return made
