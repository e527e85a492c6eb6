"""The program itself: its memory, its batch sizes, and configs nobody vouches for."""

import copy
import json
import tracemalloc

import numpy as np
import pytest

from kagent.acting import Program
from kagent.acting.operation_base import OPERATIONS


def dense(x, *weights, **parameters):
    return {"op": "dense", "inputs": [x], "weights": list(weights), **parameters}


def config(nodes=(), outputs=(0,), weights=(), inputs=({"shape": [3], "dtype": "float32"},)):
    return {"inputs": list(inputs), "weights": list(weights), "nodes": list(nodes), "outputs": list(outputs)}


MLP = config([dense(0, 0, 1, activation="relu"), dense(1, 2, 3)], [2], [[3, 4], [4], [4, 2], [2]])


def mlp(seed=0):
    rng = np.random.default_rng(seed)
    return Program(MLP, [rng.normal(size=shape) for shape in MLP["weights"]])


def reference(program, x):
    a, b, c, d = np.split(program.weights, [12, 16, 24])
    return np.maximum(x @ a.reshape(3, 4) + b, 0) @ c.reshape(4, 2) + d


@pytest.mark.parametrize("count", [0, 1, 2, 7, 1500])
def test_forward(count):
    program, x = mlp(), np.random.default_rng(1).normal(size=(count, 3)).astype(np.float32)
    (y,) = program([x])
    assert y.shape == (count, 2) and y.dtype == np.float32
    np.testing.assert_allclose(y, reference(program, x), atol=1e-5)


def test_results_of_a_call_are_the_callers():
    program = mlp()
    for count in (1, 3):
        x, y = (np.full((count, 3), value, np.float32) for value in (1.0, -1.0))
        first = program([x])[0]
        kept = first.copy()
        second = program([y])[0]
        np.testing.assert_array_equal(first, kept)
        assert not np.array_equal(first, second)
        assert program.run([x])[0] is program.run([y])[0]  # the fast way shares its arrays
    identity = Program(config())
    x = np.ones((2, 3), np.float32)
    out = identity([x])[0]
    identity([x * 2.0])
    np.testing.assert_array_equal(out, x)
    np.testing.assert_array_equal(x, 1.0)


def test_residuals_do_not_overwrite_what_is_read_later():
    # x, relu(x) and tanh(relu(x)) are all read after all are computed
    nodes = [
        {"op": "activation", "inputs": [0], "name": "relu"},
        {"op": "activation", "inputs": [1], "name": "tanh"},
        {"op": "add", "inputs": [0, 1]},
        {"op": "multiply", "inputs": [3, 2]},
    ]
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    relu = np.maximum(x, 0)
    for rows in (x, x[:1]):
        expected = ((x + relu) * np.tanh(relu))[: len(rows)]
        np.testing.assert_allclose(Program(config(nodes, [4]))([rows])[0], expected, atol=1e-6)


def test_weights_are_one_buffer():
    program = mlp()
    assert program.size == 26 and program.weights.shape == (26,) and program.weights.dtype == np.float32
    before = program.weights
    program.set_weights(np.arange(26, dtype=np.float64))
    assert program.weights is before
    x = np.ones((1, 3), np.float32)
    np.testing.assert_allclose(program([x])[0], reference(program, x), rtol=1e-5)
    for bad in ([np.zeros(25)], [np.zeros((1, 26))], [np.zeros(26, int)], [np.zeros(26), np.zeros(1)], []):
        with pytest.raises(
            ValueError, match=r"`pieces` must be float vectors of 26 numbers together\. Received: shapes"
        ):
            program.set_weights(*bad)
    version = program.version
    program.set_weights(np.zeros(3), np.ones(22, np.float32), np.full(1, 2.0))
    np.testing.assert_array_equal(program.weights, [0.0] * 3 + [1.0] * 22 + [2.0])
    assert program.version > version
    program.set_weights(np.arange(26.0))
    with pytest.raises(ValueError, match="arrays"):
        Program(MLP, [np.zeros((3, 4))])
    flat = Program(MLP, np.arange(26.0))
    np.testing.assert_array_equal(flat.weights, program.weights)


def test_a_bias_that_does_not_follow_its_kernel():
    # at N = 1 kernel and bias are one matrix where they are neighbours, and only there
    swapped = config([dense(0, 1, 0), dense(0, 1, 2)], [1, 2], [[4], [3, 4], [4]])
    arrays = [np.full(4, 5.0), np.ones((3, 4)), np.full(4, 7.0)]
    program = Program(swapped, arrays)
    for count in (1, 2):
        one, other = program([np.ones((count, 3), np.float32)])
        np.testing.assert_allclose(one, 8.0)
        np.testing.assert_allclose(other, 10.0)


def test_wrong_leaves():
    program = mlp()
    for leaves in ([np.zeros((2, 4), np.float32)], [np.zeros((1, 1, 3), np.float32)], [np.zeros((1, 3))] * 2):
        with pytest.raises(ValueError, match="leaves"):
            program(leaves)


def test_normalization_clips_and_floors():
    weights = [[3], [3]]
    node = {"op": "normalization", "inputs": [0], "weights": [0, 1], "epsilon": 0.5, "clip": 2.0}
    program = Program(config([node], [1], weights), [[1.0, 1.0, 1.0], [4.0, 0.0, 0.01]])
    x = np.array([[3.0, 1.5, -9.0]], np.float32)
    for rows in (x, np.repeat(x, 3, 0)):
        np.testing.assert_allclose(program([rows])[0][-1], [1.0, 1.0, -2.0], atol=1e-6)
    node = {"op": "normalization", "inputs": [0], "weights": [0, 1], "epsilon": 0.0, "variance_epsilon": 1.0}
    program = Program(config([node], [1], weights), [[1.0, 1.0, 1.0], [3.0, 0.0, 8.0]])
    np.testing.assert_allclose(program([x])[0], [[1.0, 0.5, -10.0 / 3.0]], atol=1e-6)


def test_casts_and_slices():
    inputs = [{"shape": [4], "dtype": "uint8"}]
    nodes = [
        {"op": "slice", "inputs": [0], "start": 1, "stop": 3},
        {"op": "cast", "inputs": [1], "dtype": "float32"},
        {"op": "concatenate", "inputs": [0, 2]},
    ]
    program = Program(config(nodes, [1, 2, 3], inputs=inputs))
    x = np.array([[1, 200, 3, 4]], np.uint8)
    part, cast, both = program([x])
    assert part.dtype == np.uint8 and cast.dtype == both.dtype == np.float32
    assert part.tolist() == [[200, 3]] and both.tolist() == [[1.0, 200.0, 3.0, 4.0, 200.0, 3.0]]


def test_memory_of_many_batch_sizes_is_bounded():
    program = mlp()
    for count in range(1, 200):
        program([np.zeros((count, 3), np.float32)])
    assert len(program._kernels) <= 16


BAD = {
    "not a dict": [],
    "missing key": {key: value for key, value in MLP.items() if key != "weights"},
    "unknown op": config([{"op": "__import__", "inputs": [0]}], [1]),
    "op not a string": config([{"op": ["dense"], "inputs": [0]}], [1]),
    "node not a dict": config([3], [1]),
    "weight out of range": config([dense(0, 0, 7)], [1], [[3, 4]]),
    "negative weight": config([dense(0, -1)], [1], [[3, 4]]),
    "value of the future": config([dense(1, 0)], [1], [[3, 4]]),
    "value a bool": config([dense(True, 0)], [1], [[3, 4]]),
    "value a float": config([dense(0.0, 0)], [1], [[3, 4]]),
    "output out of range": config(outputs=[4]),
    "no outputs": config(outputs=[]),
    "no inputs": config(inputs=[], outputs=[0]),
    "kernel does not fit": config([dense(0, 0)], [1], [[5, 4]]),
    "bias does not fit": config([dense(0, 0, 1)], [1], [[3, 4], [3]]),
    "unknown activation": config([dense(0, 0, activation="os.system")], [1], [[3, 4]]),
    "activation not hashable": config([dense(0, 0, activation=["relu"])], [1], [[3, 4]]),
    "giant weights": config([dense(0, 0)], [1], [[3, 1 << 40]]),
    "giant in sum": config(weights=[[1 << 26]] * 4),
    "giant input": config(inputs=[{"shape": [1 << 20, 1 << 20], "dtype": "float32"}]),
    "negative dimension": config(weights=[[-3, 4]]),
    "dimension of zero": config(weights=[[0]]),
    "float dimension": config(weights=[[3.0]]),
    "shape a string": config(weights=["34"]),
    "rank of 100": config(weights=[[1] * 100]),
    "giant one-hot": config(
        [{"op": "one_hot", "inputs": [0], "nvec": [1 << 40]}], [1], inputs=[{"shape": [], "dtype": "int32"}]
    ),
    "giant concatenation": config([{"op": "concatenate", "inputs": [i] * 1000} for i in range(12)], [12]),
    "giant broadcasting": config(
        [{"op": "add", "inputs": [0, 1]}],
        [2],
        inputs=[{"shape": [1 << 15, 1], "dtype": "float32"}, {"shape": [1 << 15], "dtype": "float32"}],
    ),
    "object dtype": config(inputs=[{"shape": [3], "dtype": "O"}]),
    "structured dtype": config(inputs=[{"shape": [3], "dtype": "f4,f4"}]),
    "unknown dtype": config(inputs=[{"shape": [3], "dtype": "evil"}]),
    "dtype not a string": config(inputs=[{"shape": [3], "dtype": {"a": 1}}]),
    "too many nodes": config([{"op": "identity", "inputs": [0]}] * 10_001, [1]),
    "reshape does not fit": config([{"op": "reshape", "inputs": [0], "shape": [2, -1]}], [1]),
    "reshape by zero": config([{"op": "reshape", "inputs": [0], "shape": [0, -1]}], [1]),
    "transpose twice the same": config([{"op": "transpose", "inputs": [0], "order": [0, 0]}], [1]),
    "transpose without an order": config([{"op": "transpose", "inputs": [0]}], [1]),
    "reshape twice open": config([{"op": "reshape", "inputs": [0], "shape": [-1, -1]}], [1]),
    "slice outside": config([{"op": "slice", "inputs": [0], "start": 0, "stop": 4}], [1]),
    "clip of NaN": config([{"op": "clip", "inputs": [0], "low": float("nan"), "high": 1.0}], [1]),
    "clip reversed": config([{"op": "clip", "inputs": [0], "low": 2.0, "high": 1.0}], [1]),
    "rescaling by text": config([{"op": "rescaling", "inputs": [0], "scale": "x", "offset": 0.0}], [1]),
    "rescaling too long": config([{"op": "rescaling", "inputs": [0], "scale": [1.0] * 4, "offset": 0.0}], [1]),
    "cast to object": config([{"op": "cast", "inputs": [0], "dtype": "O"}], [1]),
    "axis outside": config([{"op": "concatenate", "inputs": [0, 0], "axis": 3}], [1]),
    "axes twice": config([{"op": "layer_normalization", "inputs": [0], "axes": [0, 0]}], [1]),
    "normalization without epsilon": config(
        [{"op": "normalization", "inputs": [0], "mean": 0.0, "variance": 0.0, "epsilon": 0.0}], [1]
    ),
    "merge does not fit": config(
        [{"op": "add", "inputs": [0, 1]}], [2], inputs=[{"shape": [n], "dtype": "float32"} for n in (2, 3)]
    ),
    "merge without inputs": config([{"op": "add", "inputs": []}], [1]),
    "subtract three": config([{"op": "subtract", "inputs": [0, 0, 0]}], [1]),
    "softmax of scalars": config(
        [{"op": "activation", "inputs": [0], "name": "softmax"}], [1], inputs=[{"shape": [], "dtype": "float32"}]
    ),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_configs_are_refused_before_memory_is_taken(name):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError):
            Program(BAD[name])
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_no_operation_takes_a_node_without_its_parts():
    for op in OPERATIONS:
        for inputs in ([], [0, 0, 0]):
            for weights in ([], [0] * 5):
                node = {"op": op, "inputs": inputs, "weights": weights}
                several = op in ("concatenate", "add", "multiply", "average", "maximum", "minimum")
                if several and inputs and not weights:
                    continue
                with pytest.raises(ValueError):
                    Program(config([node], [1], [[3]]))


def test_the_config_is_json_and_not_changed():
    before = copy.deepcopy(MLP)
    program = Program(json.loads(json.dumps(MLP)))
    program([np.zeros((1, 3), np.float32)])
    assert program.config == before == MLP
    assert "2 operations, 26 weights" in repr(program)
