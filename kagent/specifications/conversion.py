"""Specifications to spaces and back: the nesting."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import gymnasium

from kagent.specifications.attributes import Where, received, say, short
from kagent.specifications.descriptions import of_leaf, to_leaf
from kagent.specifications.names import check_name, named_parts


def to_space(spec: Any, argument: str = "states") -> gymnasium.Space:
    """The space that a specification describes. `kagent.specifications` has the attributes and what they become.

    Args:
        spec: A description, or a dict from names to specifications.
        argument: `"states"` or `"actions"`: what is described. A state needs its `shape`, and infinite bounds say that
            there are none; an action needs its `type`, and infinite bounds are an error.

    Returns:
        The space. A `Dict` in it is sorted by name, unless the names were those of an `OrderedDict`.

    Raises:
        TypeError: A value of the wrong type, such as a bool for an integer.
        ValueError: A wrong value: an unknown, missing or misplaced attribute; an unknown type; a bound that is NaN, out
            of the dtype's range, or not below the other one; an array of another shape; a name that is no identifier;
            a description of more than 2**26 elements. Messages name the attribute: `states['arm']['angle'].min_value`.

    Example:

    >>> to_space({"shape": 3, "min_value": -1.0})
    Box(-1.0, inf, (3,), float32)
    >>> to_space({"move": {"type": "int", "num_values": 4}, "lamps": {"type": "bool", "shape": (2,)}}, "actions")
    Dict('lamps': MultiBinary(2), 'move': Discrete(4))
    """
    if argument not in ("states", "actions"):
        raise ValueError(f"`argument` must be 'states' or 'actions'. Received: {short.repr(argument)}")
    return _to_space(spec, (argument,))


def _to_space(spec: Any, where: Where) -> gymnasium.Space:
    parts = named_parts(spec, where)
    if parts is None:
        return to_leaf(spec, where)
    built = {name: _to_space(part, (*where, name)) for name, part in parts.items()}
    entries = _entries(len(built))
    if built.keys() == set(entries):
        return gymnasium.spaces.Tuple([built[name] for name in entries])
    return gymnasium.spaces.Dict(OrderedDict(built) if isinstance(spec, OrderedDict) else built)


def _entries(count: int) -> list[str]:
    """The names of a tuple's entries."""
    return [f"gymtpl{index}" for index in range(count)]


def to_spec(space: gymnasium.Space) -> dict[str, Any]:
    """The specification of a space, for either argument of `to_space`: complete and JSON-ready.

    Values are plain Python's: lists for arrays, one number where all are equal, None for infinities in an array.

    A `Dict` that is not sorted by name becomes an `OrderedDict`; to keep its order in JSON, load that with
    `object_pairs_hook=OrderedDict`.

    What is lost: whether `MultiBinary` was made from `n` or `[n]`, which gymnasium tells apart; seeds. Where only some
    components of a signed integer `Box` are unbounded, they come back bounded by the dtype's limits, which equal what
    gymnasium keeps for them. Whatever else a specification cannot express is refused.

    Args:
        space: `Box`, `Discrete`, `MultiDiscrete`, `MultiBinary`, or any nesting of `Dict` and `Tuple` of these.

    Returns:
        A specification with `to_space(to_spec(space)) == space`, but for `MultiBinary([n])`.

    Raises:
        TypeError: `space` is not a gymnasium space.
        ValueError: Another kind of space; a `Dict` with a name that is no identifier, or with just the names of a
            tuple's entries; nothing inside; a component of one value only (`Discrete(1)`, or a box whose bounds meet);
            `MultiDiscrete` or `MultiBinary` of shape `()`; a dtype beyond 64 bits or of foreign byte order; a leaf of
            more than 2**26 elements.

    Example:

    >>> to_spec(gymnasium.spaces.Discrete(3, start=1))
    {'type': 'int', 'shape': [], 'num_values': 3, 'start': 1}
    >>> to_spec(gymnasium.spaces.Box(0, 255, (84, 84, 3), "uint8"))
    {'type': 'float', 'shape': [84, 84, 3], 'min_value': 0, 'max_value': 255, 'dtype': 'uint8'}
    >>> to_spec(gymnasium.spaces.Tuple([gymnasium.spaces.MultiBinary(2)]))
    {'gymtpl0': {'type': 'bool', 'shape': [2]}}
    """
    return _to_spec(space, ("space",))


def _to_spec(space: gymnasium.Space, where: Where) -> dict[str, Any]:
    if not isinstance(space, gymnasium.Space):
        raise TypeError(f"`{say(where)}` must be a gymnasium.Space. {received(space)}")
    if not isinstance(space, gymnasium.spaces.Dict | gymnasium.spaces.Tuple):
        return of_leaf(space, where)
    if not len(space.spaces):
        raise ValueError(f"`{say(where)}` is empty, and has no specification. Received: {space}")
    if isinstance(space, gymnasium.spaces.Tuple):
        names, in_order = _entries(len(space.spaces)), False
        parts = list(enumerate(space.spaces))
    else:
        names = list(space.spaces)
        in_order = names != sorted(names, key=str)
        parts = list(space.spaces.items())
        if set(names) == set(_entries(len(names))):
            raise ValueError(
                f"`{say(where)}` is named as a Tuple's entries are, and would become one. Received: a Dict of {names}"
            )
    # Only of an OrderedDict does gymnasium keep the order.
    spec: dict[str, Any] = OrderedDict() if in_order else {}
    for name, (key, part) in zip(names, parts):
        check_name(name, where)
        spec[name] = _to_spec(part, (*where, key))
    return spec
