"""Linear layers with noise on their weights, as an actor in training has them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from kagent.acting.operation_base import Bound, Node, Shape, Spec, Value, counts, operation, require
from kagent.acting.operations import Dense


@operation("noisy_dense")
class NoisyDense:
    """`x @ kernel + bias`, unless `LayerNoise` has put noise on both. Weights: kernel `(in, out)`, bias, and the deviations of
    both, which the program does not read itself."""

    @staticmethod
    def infer(node: Node, inputs: list[Spec], weights: list[Shape]) -> Spec:
        counts(node, inputs, weights, 1, 4)
        require(weights[2:] == weights[:2], node, f"has deviations that do not fit {weights[:2]}")
        return Dense.infer(node, inputs, weights[:2])

    @staticmethod
    def bind(bound: Bound, node: Node, inputs: list[Value], weights: list[np.ndarray], spec: Spec) -> Value:
        return Dense.bind(bound, node, inputs, weights[:2], spec)


class LayerNoise:
    """Puts factorised noise on the noisy layers of a program (Fortunato et al. 2018, arXiv:1706.10295, eq. 9 to 11).

    Args:
        program: The `Program`, whose weights change meanwhile.
    """

    def __init__(self, program: Any):
        self._program = program
        self._layers = [
            [program.weight(index) for index in node["weights"]]
            for node in program.config["nodes"]
            if node["op"] == "noisy_dense"
        ]

    def __bool__(self) -> bool:
        return bool(self._layers)

    @contextlib.contextmanager
    def drawn(self, rng: np.random.Generator) -> Iterator[None]:
        """Within it there is noise, drawn once from `rng`. Afterwards the weights are the very ones of before."""
        kept = [(kernel.copy(), bias.copy()) for kernel, bias, _, _ in self._layers]
        for kernel, bias, kernel_deviation, bias_deviation in self._layers:
            rows, columns = (_scaled(rng.standard_normal(width, np.float32)) for width in kernel.shape)
            kernel += kernel_deviation * np.outer(rows, columns)
            bias += bias_deviation * columns
        self._program.version += 1
        try:
            yield
        finally:
            for (kernel, bias, _, _), (means, mean) in zip(self._layers, kept):
                kernel[...], bias[...] = means, mean
            self._program.version += 1


def _scaled(x: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.sign(x) * np.sqrt(np.abs(x))
    return result
