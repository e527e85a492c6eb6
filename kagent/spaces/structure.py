"""gymnasium spaces as lists of leaves, and as JSON.

Everything behind the environment's boundary works on **leaves**: a nested space is walked once, in the space's own
order, and each `Box`, `Discrete`, `MultiDiscrete` or `MultiBinary` in it becomes one `Leaf` with a path. Arrays of
discrete leaves are **indices from 0** inside kagent; `start` is subtracted on the way in and added on the way out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np

Path = tuple[str | int, ...]
SUPPORTED = "Box, Discrete, MultiDiscrete, MultiBinary, and Dict or Tuple of these"
_LARGEST_BOUND = 1 << 24  # of pixels; float32 has no odd numbers above
_MAX_LEAF_SIZE = 1 << 26  # elements, or values of a discrete leaf; a space read from a file may not ask for more


class Bool(gymnasium.spaces.Discrete):
    """The choice between 0 and 1 of a specification of type "bool" and shape (): a `Discrete(2)`, equal to any other, whose
    type is known."""

    def __init__(self, seed: Any = None):
        super().__init__(2, seed=seed)


@dataclasses.dataclass(frozen=True, eq=False)
class Leaf:
    """One basic space inside a (nested) space.

    Attributes:
        path: Keys and indices that lead to it; `()` for a space that is not nested.
        kind: `"box"`, `"discrete"`, `"multi_discrete"` or `"multi_binary"`.
        shape: Shape of one element; `()` for `Discrete`.
        dtype: gymnasium's dtype of one element.
        low, high: Bounds of a box as arrays of `shape` (may be infinite); None for other kinds.
        nvec: Number of values of each component as int64 array of `shape`; None for a box.
        start: First value of each component, same shape; None for a box.
        type: `"bool"`, `"int"` or `"float"`: the type of a specification that describes it.
        keeps_scale: Whether networks take its numbers as they are, whatever its bounds say. They were standardized, for instance.
    """

    path: Path
    kind: str
    shape: tuple[int, ...]
    dtype: np.dtype
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    nvec: np.ndarray | None = None
    start: np.ndarray | None = None
    type: str = "float"
    keeps_scale: bool = False

    @property
    def name(self) -> str:
        """The path in words, `"camera/left"`; `""` for a space that is not nested."""
        return "/".join(str(part) for part in self.path)

    @property
    def size(self) -> int:
        """Number of scalars in one element."""
        return math.prod(self.shape)

    @property
    def is_discrete(self) -> bool:
        return self.kind != "box"

    @property
    def is_bounded(self) -> bool:
        """Whether every component of a box has a finite lower and upper bound."""
        if self.low is None or self.high is None:
            return False
        return bool(np.isfinite(self.low).all() and np.isfinite(self.high).all())

    @property
    def is_image(self) -> bool:
        """Whether automatic networks take it for an image, or for frames: a box of rank 3 or more; of rank 2 if it is of
        uint8 and has 36 pixels and more on each side. `kagent.spaces.images` says which axis is which."""
        if self.kind != "box":
            return False
        return len(self.shape) > 2 or (len(self.shape) == 2 and self.dtype == np.uint8 and min(self.shape) >= 36)

    @property
    def divisor(self) -> float | np.ndarray:
        """What automatic networks divide an image by, so that its numbers are from -1 to 1, and 0 stays 0: each number by the
        larger absolute value of its bounds.

        Numbers without finite bounds, with bounds beyond 2**24 (which are those of a dtype, not of pixels) or of 0 are not divided,
        nor is what `keeps_scale`. One number where it is the same for all, else an array that broadcasts to
        `shape`, with axes of length 1 along which it is the same. 1.0 of everything that is no image.
        """
        if not self.is_image or self.keeps_scale or self.low is None or self.high is None:
            return 1.0
        largest = np.maximum(*(np.abs(np.asarray(bound, np.float64)) for bound in (self.low, self.high)))
        found = np.where((largest > 0) & (largest <= _LARGEST_BOUND), largest, 1.0)
        for axis in range(found.ndim):
            first = found.take([0], axis)
            found = first if (found == first).all() else found
        return float(found.flat[0]) if found.size == 1 else found

    @property
    def num_values(self) -> int:
        """Sum of `nvec`: the width of the one-hot code, of the logits, and of a flat mask."""
        return 0 if self.nvec is None else int(self.nvec.sum())

    @property
    def stored_dtype(self) -> np.dtype:
        """The dtype kagent keeps elements in: indices are int32 (int64 beyond), floats are float32."""
        if self.nvec is not None:
            return np.dtype(np.int32 if self.nvec.size == 0 or self.nvec.max() < 2**31 else np.int64)
        if np.issubdtype(self.dtype, np.floating):
            return np.dtype(np.float32)
        return np.dtype(np.uint8) if self.dtype == np.bool_ else self.dtype

    def encode(self, value: Any) -> np.ndarray:
        """Environment value(s) of shape `(..., *shape)` to the stored form (a new or the same array)."""
        array = np.asarray(value)
        if self.start is not None:
            array = array - self.start if self.start.any() else array
        return array.astype(self.stored_dtype, copy=False)

    def decode(self, array: np.ndarray) -> np.ndarray:
        """Stored form of shape `(..., *shape)` to environment value(s)."""
        array = np.asarray(array)
        if self.start is not None and self.start.any():
            array = array + self.start
        return array.astype(self.dtype, copy=False)


class Structure:
    """A space with its leaves.

    Args:
        space: A gymnasium space. Supported: `Box`, `Discrete`, `MultiDiscrete`, `MultiBinary`, and any nesting of
            `Dict` and `Tuple`.
        role: Word used in error messages: `"observation_space"` or `"action_space"`.

    Attributes:
        leaves: Its leaves, in order; of a space that is not nested, the space itself.
        is_nested: Whether the space is a `Dict` or a `Tuple`.
        size: Scalars in one value, over all leaves.

    Raises:
        TypeError: `space` is not a gymnasium space.
        ValueError: It contains a space that is not supported, or no leaf at all.

    Example:

    >>> structure = Structure(gymnasium.spaces.Dict(a=gymnasium.spaces.Discrete(3, start=1)))
    >>> [leaf.name for leaf in structure.leaves]
    ['a']
    """

    def __init__(self, space: gymnasium.Space, role: str = "space"):
        if not isinstance(space, gymnasium.Space):
            raise TypeError(f"`{role}` must be a gymnasium.Space. Received: {space!r} ({type(space).__name__})")
        self.space = space
        self.role = role
        self.is_nested = isinstance(space, gymnasium.spaces.Dict | gymnasium.spaces.Tuple)
        self.leaves: tuple[Leaf, ...] = tuple(_walk(space, (), role))
        if not self.leaves:
            raise ValueError(f"`{role}` has no leaves. Received: {space}. Allowed: {SUPPORTED}")
        self.size = sum(leaf.size for leaf in self.leaves)

    def flatten(self, value: Any) -> list[Any]:
        """The leaves of a nested value, in order. Works on single values, batches, arrays and tensors.

        Raises:
            ValueError: The nesting differs from the space's; the message names the path.
        """
        flat: list[Any] = []
        _flatten(self.space, value, (), flat, self.role)
        return flat

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """The inverse of `flatten`: `Dict` becomes dict, `Tuple` becomes tuple."""
        iterator = iter(leaves)
        return _unflatten(self.space, iterator)

    def encode(self, value: Any) -> list[np.ndarray]:
        """`flatten`, then every leaf in its stored form."""
        return [leaf.encode(part) for leaf, part in zip(self.leaves, self.flatten(value))]

    def batch(self, values: Any) -> list[np.ndarray]:
        """The leaves of a batch of values, `(N, *leaf.shape)` each, as they are.

        Raises:
            ValueError: Another nesting, or another shape.
        """
        parts = [np.asarray(part) for part in self.flatten(values)]
        for leaf, array in zip(self.leaves, parts):
            if array.shape[1:] != leaf.shape or array.ndim != len(leaf.shape) + 1:
                where = f"`{self.role}`{_at(leaf.path)}"
                raise ValueError(f"{where} must be {('N', *leaf.shape)}. Received: {array.shape}")
        return parts

    def decode(self, leaves: Sequence[np.ndarray]) -> Any:
        """The inverse of `encode`."""
        return self.unflatten([leaf.decode(part) for leaf, part in zip(self.leaves, leaves)])


def _walk(space: gymnasium.Space, path: Path, role: str) -> Iterator[Leaf]:
    spaces = gymnasium.spaces
    if isinstance(space, spaces.Dict):
        for key, child in space.spaces.items():
            yield from _walk(child, (*path, key), role)
    elif isinstance(space, spaces.Tuple):
        for index, child in enumerate(space.spaces):
            yield from _walk(child, (*path, index), role)
    elif isinstance(space, spaces.Box):
        if math.prod(space.shape) == 0:
            raise ValueError(f"`{role}`{_at(path)} is a Box without elements. Received: shape={space.shape}")
        yield Leaf(path, "box", space.shape, np.dtype(space.dtype), low=space.low, high=space.high)
    elif isinstance(space, spaces.Discrete):
        nvec, start = np.asarray(int(space.n)), np.asarray(int(space.start))
        kind = "bool" if isinstance(space, Bool) else "int"
        yield Leaf(path, "discrete", (), np.dtype(space.dtype), nvec=nvec, start=start, type=kind)
    elif isinstance(space, spaces.MultiDiscrete):
        nvec = np.asarray(space.nvec, dtype=np.int64)
        start = np.asarray(getattr(space, "start", np.zeros_like(nvec)), dtype=np.int64)
        yield Leaf(path, "multi_discrete", nvec.shape, np.dtype(space.dtype), nvec=nvec, start=start, type="int")
    elif isinstance(space, spaces.MultiBinary):
        shape = tuple(int(n) for n in space.shape)
        nvec, start = np.full(shape, 2, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        yield Leaf(path, "multi_binary", shape, np.dtype(space.dtype), nvec=nvec, start=start, type="bool")
    else:
        raise ValueError(
            f"`{role}`{_at(path)} is not supported. Received: {type(space).__name__}. Allowed: {SUPPORTED}"
        )


def _at(path: Path) -> str:
    return f" at {'/'.join(map(str, path))!r}" if path else ""


def _flatten(space: gymnasium.Space, value: Any, path: Path, flat: list[Any], role: str) -> None:
    if isinstance(space, gymnasium.spaces.Dict):
        keys = list(space.spaces)
        if not hasattr(value, "keys") or set(value.keys()) != set(keys):
            received = sorted(map(str, value.keys())) if hasattr(value, "keys") else type(value).__name__
            raise ValueError(f"Value for `{role}`{_at(path)} must be a dict with keys {keys}. Received: {received}")
        for key in keys:
            _flatten(space.spaces[key], value[key], (*path, key), flat, role)
    elif isinstance(space, gymnasium.spaces.Tuple):
        if not isinstance(value, tuple | list) or len(value) != len(space.spaces):
            received = f"{len(value)} entries" if isinstance(value, tuple | list) else type(value).__name__
            raise ValueError(
                f"Value for `{role}`{_at(path)} must be a tuple of {len(space.spaces)} entries. Received: {received}"
            )
        for index, child in enumerate(space.spaces):
            _flatten(child, value[index], (*path, index), flat, role)
    else:
        flat.append(value)


def _unflatten(space: gymnasium.Space, iterator: Iterator[Any]) -> Any:
    if isinstance(space, gymnasium.spaces.Dict):
        return {key: _unflatten(child, iterator) for key, child in space.spaces.items()}
    if isinstance(space, gymnasium.spaces.Tuple):
        return tuple(_unflatten(child, iterator) for child in space.spaces)
    return next(iterator)


def to_config(space: gymnasium.Space) -> dict[str, Any]:
    """A space as JSON-ready dict. The inverse is `from_config`.

    Raises:
        ValueError: The space contains an unsupported space.
    """
    spaces = gymnasium.spaces
    if isinstance(space, spaces.Dict):
        return {"type": "Dict", "spaces": [[key, to_config(child)] for key, child in space.spaces.items()]}
    if isinstance(space, spaces.Tuple):
        return {"type": "Tuple", "spaces": [to_config(child) for child in space.spaces]}
    if isinstance(space, spaces.Box):
        dtype = np.dtype(space.dtype).name
        bounds = {"low": _bound(space.low), "high": _bound(space.high)}
        return {"type": "Box", "shape": list(space.shape), "dtype": dtype, **bounds}
    if isinstance(space, spaces.Discrete):
        dtype = np.dtype(space.dtype).name
        config = {"type": "Discrete", "n": int(space.n), "start": int(space.start), "dtype": dtype}
        return {**config, "bool": True} if isinstance(space, Bool) else config
    if isinstance(space, spaces.MultiDiscrete):
        leaf = next(_walk(space, (), "space"))
        assert leaf.nvec is not None and leaf.start is not None
        dtype = np.dtype(space.dtype).name
        return {"type": "MultiDiscrete", "nvec": leaf.nvec.tolist(), "start": leaf.start.tolist(), "dtype": dtype}
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "n": [int(n) for n in space.shape]}
    raise ValueError(f"Space is not supported. Received: {type(space).__name__}. Allowed: {SUPPORTED}")


def from_config(config: dict[str, Any]) -> gymnasium.Space:
    """Builds a space from `to_config`'s dict. Only the types listed there can be made.

    Raises:
        ValueError: Malformed, an unknown type, or a leaf of more than 2**26 elements or values.
    """
    try:
        return _from_config(config)
    except (AssertionError, AttributeError, IndexError, KeyError, OverflowError, TypeError) as error:
        raise ValueError(f"Malformed description of a space. Received: {str(config)[:300]}") from error


def _from_config(config: dict[str, Any]) -> gymnasium.Space:
    spaces = gymnasium.spaces
    kind = config.get("type") if isinstance(config, dict) else None
    if kind == "Dict":
        # A list of pairs: of a dict, gymnasium would sort the keys.
        return spaces.Dict([(key, from_config(child)) for key, child in config["spaces"]])
    if kind == "Tuple":
        return spaces.Tuple([from_config(child) for child in config["spaces"]])
    if kind == "Box":
        shape, dtype = tuple(int(n) for n in config["shape"]), np.dtype(config["dtype"])
        if not _is_small(shape) or dtype.kind not in "fiub":
            raise ValueError(f"Refusing to build a Box of this size or dtype. Received: {shape}, {dtype}")
        low, high = (_unbound(config[key], shape, dtype) for key in ("low", "high"))
        return spaces.Box(low, high, shape=shape, dtype=dtype.type)
    if kind == "Discrete":
        if config.get("bool") is True:
            return Bool()
        n = int(config["n"])
        if n > _MAX_LEAF_SIZE:
            raise ValueError(f"Refusing to build a Discrete of so many values. Received: {n}")
        # Older releases of gymnasium have no dtype here: it is int64.
        dtype = np.dtype(config.get("dtype", np.int64))
        return spaces.Discrete(n, start=int(config["start"]), **({} if dtype == np.int64 else {"dtype": dtype.type}))
    if kind == "MultiDiscrete":
        total = np.asarray(config["nvec"], np.float64).sum()
        if not total <= _MAX_LEAF_SIZE:
            raise ValueError(f"Refusing to build a MultiDiscrete of so many values. Received: {total:.0f}")
        return spaces.MultiDiscrete(config["nvec"], start=config["start"], dtype=np.dtype(config["dtype"]).type)
    if kind == "MultiBinary":
        shape = tuple(int(n) for n in config["n"])
        if not _is_small(shape):
            raise ValueError(f"Refusing to build a MultiBinary of this size. Received: {shape}")
        return spaces.MultiBinary(shape if len(shape) != 1 else shape[0])
    allowed = "Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple"
    raise ValueError(f"Unknown space type. Received: {kind!r}. Allowed: {allowed}")


def _is_small(shape: tuple[int, ...]) -> bool:
    return len(shape) <= 32 and min(shape, default=0) >= 0 and math.prod(shape) <= _MAX_LEAF_SIZE


def _bound(array: np.ndarray) -> Any:
    # One number where all are equal (an image's bounds would fill the config), and words for infinities: JSON has none.
    first = array.flat[0]
    if (array == first).all():
        return _number(first)
    return [_number(value) for value in array.ravel()]


def _number(value: Any) -> Any:
    value = value.item()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _unbound(value: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if isinstance(value, list):
        return np.asarray([float(v) if isinstance(v, str) else v for v in value], dtype=dtype).reshape(shape)
    return np.full(shape, float(value) if isinstance(value, str) else value, dtype=dtype)


def difference(expected: gymnasium.Space, received: gymnasium.Space) -> str:
    """A side-by-side table of the leaves in which two spaces differ; `""` where they agree.

    Bounds of a box are compared exactly, their dtypes and the order of leaves must be equal.
    """
    rows = []
    left, right = _describe(expected), _describe(received)
    for path in dict.fromkeys([*left, *right]):
        if left.get(path) != right.get(path):
            name = "/".join(map(str, path)) or "(the space)"
            rows.append(f"  {name:<24} agent: {left.get(path, '-'):<44} env: {right.get(path, '-')}")
    if not rows and list(left) != list(right):
        names = [", ".join("/".join(map(str, path)) for path in side) for side in (left, right)]
        rows.append(f"  {'(order of the leaves)':<24} agent: {names[0]:<44} env: {names[1]}")
    return "\n".join(rows)


def _describe(space: gymnasium.Space) -> dict[Path, str]:
    try:
        leaves = Structure(space).leaves
    except (TypeError, ValueError):
        return {(): str(space)}
    described = {}
    for leaf in leaves:
        if leaf.kind == "box":
            text = f"Box(shape={leaf.shape}, {leaf.dtype}, low={_bound(leaf.low)}, high={_bound(leaf.high)})"  # type: ignore[arg-type]
        else:
            assert leaf.nvec is not None and leaf.start is not None
            text = f"{leaf.kind}(n={leaf.nvec.tolist()}, start={leaf.start.tolist()})"
        described[leaf.path] = text
    return described
