import pytest
import tensorflow as tf


def _eager(function):
    return function


def _graph(function):
    return tf.function(function, jit_compile=False)


def _xla(function):
    return tf.function(function, jit_compile=True)


@pytest.fixture(params=[_eager, _graph, _xla], ids=["eager", "graph", "xla"], scope="session")
def mode(request):
    """Every test that takes it runs eagerly, as a graph and under XLA."""
    return request.param
