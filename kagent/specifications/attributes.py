"""The attributes of a description, read and checked: names, types, shapes and arrays of numbers."""

from __future__ import annotations

import difflib
import itertools
import math
import numbers
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

Where = tuple[str | int, ...]
"""The argument, `"states"` or `"actions"` (or `"space"`, on the way back), then the names and indices inside it."""

Description = Mapping[str, Any]
Reader = Callable[[Any, str], Any]
"""Checks one number; given it and its path."""

ATTRIBUTES_OF = {
    "bool": ("type", "shape"),
    "int": ("type", "shape", "num_values", "start", "dtype"),
    "float": ("type", "shape", "min_value", "max_value", "dtype"),
}
ATTRIBUTES = tuple(dict.fromkeys(itertools.chain(*ATTRIBUTES_OF.values())))
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_DTYPES_OF = {"int": _INTEGERS, "float": ("float16", "float32", "float64", *_INTEGERS, "bool")}
DEFAULT_DTYPES = {"int": "int64", "float": "float32"}
_MAX_RANK = 32
_MAX_SIZE = 1 << 26  # elements, as of a space read from a file: what can be described can be saved and loaded


class _Repr(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        # Python itself refuses to write integers of thousands of digits.
        return super().repr_int(x, level) if x.bit_length() < 4096 else f"an integer of {x.bit_length()} bits"


short = _Repr()
"""`short.repr(value)`: whatever is received, a message stays readable, and nothing nested too deeply breaks it."""
short.maxstring = short.maxother = 80


def say(where: Where, attribute: str = "") -> str:
    """A place as messages name it: `states['arm']['angle'].min_value`."""
    return f"{where[0]}{''.join(f'[{part!r}]' for part in where[1:])}{'.' if attribute else ''}{attribute}"


def received(value: Any) -> str:
    """The end of a message that shows a value."""
    return f"Received: {short.repr(value)} ({type(value).__name__})"


def known(names: Iterable[str], name: Any) -> str:
    """The known names, and the one that `name` may be a misspelling of."""
    names = list(names)
    close = difflib.get_close_matches(name[:80] if isinstance(name, str) else "", names, n=1)
    return f"Known: {', '.join(names)}" + (f". Did you mean {close[0]!r}?" if close else "")


def given(description: Description, where: Where) -> tuple[str, dict[str, Any]]:
    """The type of a description and its attributes that are not None, all of them allowed with that type."""
    for name in description:
        if name not in ATTRIBUTES:
            raise ValueError(
                f"`{say(where)}` has an unknown attribute. Received: {short.repr(name)}. {known(ATTRIBUTES, name)}"
            )
    present = {name: value for name, value in description.items() if value is not None}
    kind = _kind(present, where)
    for name in present:
        if name not in ATTRIBUTES_OF[kind]:
            owners = " or ".join(repr(owner) for owner, names in ATTRIBUTES_OF.items() if name in names)
            raise ValueError(
                f"`{say(where, name)}` is for type {owners} only. Received: type {kind!r}. "
                f"Allowed with it: {', '.join(ATTRIBUTES_OF[kind])}"
            )
    return kind, present


def _kind(present: Description, where: Where) -> str:
    allowed = f"Allowed: {', '.join(map(repr, ATTRIBUTES_OF))}"
    name = present.get("type", "float")
    if "type" not in present and where[0] == "actions":
        raise ValueError(f"`{say(where, 'type')}` is required. Received: only {list(present)}. {allowed}")
    if not isinstance(name, str):
        raise TypeError(f"`{say(where, 'type')}` must be a string. {received(name)}. {allowed}")
    if name == "long":
        return "int"
    if name not in ATTRIBUTES_OF:
        raise ValueError(
            f"`{say(where, 'type')}` is unknown. Received: {short.repr(name)}. {known(ATTRIBUTES_OF, name)}"
        )
    return name


def dtype_of(present: Description, kind: str, where: Where) -> np.dtype:
    """The description's dtype, or the default one of its type."""
    name = present.get("dtype", DEFAULT_DTYPES[kind])
    if not isinstance(name, str):
        raise TypeError(
            f"`{say(where, 'dtype')}` must be a string. {received(name)}. Allowed: {', '.join(_DTYPES_OF[kind])}"
        )
    if name not in _DTYPES_OF[kind]:
        raise ValueError(
            f"`{say(where, 'dtype')}` is no dtype of type {kind!r}. Received: {short.repr(name)}. "
            f"{known(_DTYPES_OF[kind], name)}"
        )
    return np.dtype(name)


def is_integer(value: Any) -> bool:
    """Whether a value is an integer, and no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def shape_of(present: Description, where: Where) -> tuple[int, ...]:
    """The description's shape: small enough to be allocated."""
    path = say(where, "shape")
    if "shape" not in present and where[0] == "states":
        raise ValueError(
            f"`{path}` is required. Received: only {list(present)}. Allowed: integers > 0, () for a scalar"
        )
    value = present.get("shape", ())
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if is_integer(value):
        value = (value,)
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | Mapping | Set):
        raise TypeError(f"`{path}` must be an integer > 0 or an iterable of such. {received(value)}")
    sizes = tuple(itertools.islice(value, _MAX_RANK + 1))
    for size in sizes:
        if not is_integer(size):
            raise TypeError(f"`{path}` must consist of integers > 0. {received(size)} in {short.repr(sizes)}")
    if len(sizes) > _MAX_RANK:
        raise ValueError(f"`{path}` must have at most {_MAX_RANK} dimensions. Received: {len(sizes)} or more")
    if min(sizes, default=1) < 1:
        raise ValueError(f"`{path}` must consist of integers > 0. Received: {short.repr(sizes)}")
    shape = tuple(int(size) for size in sizes)
    if math.prod(shape) > _MAX_SIZE:
        raise ValueError(f"`{path}` must have at most {_MAX_SIZE} elements. Received: {short.repr(shape)}")
    return shape


def numbers_of(value: Any, shape: tuple[int, ...], path: str, read: Reader) -> list[Any]:
    """What `read` returns for one number, that stands for all components, or for each of an array of `shape`.

    Returns:
        A list of one, or a flat one of all.

    Raises:
        ValueError: An array of another shape.
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return _flat(value, shape if _is_array(value) else (), path, read)


def _is_array(value: Any) -> bool:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)


def _flat(value: Any, shape: tuple[int, ...], path: str, read: Reader) -> list[Any]:
    if not shape:
        return [read(value, path)]
    if not _is_array(value) or len(value) != shape[0]:
        raise ValueError(
            f"`{path}` must be of shape {shape}. {received(value)}. "
            "Allowed: an array of the description's shape, or one number for all components"
        )
    return [number for index, part in enumerate(value) for number in _flat(part, shape[1:], f"{path}[{index}]", read)]


def array_of(flat: list[Any], shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The numbers that `numbers_of` returned as an array."""
    return np.full(shape, flat[0], dtype) if len(flat) == 1 else np.array(flat, dtype).reshape(shape)
