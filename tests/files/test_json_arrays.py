"""Nested state as JSON, with large arrays beside it."""

import json

import numpy as np
import pytest

from kagent.files.json_arrays import dump, load

SMALL = np.arange(128.0)  # 1 KiB


def test_large_arrays_are_bytes_beside_the_text():
    state = {
        "a": np.arange(1000, dtype=np.int16).reshape(10, 100), "b": [SMALL, np.zeros((0, 3))], "c": SMALL.repeat(2) > 3,
        "big endian": np.arange(300, dtype=">i4"), "strided": np.arange(2000.0)[::-2],
    }  # fmt: skip
    large = []
    text = dump(state, large)
    assert len(text) < 6000 and [array.dtype for array in large] == [np.uint8] * 3
    assert [array.shape for array in large] == [(2000,), (1200,), (8000,)]
    back = load(text, lambda number: large[number])
    for name in ("a", "c", "big endian", "strided"):
        np.testing.assert_array_equal(back[name], state[name])
        assert back[name].dtype == state[name].dtype.newbyteorder("=")
    np.testing.assert_array_equal(back["b"][0], SMALL)
    assert back["b"][1].shape == (0, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [-1000]}, {"shape": [10**15]}, {"shape": [999]}, {"shape": [1000, -1]}, {"dtype": "float64"},
        {"dtype": "object"}, {"dtype": "U4"}, {"shape": ["a"]},
    ],
)  # fmt: skip
def test_bytes_that_are_not_the_array_are_refused(change):
    about = {"entry": 0, "dtype": "float32", "shape": [1000], **change}
    with pytest.raises(ValueError):
        load(json.dumps({"a": about}).encode(), lambda number: np.zeros(4000, np.uint8))


def test_without_the_bytes_there_is_no_array():
    with pytest.raises(ValueError, match=r"must be 4000 bytes\. Received: 0"):
        load(b'{"entry": 0, "dtype": "float32", "shape": [1000]}')


@pytest.mark.parametrize("text", ['"text"', '["text"]', '{"a": 1}', "null"])
@pytest.mark.parametrize("dtype", ["bool", "float64", "uint64"])
def test_an_array_is_made_of_numbers_alone(text, dtype):
    with pytest.raises(ValueError, match="must be a list of numbers"):
        load(f'{{"a": {{"array": {text}, "dtype": "{dtype}", "shape": [1]}}}}'.encode())
