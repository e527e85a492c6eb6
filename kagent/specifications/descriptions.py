"""One description to one space that is not nested, and back."""

from __future__ import annotations

import math
import numbers
from typing import Any

import gymnasium
import numpy as np

from kagent.spaces import SUPPORTED, Bool
from kagent.specifications import attributes
from kagent.specifications.attributes import DEFAULT_DTYPES, Description, Where, received, say, short

Shape = tuple[int, ...]


def to_leaf(description: Description, where: Where) -> gymnasium.Space:
    """The space of one description.

    Args:
        description: Attributes.
        where: What leads to it. What it starts with, `"states"` or `"actions"`, says which attributes are required.

    Raises:
        TypeError, ValueError: As of `to_space`.
    """
    kind, present = attributes.given(description, where)
    shape = attributes.shape_of(present, where)
    if kind == "int":
        return _integers(present, shape, where)
    if kind == "float":
        return _box(present, shape, where)
    if not shape:
        return Bool()
    return gymnasium.spaces.MultiBinary(shape if len(shape) > 1 else shape[0])


def _integers(present: Description, shape: Shape, where: Where) -> gymnasium.Space:
    if "num_values" not in present:
        raise ValueError(
            f"`{say(where, 'num_values')}` is required for type 'int'. Received: only {list(present)}. "
            "Allowed: integers > 1"
        )
    dtype = attributes.dtype_of(present, "int", where)
    limits = np.iinfo(dtype)

    def read_within(least: int) -> attributes.Reader:
        def read(value: Any, path: str) -> int:
            if not attributes.is_integer(value):
                raise TypeError(f"`{path}` must be an integer. {received(value)}. Allowed: {least} to {limits.max}")
            if not least <= value <= limits.max:
                raise ValueError(
                    f"`{path}` is out of range. Received: {short.repr(value)}. Allowed: {least} to {limits.max}"
                )
            return int(value)

        return read

    counts = attributes.numbers_of(present["num_values"], shape, say(where, "num_values"), read_within(2))
    starts = attributes.numbers_of(present.get("start", 0), shape, say(where, "start"), read_within(int(limits.min)))
    size = max(len(counts), len(starts))
    pairs = zip(counts * (size // len(counts)), starts * (size // len(starts)))
    last = max(start + count - 1 for count, start in pairs)
    if last > limits.max:
        raise ValueError(f"`{say(where)}` has values that its dtype lacks. Received: {last} as {dtype}")
    if shape:
        nvec, first = (attributes.array_of(flat, shape, dtype) for flat in (counts, starts))
        return gymnasium.spaces.MultiDiscrete(nvec, start=first, dtype=dtype.type)
    # Older releases of gymnasium have no dtype here: it is int64.
    further = {} if dtype == np.int64 else {"dtype": dtype.type}
    return gymnasium.spaces.Discrete(counts[0], start=starts[0], **further)


def _box(present: Description, shape: Shape, where: Where) -> gymnasium.spaces.Box:
    dtype = attributes.dtype_of(present, "float", where)
    low, high = (_bound(present, name, shape, dtype, where) for name in ("min_value", "max_value"))
    meeting = np.argwhere(~(low < high)).tolist()
    if meeting:
        index = tuple(meeting[0])
        raise ValueError(
            f"`{say(where, 'min_value')}` must be less than `max_value` in every component. Received: "
            f"{low[index]} and {high[index]} as {dtype}" + (f", in component {meeting[0]}" if index else "")
        )
    # Of a signed integer box gymnasium remembers that a side is unbounded, and draws other samples.
    signed = dtype.kind == "i"
    below = -math.inf if signed and "min_value" not in present else low
    above = math.inf if signed and "max_value" not in present else high
    return gymnasium.spaces.Box(below, above, shape=shape, dtype=dtype.type)


def _bound(present: Description, name: str, shape: Shape, dtype: np.dtype, where: Where) -> np.ndarray:
    """`min_value` or `max_value` as array of `shape`: infinite, or an integer dtype's limit, where there is none."""
    least, most = _limits(dtype)
    infinite, limit = (-math.inf, least) if name == "min_value" else (math.inf, most)
    unbounded = infinite if dtype.kind == "f" else limit
    is_action = where[0] == "actions"

    def read(value: Any, path: str) -> float:
        if value is None:
            return unbounded
        if isinstance(value, bool) or not isinstance(value, numbers.Integral | float | np.floating):
            raise TypeError(f"`{path}` must be a number. {received(value)}. Allowed: {least} to {most}")
        value = int(value) if isinstance(value, numbers.Integral) else float(value)
        if value == infinite and not is_action:
            return unbounded
        if isinstance(value, float) and not math.isfinite(value):
            remedy = "; leave a bound out (None in an array) where there is none" if is_action else f", or {infinite}"
            raise ValueError(f"`{path}` must be finite. Received: {value}. Allowed: {least} to {most}{remedy}")
        if dtype.kind != "f" and value != int(value):
            raise ValueError(f"`{path}` must be whole, as {dtype} is. Received: {value}. Allowed: {least} to {most}")
        if not least <= value <= most:
            raise ValueError(
                f"`{path}` is out of {dtype}'s range. Received: {short.repr(value)}. Allowed: {least} to {most}"
            )
        return float(value) if dtype.kind == "f" else int(value)

    if name not in present:
        return np.full(shape, unbounded, dtype)
    return attributes.array_of(attributes.numbers_of(present[name], shape, say(where, name), read), shape, dtype)


def _limits(dtype: np.dtype) -> tuple[float, float]:
    if dtype.kind == "b":
        return 0, 1
    if dtype.kind == "f":
        return float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def of_leaf(space: gymnasium.Space, where: Where) -> dict[str, Any]:
    """The description of one space that is not nested: `to_leaf(of_leaf(space)) == space`.

    Raises:
        ValueError: As of `to_spec`.
    """
    spaces = gymnasium.spaces
    if not isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        raise ValueError(f"`{say(where)}` has no specification. Received: {type(space).__name__}. Allowed: {SUPPORTED}")
    dtype = np.dtype(space.dtype)
    if not dtype.isnative:
        raise ValueError(f"`{say(where)}` must be of native byte order. Received: {dtype.str}")
    shape = [int(size) for size in space.shape]
    attributes.shape_of({"shape": shape}, where)  # before lists of its size are made
    if isinstance(space, spaces.Box):
        description: dict[str, Any] = {"type": "float", "shape": shape, **_bounds(space, dtype, where)}
    elif isinstance(space, Bool):
        description = {"type": "bool", "shape": shape}
    elif isinstance(space, spaces.Discrete):
        description = {"type": "int", "shape": shape, "num_values": int(space.n)}
        if space.start != 0:
            description["start"] = int(space.start)
    elif not shape:
        raise ValueError(
            f"`{say(where)}` has no dimension, which a description has only of Discrete. Received: {space!r}"
        )
    elif isinstance(space, spaces.MultiBinary):
        description = {"type": "bool", "shape": shape}
    else:
        description = {"type": "int", "shape": shape, "num_values": _plain(space.nvec)}
        if space.start.any():
            description["start"] = _plain(space.start)
    kind = description["type"]
    if kind in DEFAULT_DTYPES and dtype.name != DEFAULT_DTYPES[kind]:
        description["dtype"] = dtype.name
    to_leaf(description, where)  # nothing is described that could not be made again
    return description


def _bounds(space: gymnasium.spaces.Box, dtype: np.dtype, where: Where) -> dict[str, Any]:
    bounds = {}
    for name, array, bounded in (
        ("min_value", space.low, space.bounded_below),
        ("max_value", space.high, space.bounded_above),
    ):
        if not bounded.any():
            continue
        if dtype.kind == "f":
            if (array == (math.inf if name == "min_value" else -math.inf)).any():
                raise ValueError(f"`{say(where, name)}` leaves no number. Received: {space}")
            array = np.where(np.isfinite(array), array.astype(object), None)
        bounds[name] = _plain(array.astype(int) if dtype.kind == "b" else array)
    return bounds


def _plain(array: np.ndarray) -> Any:
    # One number where all are equal: an image's bounds would fill a screen.
    first = array.flat[0]
    if (array == first).all():
        return first.item() if isinstance(first, np.generic) else first
    return array.tolist()
