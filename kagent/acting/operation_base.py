"""What every operation of a program is made with: checked readers of a node, and a place to allocate and add
steps.

An operation has two functions. `infer` checks a node of an untrusted config and says what it gives; nothing
is allocated there. `bind` allocates for a fixed batch size and appends the steps that fill the result.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from kagent.acting.activations import Step

Shape = tuple[int, ...]
Node = dict[str, Any]
FLOAT = np.dtype(np.float32)
_TILED = 1 << 14  # up to this size per-feature weights are repeated over the batch: adding equal shapes is 4 x faster


class Spec(NamedTuple):
    """Shape (without the batch axis) and dtype of a value."""

    shape: Shape
    dtype: np.dtype

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Value(NamedTuple):
    """An array of the running program.

    Attributes:
        array: `(N, *shape)`, C-contiguous.
        extended: For N = 1: the same memory, flat, and a constant 1 behind it; it makes a bias one more row
            of a kernel.
    """

    array: np.ndarray
    extended: np.ndarray | None = None


class Bound:
    """Collects the steps of a program at one batch size.

    Attributes:
        count: The batch size.
        refresh: Steps to run when the weights have changed.
        steps: Steps of every call.
    """

    def __init__(self, count: int):
        self.count = count
        self.refresh: list[Step] = []
        self.steps: list[Step] = []

    def new(self, shape: Shape, dtype: np.dtype = FLOAT) -> Value:
        if self.count != 1 or dtype != FLOAT:
            return Value(np.zeros((self.count, *shape), dtype))
        extended = np.ones(math.prod(shape) + 1, dtype)
        return Value(extended[:-1].reshape((1, *shape)), extended)

    def view(self, value: Value, shape: Shape) -> Value:
        return Value(value.array.reshape((self.count, *shape)), value.extended)

    def floats(self, value: Value) -> Value:
        """The value itself, or a float32 copy of integers."""
        if value.array.dtype == FLOAT:
            return value
        made = self.new(value.array.shape[1:])
        self.steps.append(partial(np.copyto, made.array, value.array, casting="unsafe"))
        return made

    def spread(self, array: np.ndarray, shape: Shape) -> np.ndarray:
        """Weights that broadcast against `(N, *shape)`, kept repeated to that shape where it is small."""
        full = (self.count, *shape)
        if math.prod(full) > _TILED:
            return array
        tiled = np.empty(full, np.float32)
        self.refresh.append(partial(np.copyto, tiled, array))
        return tiled


class Operation(NamedTuple):
    """`infer` and `bind` of an operation; see the module."""

    infer: Callable[[Node, list[Spec], list[Shape]], Spec]
    bind: Callable[[Bound, Node, list[Value], list[np.ndarray], Spec], Value]


C = TypeVar("C", bound=Any)
OPERATIONS: dict[str, Operation] = {}


# --- reading a node -----------------------------------------------------------------------------------------


def require(condition: bool, node: Node, what: str) -> None:
    """Raises a `ValueError` that shows the node, unless the condition holds."""
    if not condition:
        raise ValueError(f"Node {node.get('op')!r} {what}. Received: {reprlib.repr(node)}")


def number(node: Node, key: str, default: float | None = None) -> float:
    """A number of a node, as float."""
    value: Any = node.get(key, default)
    real = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    require(real, node, f"needs a number `{key}`")
    return float(value)


def integers(node: Node, key: str) -> list[int]:
    """A list of integers of a node."""
    value = node.get(key)
    valid = isinstance(value, list | tuple) and len(value) <= 1 << 16 and all(type(n) is int for n in value)
    require(valid, node, f"needs a list of integers `{key}`")
    return list(value)  # type: ignore[arg-type]


def vector(node: Node, key: str, shape: Shape) -> np.ndarray:
    """A number, or a (nested) list of numbers that broadcasts to `shape`, as float32."""
    try:
        array = np.asarray(node.get(key), np.float32)
        np.broadcast_shapes(array.shape, shape)
        fits = array.ndim <= len(shape) and np.broadcast_shapes(array.shape, shape) == shape
    except (TypeError, ValueError):
        fits = False
    require(fits, node, f"needs numbers `{key}` that broadcast to {shape}")
    return array


def axis(node: Node, rank: int) -> int:
    """`axis` counted within a row (without the batch axis), from 0."""
    value = node.get("axis", -1)
    require(type(value) is int and -rank <= value < rank, node, f"needs an `axis` within {rank} dimensions")
    result: int = value % rank
    return result


def axes(node: Node, rank: int) -> tuple[int, ...]:
    """`axes` counted within a row (without the batch axis), from 0, in order."""
    values = integers(node, "axes") if "axes" in node else [-1]
    valid = values and all(-rank <= a < rank for a in values) and len({a % rank for a in values}) == len(values)
    require(bool(valid), node, f"needs different `axes` within {rank} dimensions")
    return tuple(sorted(a % rank for a in values))


def counts(node: Node, inputs: Sequence[Any], weights: Sequence[Any], n_inputs: int | None, *n_weights: int) -> None:
    """Refuses a node with another number of inputs or weights."""
    if n_inputs is not None:
        require(len(inputs) == n_inputs, node, f"takes {n_inputs} input(s)")
    else:
        require(len(inputs) >= 1, node, "takes at least one input")
    require(len(weights) in n_weights, node, f"takes {' or '.join(map(str, n_weights))} weight(s)")


def operation(name: str) -> Callable[[C], C]:
    """Registers a class whose `infer` and `bind` are static functions."""

    def register(cls: C) -> C:
        OPERATIONS[name] = Operation(cls.infer, cls.bind)
        return cls

    return register
