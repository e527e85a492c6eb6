"""The ways in which a function may run: eagerly, as a graph, under XLA."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest
import tensorflow as tf

MODES = ("eager", "graph", "xla")
# For `parametrize` and fixtures: what the fast tests show of a graph, the thorough ones show of XLA's program of the same graph.
VARIANTS = ("eager", "graph", pytest.param("xla", marks=pytest.mark.thorough))


def compiled(function: Any, mode: str) -> Any:
    """`function` in one of `MODES`. A method is compiled once for all tests of its object that give it equal shapes."""
    if mode == "eager":
        return function
    return (_once if inspect.ismethod(function) else _anew)(function, mode)


def _anew(function: Any, mode: str) -> Any:
    return tf.function(function, jit_compile=mode == "xla", autograph=False)


_once = functools.cache(_anew)
