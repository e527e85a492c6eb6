"""How large a configuration may be: it is walked, and refused, before anything is made of it."""

from __future__ import annotations

from typing import Any

DEPTH = 100  # of dicts and lists inside each other
NODES = 250_000  # values, each counted wherever it is found again
STRING = 1 << 20  # characters
INTEGER = 1 << 64
OBJECTS = 1_500  # layers of Keras in one configuration; the largest of keras.applications have about a thousand
WEIGHTS = 1 << 28  # of a network
NUMBERS = 1 << 24  # that a layer of a configuration makes of one observation
NUMBERS_INSIDE = 1 << 27  # that the layers inside a model of a configuration make of one observation, together
LAYERS = 256  # in one list
_LONGEST_KEY = 256


def check(config: Any, argument: str) -> None:
    """Checks that a configuration ends: its depth, its number of values, its strings and integers.

    Objects other than dicts, lists, tuples, strings and integers count as one value each: they are the user's own.

    Args:
        config: Nested plain data.
        argument: What errors call it, such as `"network"`.

    Raises:
        ValueError: It is too deep, contains itself, or is too large.
        TypeError: A key that is no string.

    Example:

    >>> check({"units": [64, 64]}, "network")
    >>> check({3: "x"}, "network")
    Traceback (most recent call last):
        ...
    TypeError: `network` has a key that is no string. Received: 3
    """
    nodes = 0
    pending: list[tuple[Any, int]] = [(config, 0)]
    while pending:
        value, depth = pending.pop()
        nodes += 1
        if isinstance(value, str):
            if len(value) > STRING:
                raise ValueError(f"`{argument}` has a string of {len(value)} characters. At most {STRING} are taken")
        elif isinstance(value, int):
            if abs(value) >= INTEGER:
                raise ValueError(
                    f"`{argument}` has an integer of {value.bit_length()} bits. Those below 2**64 are taken"
                )
        elif isinstance(value, dict | list | tuple):
            if depth >= DEPTH:
                raise ValueError(f"`{argument}` is nested more than {DEPTH} deep, or contains itself")
            nodes_with = nodes + len(pending) + len(value)
            if nodes_with > NODES:
                raise ValueError(f"`{argument}` has more than {NODES} values. Received: at least {nodes_with}")
            if isinstance(value, dict):
                for key in value:
                    if not isinstance(key, str):
                        raise TypeError(f"`{argument}` has a key that is no string. Received: {key!r}")
                    if len(key) > _LONGEST_KEY:
                        raise ValueError(
                            f"`{argument}` has a key of {len(key)} characters. At most {_LONGEST_KEY} are taken"
                        )
                pending.extend((item, depth + 1) for item in value.values())
            else:
                pending.extend((item, depth + 1) for item in value)
