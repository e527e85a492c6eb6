"""Observation and action spaces as a NumPy-only process sees them: read from JSON, without gymnasium.

The JSON is that of `kagent.spaces.to_config`, and comes from files nobody vouches for: everything is checked
before an array of that size is made.
"""

from __future__ import annotations

import dataclasses
import math
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

Path = tuple[str | int, ...]
MAX_SIZE = 1 << 26  # numbers in one leaf
_MAX_DEPTH = 32
_MAX_RANK = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Leaf:
    """One basic space; the attributes are those of `kagent.spaces.Leaf`, which may stand in its place.

    Attributes:
        path: Keys and indices that lead to it.
        kind: `"box"`, `"discrete"`, `"multi_discrete"` or `"multi_binary"`.
        shape: Shape of one element; `()` for `Discrete`.
        dtype: The environment's dtype.
        low, high: Bounds of a box, of `shape`; None for other kinds.
        nvec, start: Number of values and first value of each component, int64 of `shape`; None for a box.
    """

    path: Path
    kind: str
    shape: tuple[int, ...]
    dtype: np.dtype
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    nvec: np.ndarray | None = None
    start: np.ndarray | None = None

    # What explorations read, which get leaves of either class.

    @property
    def name(self) -> str:
        """The path in words."""
        return name(self)

    @property
    def size(self) -> int:
        """Number of scalars in one element."""
        return math.prod(self.shape)

    @property
    def is_discrete(self) -> bool:
        """Whether it is no box."""
        return self.kind != "box"

    @property
    def is_bounded(self) -> bool:
        """Whether every component of a box has finite bounds."""
        return self.low is not None and self.high is not None and is_finite(self.low) and is_finite(self.high)

    @property
    def num_values(self) -> int:
        """Sum of `nvec`; 0 for a box."""
        return 0 if self.nvec is None else int(self.nvec.sum())


def name(leaf: Any) -> str:
    """The path of a leaf in words."""
    return "/".join(map(str, leaf.path))


def stored_dtype(leaf: Any) -> np.dtype:
    """What the network is fed: int32 indices (int64 beyond), float32 for floats, other integers unchanged."""
    if leaf.nvec is not None:
        return np.dtype(np.int32 if leaf.nvec.max(initial=0) < 2**31 else np.int64)
    if leaf.dtype.kind == "f":
        return np.dtype(np.float32)
    return np.dtype(np.uint8) if leaf.dtype.kind == "b" else leaf.dtype


def is_finite(array: np.ndarray) -> bool:
    """Whether all numbers are finite, quickly where they are few."""
    if array.size <= 32 and math.isfinite(sum(array.ravel().tolist())):  # a sum with NaN or inf is not finite
        return True
    return bool(np.isfinite(array).all())


def encode(leaf: Any, value: Any, role: str = "observation") -> np.ndarray:
    """One environment value in stored form, checked.

    Args:
        leaf: The leaf it belongs to.
        value: Array-like of `leaf.shape`.
        role: Word for error messages.

    Returns:
        `(*leaf.shape)` in `stored_dtype`; may share memory with `value`.

    Raises:
        ValueError: Wrong shape, not numbers, not finite, or outside the values of a discrete leaf or integer
            dtype.
    """
    where = f"`{role}`" + (f" at {name(leaf)!r}" if leaf.path else "")
    try:
        array = np.asarray(value)
    except ValueError as error:  # ragged nesting
        raise ValueError(f"{where} must be an array of shape {leaf.shape}. Received: {value!r}") from error
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{where} must hold numbers, of dtype {leaf.dtype}. Received: dtype {array.dtype}, {value!r}")
    if array.shape != leaf.shape:
        batch = array.shape[1:] == leaf.shape
        hint = "; `act` takes one observation without a batch axis" if batch else ""
        raise ValueError(f"{where} must have shape {leaf.shape}. Received: shape {array.shape}{hint}")
    dtype = stored_dtype(leaf)
    if leaf.nvec is not None:
        return _indices(leaf, array, dtype, where)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            stored = array.astype(dtype, copy=False)
        if not is_finite(stored):
            raise ValueError(f"{where} must be finite (in float32). Received: {value!r}")
        return stored
    if array.dtype == dtype:
        return array
    bounds = np.iinfo(dtype)
    if array.dtype.kind == "f" and not (array == np.floor(array)).all():
        raise ValueError(f"{where} must hold integers, of dtype {leaf.dtype}. Received: {value!r}")
    if array.min() < bounds.min or array.max() > bounds.max:
        raise ValueError(f"{where} must be within [{bounds.min}, {bounds.max}]. Received: {value!r}")
    return array.astype(dtype)


def _indices(leaf: Any, array: np.ndarray, dtype: np.dtype, where: str) -> np.ndarray:
    if array.dtype.kind == "f" and not (array == np.floor(array)).all():
        raise ValueError(f"{where} must hold integers. Received: {array!r}")
    index = array.astype(np.int64) - leaf.start
    if not ((index >= 0) & (index < leaf.nvec)).all():
        first, last = leaf.start.tolist(), (leaf.start + leaf.nvec - 1).tolist()
        raise ValueError(f"{where} must be from {first} to {last}. Received: {array.tolist()!r}")
    result: np.ndarray = index.astype(dtype)
    return result


def allowed(leaf: Any, mask: Any) -> np.ndarray:
    """A mask as environments give it, flat.

    Args:
        leaf: A discrete leaf.
        mask: Booleans or 0/1: one array with `sum(nvec)` entries, or (as gymnasium has it for
            `MultiDiscrete`) a tuple of one array per component, nested as `nvec`; for `MultiBinary` also
            gymnasium's form, one entry per component, 0 or 1 for the only value allowed, 2 for both.

    Returns:
        Bool `(sum(nvec),)`, True where allowed, components side by side.

    Raises:
        ValueError: Not a mask of this leaf, or a component without an allowed value.
    """
    where = "`mask`" + (f" at {name(leaf)!r}" if leaf.path else "")
    if leaf.nvec is None:
        raise ValueError(f"{where} must be None: a Box action has no mask. Received: {mask!r}")
    nvec = leaf.nvec.ravel()
    total = int(nvec.sum())
    if isinstance(mask, np.ndarray) and mask.shape == (total,):
        flat = mask
    else:
        flat = _joined(leaf, mask, nvec, where)
    if flat.dtype.kind not in "biuf" or flat.shape != (total,) or not _is_binary(flat):
        sizes = nvec.tolist()
        raise ValueError(f"{where} must be {total} booleans, for components of {sizes} values. Received: {mask!r}")
    flat = flat.astype(np.bool_)
    some = flat.any(keepdims=True) if nvec.size == 1 else np.logical_or.reduceat(flat, np.cumsum(nvec) - nvec)
    if not some.all():
        component = f" of component {int(some.argmin())}" if nvec.size > 1 else ""
        raise ValueError(f"{where} allows no value{component}: at least one must be True. Received: {mask!r}")
    return flat


def _is_binary(flat: np.ndarray) -> bool:
    return flat.dtype.kind == "b" or bool(((flat == 0) | (flat == 1)).all())


def _joined(leaf: Any, mask: Any, nvec: np.ndarray, where: str) -> np.ndarray:
    parts = _parts(mask)
    if leaf.kind == "multi_discrete" and len(parts) > 1 and any(np.ndim(part) for part in parts):
        sizes = [np.size(part) for part in parts]
        if sizes != nvec.tolist():
            raise ValueError(f"{where} must have components of {nvec.tolist()} entries. Received: {sizes}")
    flat = np.concatenate([np.ravel(part) for part in parts]) if parts else np.empty(0)
    if leaf.kind == "multi_binary" and flat.shape == nvec.shape and np.isin(flat, (0, 1, 2)).all():
        flat = np.stack([flat != 1, flat != 0], axis=-1).ravel()
    return flat


def _parts(mask: Any) -> list[Any]:
    if isinstance(mask, tuple | list):
        return [part for child in mask for part in _parts(child)]
    return [mask]


class Layout:
    """The leaves of a space and how they are nested.

    Args:
        config: What `kagent.spaces.to_config(space)` gives.
        role: Word for error messages: `"observation"` or `"action"`.

    Raises:
        ValueError: Not such a dict, or too large.

    Example:

    >>> layout = Layout({"type": "Dict", "spaces": [["go", {"type": "Discrete", "n": 3, "start": 1}]]})
    >>> layout.flatten({"go": 2}), layout.unflatten([2])
    ([2], {'go': 2})
    """

    def __init__(self, config: dict[str, Any], role: str = "observation"):
        self.config = config
        self.role = role
        try:
            self._tree = _read(config, (), 0)
        except (TypeError, KeyError, OverflowError) as error:
            raise ValueError(
                f"Not the description of a space for `{role}`. Received: {reprlib.repr(config)}"
            ) from error
        self.leaves: tuple[Leaf, ...] = tuple(_leaves(self._tree))
        if not self.leaves:
            raise ValueError(f"The space of `{role}` has no leaves. Received: {reprlib.repr(config)}")

    @property
    def is_nested(self) -> bool:
        return not isinstance(self._tree, Leaf)

    def flatten(self, value: Any) -> list[Any]:
        """The parts of a nested value, in the order of `leaves`.

        Raises:
            ValueError: Nested otherwise than the space.
        """
        if isinstance(self._tree, Leaf):
            return [value]
        flat: list[Any] = []
        _flatten(self._tree, value, (), flat, self.role, partial=False)
        return flat

    def has_key(self, key: str) -> bool:
        """Whether the space is a `Dict` with this key."""
        return self.is_nested and self._tree[0] == "Dict" and key in self._tree[1]

    def flatten_masks(self, mask: Any) -> list[np.ndarray | None] | None:
        """Masks nested as the space, None where a part has none, as one flat bool array (or None) per leaf.

        Raises:
            ValueError: As `allowed`, or nested otherwise than the space.
        """
        if mask is None:
            return None
        parts: list[Any] = []
        _flatten(self._tree, mask, (), parts, "mask", partial=True)
        return [None if part is None else allowed(leaf, part) for leaf, part in zip(self.leaves, parts)]

    def unflatten(self, parts: Sequence[Any]) -> Any:
        """The inverse of `flatten`."""
        return _unflatten(self._tree, iter(parts))


def describe(leaf: Any) -> dict[str, Any]:
    """A leaf as the dict that `Layout` reads, without its path."""
    if leaf.kind == "box":
        bounds = {key: _numbers(getattr(leaf, key)) for key in ("low", "high")}
        return {"type": "Box", "shape": list(leaf.shape), "dtype": np.dtype(leaf.dtype).name, **bounds}
    if leaf.kind == "discrete":
        return {"type": "Discrete", "n": int(leaf.nvec), "start": int(leaf.start), "dtype": np.dtype(leaf.dtype).name}
    if leaf.kind == "multi_binary":
        return {"type": "MultiBinary", "n": list(leaf.shape)}
    dtype = np.dtype(leaf.dtype).name
    return {"type": "MultiDiscrete", "nvec": leaf.nvec.tolist(), "start": leaf.start.tolist(), "dtype": dtype}


def tuple_of(leaves: Iterable[Any]) -> dict[str, Any]:
    """The description of one leaf, or of a tuple of several."""
    described = [describe(leaf) for leaf in leaves]
    return described[0] if len(described) == 1 else {"type": "Tuple", "spaces": described}


def _numbers(array: np.ndarray) -> Any:
    flat = [v if not isinstance(v, float) or math.isfinite(v) else str(v) for v in np.ravel(array).tolist()]
    return flat[0] if all(v == flat[0] for v in flat) else flat


# A tree is a Leaf, ("Dict", {key: tree}) or ("Tuple", [tree]).
def _read(config: Any, path: Path, depth: int) -> Any:
    if not isinstance(config, dict) or depth > _MAX_DEPTH:
        raise ValueError(f"A space must be a dict, nested {_MAX_DEPTH} deep at most. Received: {reprlib.repr(config)}")
    kind = config.get("type")
    if kind == "Dict":
        return "Dict", {key: _read(child, (*path, key), depth + 1) for key, child in config["spaces"]}
    if kind == "Tuple":
        return "Tuple", [_read(child, (*path, i), depth + 1) for i, child in enumerate(config["spaces"])]
    if kind == "Box":
        shape, dtype = _shape(config["shape"]), _dtype(config["dtype"])
        low, high = (_bounds(config[key], shape, dtype) for key in ("low", "high"))
        return Leaf(path, "box", shape, dtype, low=low, high=high)
    if kind == "Discrete":
        nvec, start = _integers([config["n"]]).reshape(()), _integers([config["start"]]).reshape(())
        leaf = Leaf(path, "discrete", (), _dtype(config.get("dtype", "int64")), nvec=nvec, start=start)
    elif kind == "MultiDiscrete":
        nvec = _integers(config["nvec"])
        start = _integers(config["start"])
        leaf = Leaf(path, "multi_discrete", nvec.shape, _dtype(config["dtype"]), nvec=nvec, start=start)
    elif kind == "MultiBinary":
        shape = _shape(config["n"])
        nvec, start = (np.broadcast_to(np.int64(n), shape) for n in (2, 0))
        leaf = Leaf(path, "multi_binary", shape, np.dtype(np.int8), nvec=nvec, start=start)
    else:
        known = "Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple"
        raise ValueError(f"Unknown type of space. Received: {kind!r}. Allowed: {known}")
    assert leaf.nvec is not None and leaf.start is not None
    if leaf.nvec.size == 0 or leaf.nvec.min() < 1 or leaf.start.shape != leaf.nvec.shape:
        raise ValueError(f"Numbers of values must be > 0, each with its start. Received: {reprlib.repr(config)}")
    return leaf


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or len(value) > _MAX_RANK:
        raise ValueError(f"A shape must be a list of up to {_MAX_RANK} integers. Received: {reprlib.repr(value)}")
    if not all(type(n) is int and n > 0 for n in value) or math.prod(value) > MAX_SIZE:
        raise ValueError(f"A shape must be integers > 0, with a product of at most {MAX_SIZE}. Received: {value}")
    return tuple(value)


def _dtype(value: Any) -> np.dtype:
    if not isinstance(value, str) or np.dtype(value).kind not in "fiub":
        raise ValueError(f"A dtype must be the name of a number's. Received: {value!r}")
    return np.dtype(value)


def _integers(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or array.size > MAX_SIZE:
        raise ValueError(f"Expected integers. Received: {reprlib.repr(value)}")
    return array.astype(np.int64)


def _bounds(value: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if not isinstance(value, list):
        # A view: a few bytes of JSON must not fill gigabytes.
        return np.broadcast_to(np.asarray(float(value) if isinstance(value, str) else value, dtype), shape)
    return np.asarray([float(v) if isinstance(v, str) else v for v in value], dtype).reshape(shape)


def _leaves(tree: Any) -> Iterator[Leaf]:
    if isinstance(tree, Leaf):
        yield tree
    else:
        for child in tree[1].values() if tree[0] == "Dict" else tree[1]:
            yield from _leaves(child)


def _flatten(tree: Any, value: Any, path: Path, flat: list[Any], role: str, partial: bool) -> None:
    where = f"`{role}`" + (f" at {'/'.join(map(str, path))!r}" if path else "")
    if isinstance(tree, Leaf):
        flat.append(value)
    elif partial and value is None:
        flat.extend(None for _ in _leaves(tree))
    elif tree[0] == "Dict":
        children = tree[1]
        keys = set(value.keys()) if hasattr(value, "keys") else None
        if keys is None or keys - set(children) or (set(children) - keys and not partial):
            received = type(value).__name__ if keys is None else sorted(map(str, keys))
            raise ValueError(f"{where} must be a dict with keys {list(children)}. Received: {received}")
        for key, child in children.items():
            _flatten(child, value.get(key) if partial else value[key], (*path, key), flat, role, partial)
    else:
        children = tree[1]
        if not isinstance(value, tuple | list) or len(value) != len(children):
            received = f"{len(value)} entries" if isinstance(value, tuple | list) else type(value).__name__
            raise ValueError(f"{where} must be a tuple of {len(children)} entries. Received: {received}")
        for index, child in enumerate(children):
            _flatten(child, value[index], (*path, index), flat, role, partial)


def _unflatten(tree: Any, parts: Iterator[Any]) -> Any:
    if isinstance(tree, Leaf):
        return next(parts)
    if tree[0] == "Dict":
        return {key: _unflatten(child, parts) for key, child in tree[1].items()}
    return tuple(_unflatten(child, parts) for child in tree[1])
