"""Operations that make one value of several, number by number."""

from __future__ import annotations

from functools import partial

import numpy as np

from kagent.acting.activations import constant
from kagent.acting.operation_base import FLOAT, Bound, Node, Shape, Spec, Value, counts, integers, operation, require


class _Merge:
    """Inputs of equal rank broadcast; of unequal rank, the shorter get axes of 1 behind the batch axis."""

    function: np.ufunc

    @classmethod
    def infer(cls, node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 2 if cls is Subtract else None, 0)
        try:
            shape, fits = np.broadcast_shapes(*(x.shape for x in inputs)), True
        except ValueError:
            shape, fits = (), False
        require(fits, node, f"does not fit {[x.shape for x in inputs]}")
        return Spec(tuple(shape), FLOAT)

    @classmethod
    def bind(cls, bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        made, rank = bound.new(spec.shape), len(spec.shape)
        values = [bound.floats(x).array for x in inputs]
        arrays = [x.reshape((bound.count, *(1,) * (rank - x.ndim + 1), *x.shape[1:])) for x in values]
        if len(arrays) == 1:
            bound.steps.append(partial(np.copyto, made.array, arrays[0]))
        left = arrays[0]
        for right in arrays[1:]:
            bound.steps.append(partial(cls.function, left, right, out=made.array))
            left = made.array
        return made


@operation("add")
class Add(_Merge):
    """The sum of the inputs."""

    function = np.add


@operation("subtract")
class Subtract(_Merge):
    """The first input less the second."""

    function = np.subtract


@operation("multiply")
class Multiply(_Merge):
    """The product of the inputs."""

    function = np.multiply


@operation("maximum")
class Maximum(_Merge):
    """The largest of the inputs, element by element."""

    function = np.maximum


@operation("minimum")
class Minimum(_Merge):
    """The smallest of the inputs, element by element."""

    function = np.minimum


@operation("average")
class Average(_Merge):
    """The mean of the inputs."""

    function = np.add

    @classmethod
    def bind(cls, bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        made = super().bind(bound, node, inputs, weights, spec)
        share = constant(1.0 / len(inputs), made.array)
        bound.steps.append(partial(np.multiply, made.array, share, made.array))
        return made


@operation("dueling")
class Dueling:
    """State values `(..., 1)` plus advantages `(..., sum(nvec))`, from which each component's own mean is subtracted; where
    `aggregator` is "max" its own maximum, where it is "naive" nothing."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 2, 0)
        nvec = integers(node, "nvec")
        shapes = [x.shape for x in inputs]
        require(len(nvec) > 0 and all(n > 0 for n in nvec), node, "needs numbers >= 1 `nvec`")
        lead = shapes[0][:-1]
        require(shapes == [(*lead, 1), (*lead, sum(nvec))], node, f"does not fit {shapes}")
        require(node.get("aggregator", "mean") in ("mean", "max", "naive"), node, "has an unknown `aggregator`")
        return Spec(shapes[1], FLOAT)

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        value, advantage = (bound.floats(x).array.reshape(-1, x.array.shape[-1]) for x in inputs)
        made, nvec, aggregator = bound.new(spec.shape), node["nvec"], node.get("aggregator", "mean")
        out = made.array.reshape(-1, spec.shape[-1])
        if aggregator == "naive":
            bound.steps.append(partial(np.add, value, advantage, out))
            return made
        shift = np.empty((len(out), len(nvec)), np.float32)
        starts, owners = np.cumsum([0, *nvec[:-1]]), np.repeat(np.arange(len(nvec)), nvec)
        if aggregator == "mean":
            shares = np.tile(1.0 / np.asarray(nvec, np.float32), (len(out), 1))
            bound.steps += [
                partial(np.add.reduceat, advantage, starts, 1, None, shift),
                partial(np.multiply, shift, shares, shift),
            ]
        else:
            bound.steps.append(partial(np.maximum.reduceat, advantage, starts, 1, None, shift))
        bound.steps += [
            partial(np.subtract, value, shift, shift),
            partial(shift.take, owners, 1, out, "clip"),
            partial(np.add, out, advantage, out),
        ]
        return made
