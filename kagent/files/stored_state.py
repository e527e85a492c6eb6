"""The entry of a weights file that says of which agent it is and how far that was: read with HDF5 alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kagent.files import json_arrays

FORMAT = 2  # 1: every array of the state is text, and the algorithm is not said
_LARGEST = 1 << 30  # bytes of one entry


def read_state(store: Any) -> dict[str, Any]:
    """The state in a store's entries `state` and `state.0`, `state.1` ...

    Raises:
        ValueError: Damaged, too large, or written by a newer kagent.
        KeyError: An entry is missing.
    """
    state = json_arrays.load(read_text(store, "state"), arrays_of(store))
    form = state.get("format") if isinstance(state, dict) else None
    if not isinstance(form, int) or form > FORMAT:
        raise ValueError(f"The file was written by a newer kagent: its format is {form!r}, this one's is {FORMAT}")
    return state


def arrays_of(store: Any) -> Callable[[int], np.ndarray]:
    """The arrays of a state by number, for `json_arrays.load`."""
    return lambda number: np.frombuffer(read_text(store, f"state.{number}"), np.uint8)


def read_text(store: Any, key: str) -> bytes:
    """The bytes of one entry.

    Raises:
        ValueError: There are more than 1 GiB.
    """
    entry = store[key]
    if getattr(entry, "size", 0) > _LARGEST:
        raise ValueError(f"Refusing to read {key!r}: {entry.size} bytes, more than {_LARGEST}")
    return np.asarray(entry, np.uint8).tobytes()
