"""Nested state with arrays in it, as JSON and byte strings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

_INLINE = 1 << 10  # bytes; larger arrays are not written as text where they can be avoided
_KINDS = "fiub"


def dump(state: dict[str, Any], large: list[np.ndarray] | None = None) -> bytes:
    """State as JSON. An array becomes `{"array": [...], "dtype": ..., "shape": ...}`.

    Args:
        state: Nested dicts and lists of JSON values, NumPy scalars and numeric arrays.
        large: Where given, takes the bytes of arrays of more than 1 KiB, as uint8 `(n,)`. They become
            `{"entry": index in large, "dtype": ..., "shape": ...}`.

    Raises:
        TypeError: The state holds something else.

    Example:

    >>> dump({"a": np.arange(2)})
    b'{"a": {"array": [0, 1], "dtype": "int64", "shape": [2]}}'
    """

    def default(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            about = {"dtype": value.dtype.name, "shape": list(value.shape)}
            if large is None or value.nbytes <= _INLINE or value.dtype.kind not in _KINDS:
                return {"array": value.tolist(), **about}
            native = np.ascontiguousarray(value, value.dtype.newbyteorder("="))
            large.append(native.reshape(-1).view(np.uint8))
            return {"entry": len(large) - 1, **about}
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"Cannot save a {type(value).__name__} of an environment's state: {value!r}")

    return json.dumps(state, default=default).encode()


def load(data: bytes, large: Callable[[int], np.ndarray] | None = None) -> dict[str, Any]:
    """The inverse of `dump`.

    Args:
        data: What `dump` returned.
        large: Gives the bytes of the large array of an index.

    Raises:
        ValueError: Not JSON, arrays of other than numbers, or a shape that is not that of the bytes.
    """

    def array(value: dict[str, Any]) -> np.ndarray:
        dtype, shape = np.dtype(value["dtype"]), [int(size) for size in value["shape"]]
        if dtype.kind not in _KINDS:
            raise ValueError(f"Refusing an array of dtype {dtype} in a saved environment state")
        if "array" in value:
            if np.asarray(value["array"]).dtype.kind not in _KINDS:  # as bool, any text would be True
                raise ValueError(f"An array of {dtype} must be a list of numbers. Received: {value['array']!r}"[:200])
            return np.asarray(value["array"], dtype).reshape(shape)
        found = np.zeros(0, np.uint8) if large is None else large(int(value["entry"]))
        needed = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or (found.dtype, found.shape) != (np.uint8, (needed,)):
            raise ValueError(f"An array {shape} of {dtype} must be {needed} bytes. Received: {found.nbytes}")
        return np.frombuffer(found.tobytes(), dtype).reshape(shape)

    def hook(value: dict[str, Any]) -> Any:
        return array(value) if set(value) in ({"array", "dtype", "shape"}, {"entry", "dtype", "shape"}) else value

    result: dict[str, Any] = json.loads(data.decode(), object_hook=hook)
    return result
