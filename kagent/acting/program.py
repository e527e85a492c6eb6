"""A policy's forward pass as a small NumPy program."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from kagent.acting import (  # noqa: F401  (they fill OPERATIONS)
    convolution,
    merging,
    noisy,
    normalization,
    operations,
    recurrent,
)
from kagent.acting.activations import Step
from kagent.acting.operation_base import FLOAT, OPERATIONS, Bound, Node, Shape, Spec, Value

MAX_WEIGHTS = 1 << 27  # numbers, 512 MB
MAX_VALUES = 1 << 27  # numbers held per row, over all nodes
MAX_NODES = 10_000
_MAX_RANK = 16
_KEPT_ROWS = 1024  # batches beyond are bound for one call only
_KEPT_KERNELS = 16


class Kernel:
    """A program bound to one batch size: its arrays are allocated, its steps take no argument.

    Attributes:
        inputs, outputs: Arrays `(N, *shape)`; fill the inputs, run the steps, read the outputs.
        steps: To be called in order.
        refresh: The same, to be called before when the weights have changed.
        version: The program's `version` that the last refresh saw.
    """

    __slots__ = ("inputs", "outputs", "refresh", "steps", "version")

    def __init__(self, inputs: list[np.ndarray], outputs: list[np.ndarray], bound: Bound):
        self.inputs = inputs
        self.outputs = outputs
        self.steps: tuple[Step, ...] = tuple(bound.steps)
        self.refresh: tuple[Step, ...] = tuple(bound.refresh)
        self.version = -1


class Program:
    """A network as a list of nodes over one flat buffer of weights.

    Values are numbered: the inputs first, then one per node; a node reads only values before it.

    Args:
        config: JSON-ready dict. `"inputs"`: list of `{"shape", "dtype"}` without the batch axis; `"weights"`:
            list of shapes; `"nodes"`: list of `{"op", "inputs": [values], "weights": [indices],
            **parameters}`; `"outputs"`: list of values. It may come from an untrusted file: it is checked
            before anything is allocated.
        arrays: The weights, one array per shape; or one flat array; or None for zeros.

    Attributes:
        weights: The flat float32 buffer `(size,)`, each weight in C order behind the one before. Change it by
            `set_weights` only.
        size: Number of weights.
        input_specs, output_specs: `(shape, dtype)` of each input and output, without the batch axis.

    Raises:
        ValueError: Unknown operation, bad reference, shapes that do not fit, too large, or wrong arrays.

    A program is not safe to call from several threads at once: calls of one batch size share their arrays.

    Example:

    >>> dense = {"op": "dense", "inputs": [0], "weights": [0, 1], "activation": "relu"}
    >>> inputs = [{"shape": [2], "dtype": "float32"}]
    >>> config = {"inputs": inputs, "weights": [[2, 1], [1]], "nodes": [dense], "outputs": [1]}
    >>> program = Program(config, [[[1.0], [2.0]], [0.5]])
    >>> program([np.ones((3, 2), np.float32)])[0].tolist()
    [[3.5], [3.5], [3.5]]
    """

    def __init__(self, config: dict[str, Any], arrays: Sequence[Any] | np.ndarray | None = None):
        try:
            checked = _check(config)
        except (TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"Not the config of a program: {error!r}. Received: {reprlib.repr(config)}") from error
        self.config = config
        self.input_specs, self._shapes, self._nodes, self._specs, self._outputs = checked
        self.size = sum(map(math.prod, self._shapes))
        self.weights = np.zeros(self.size, FLOAT)
        self.version = 0
        self._views = []
        offset = 0
        for shape in self._shapes:
            self._views.append(self.weights[offset : offset + math.prod(shape)].reshape(shape))
            offset += math.prod(shape)
        self._kernels: dict[int, Kernel] = {}
        if arrays is not None:
            self.set_weights(arrays if isinstance(arrays, np.ndarray) else self._flat(arrays))

    @property
    def output_specs(self) -> list[Spec]:
        return [self._specs[index] for index in self._outputs]

    @property
    def products(self) -> int:
        """Multiplications that the convolutions of one row take."""
        kernels = [
            (self._specs[len(self.input_specs) + i], self._shapes[node["weights"][0]])
            for i, node in enumerate(self._nodes)
            if node["op"] == "convolution"
        ]
        return sum(math.prod(spec.shape) * math.prod(kernel[:-1]) for spec, kernel in kernels)

    def set_weights(self, *pieces: np.ndarray) -> None:
        """Copies new weights in.

        Args:
            *pieces: Float arrays `(n,)`, together `size` numbers: the weights one behind the other.

        Raises:
            ValueError: Other shapes or dtypes.
        """
        sizes = [piece.size for piece in pieces if piece.ndim == 1 and piece.dtype.kind == "f"]
        if len(sizes) != len(pieces) or sum(sizes) != self.size:
            shapes, dtypes = [piece.shape for piece in pieces], [str(piece.dtype) for piece in pieces]
            expected = f"float vectors of {self.size} numbers together"
            raise ValueError(f"`pieces` must be {expected}. Received: shapes {shapes}, dtypes {dtypes}")
        if pieces:
            np.concatenate(pieces, out=self.weights, casting="same_kind")
        self.version += 1

    def weight(self, index: int) -> np.ndarray:
        """The array of a weight, of which nodes have the index. Who writes into it adds 1 to `version`."""
        return self._views[index]

    def run(self, leaves: Sequence[np.ndarray]) -> list[np.ndarray]:
        """As calling the program, but the results are its own arrays, which the next call overwrites."""
        count = len(leaves[0])
        kernel = self._kernels.get(count) or self.kernel(count)
        inputs = kernel.inputs
        if len(leaves) != len(inputs):
            raise ValueError(f"`leaves` must be {len(inputs)} arrays. Received: {len(leaves)}")
        for array, leaf in zip(inputs, leaves):
            if leaf.shape != array.shape:
                shapes = [f"(N, {', '.join(map(str, x.shape[1:]))})" for x in inputs]
                received = [x.shape for x in leaves]
                raise ValueError(f"`leaves` must have shapes {', '.join(shapes)}. Received: {received}")
            array[...] = leaf
        if kernel.version != self.version:
            self.refresh(kernel)
        for step in kernel.steps:
            step()
        return kernel.outputs

    def __call__(self, leaves: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The forward pass.

        Args:
            leaves: One array `(N, *shape)` per input.

        Returns:
            One new array `(N, *shape)` per output.

        Raises:
            ValueError: Wrong number or shapes of leaves.
        """
        return [output.copy() for output in self.run(leaves)]

    def kernel(self, count: int) -> Kernel:
        """The program bound to batches of `count` rows; kept for the next time unless `count` is large."""
        if (kept := self._kernels.get(count)) is not None:
            return kept
        bound = Bound(count)
        values = [bound.new(spec.shape, spec.dtype) for spec in self.input_specs]
        inputs = [value.array for value in values]
        for node, spec in zip(self._nodes, self._specs[len(values) :]):
            arguments: list[Value] = [values[index] for index in node["inputs"]]
            weights = [self._views[index] for index in node.get("weights", ())]
            values.append(OPERATIONS[node["op"]].bind(bound, node, arguments, weights, spec))
        kernel = Kernel(inputs, [values[index].array for index in self._outputs], bound)
        if count <= _KEPT_ROWS:
            if len(self._kernels) >= _KEPT_KERNELS:
                del self._kernels[next(iter(self._kernels))]
            self._kernels[count] = kernel
        return kernel

    def refresh(self, kernel: Kernel) -> None:
        """Brings what `kernel` derives from the weights up to date."""
        for step in kernel.refresh:
            step()
        kernel.version = self.version

    def _flat(self, arrays: Sequence[Any]) -> np.ndarray:
        given = [np.asarray(array, FLOAT) for array in arrays]
        if [array.shape for array in given] != self._shapes:
            raise ValueError(f"`arrays` must have shapes {self._shapes}. Received: {[a.shape for a in given]}")
        return np.concatenate([np.ravel(array) for array in given]) if given else np.empty(0, FLOAT)

    def __repr__(self) -> str:
        return f"<Program: {len(self._nodes)} operations, {self.size:,} weights>"


def _check(config: dict[str, Any]) -> tuple[list[Spec], list[Shape], list[Node], list[Spec], list[int]]:
    if not isinstance(config, dict) or not all(isinstance(config.get(key), list) for key in _KEYS):
        raise ValueError(f"A program must be a dict of lists {_KEYS}. Received: {reprlib.repr(config)}")
    if max(len(config[key]) for key in _KEYS) > MAX_NODES or not config["inputs"] or not config["outputs"]:
        raise ValueError(f"A program must have 1 to {MAX_NODES} inputs and outputs, and at most so many nodes")
    inputs = [Spec(shape_of(item["shape"]), dtype_of(item["dtype"])) for item in config["inputs"]]
    shapes = [shape_of(shape) for shape in config["weights"]]
    size = sum(map(math.prod, shapes))
    if size > MAX_WEIGHTS:
        raise ValueError(f"A program may have {MAX_WEIGHTS} weights at most. Received: {size}")
    specs, total = list(inputs), sum(spec.size for spec in inputs)
    for node in config["nodes"]:
        op = node.get("op") if isinstance(node, dict) else None
        if not isinstance(op, str) or op not in OPERATIONS:
            raise ValueError(
                f"Unknown operation. Received: {reprlib.repr(node)}. Allowed: {', '.join(sorted(OPERATIONS))}"
            )
        arguments = [specs[index] for index in _references(node["inputs"], len(specs), "inputs", node)]
        weights = [shapes[index] for index in _references(node.get("weights", []), len(shapes), "weights", node)]
        specs.append(OPERATIONS[op].infer(node, arguments, weights))
        total += specs[-1].size
        if total > MAX_VALUES:
            raise ValueError(f"A program may hold {MAX_VALUES} numbers per row at most. Received: {total} and more")
    outputs = _references(config["outputs"], len(specs), "outputs", config)
    return inputs, shapes, config["nodes"], specs, outputs


_KEYS = ("inputs", "weights", "nodes", "outputs")


def _references(value: Any, count: int, key: str, node: Any) -> list[int]:
    valid = isinstance(value, list) and len(value) <= MAX_NODES
    if not valid or not all(type(index) is int and 0 <= index < count for index in value):
        raise ValueError(f"`{key}` must be a list of integers from 0 to {count - 1}. Received: {reprlib.repr(node)}")
    result: list[int] = value
    return result


def shape_of(value: Any) -> Shape:
    """A shape read from a config, bounded."""
    valid = isinstance(value, list | tuple) and len(value) <= _MAX_RANK and all(type(n) is int for n in value)
    if not valid or not all(n > 0 for n in value) or math.prod(value) > MAX_WEIGHTS:
        raise ValueError(f"A shape must be a list of integers > 0, {MAX_WEIGHTS} numbers at most. Received: {value!r}")
    return tuple(value)


def dtype_of(value: Any) -> np.dtype:
    """A number's dtype read from a config."""
    if not isinstance(value, str) or np.dtype(value).kind not in "fiub":
        raise ValueError(f"A dtype must be the name of a number's. Received: {value!r}")
    return np.dtype(value)
